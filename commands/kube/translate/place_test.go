package translate

import (
	"encoding/json"
	"strings"
	"testing"
)

// What is wrong is named with its line in the whole file, and its field.
func TestPlay_NamesThePlace(t *testing.T) {
	first := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n---\n"
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        image: x\n"
	for _, c := range []struct{ yaml, want string }{
		{simple("    imagee: x\n"), `document 1 (Pod p): line 8: unknown field "spec.containers[0].imagee"`},
		{first + simple("    imagee: x\n"), `document 2 (Pod p): line 12: unknown field "spec.containers[0].imagee"`},
		{simple("    ports: 7\n"), "line 8: spec.containers[0].ports: number instead of a list"},
		{simple("    ports:\n    - containerPort: web\n"), "line 9: spec.containers[0].ports[0].containerPort: string instead of a number"},
		{simple("    tty: maybe\n"), "line 8: spec.containers[0].tty: string instead of true or false"},
		{simple("    command: x\n"), "line 8: spec.containers[0].command: string instead of a list"},
		{simple("    env: [{name: 7}]\n"), "line 8: spec.containers[0].env[0].name: number instead of a string"},
		{simple("    livenessProbe: 7\n"), "line 8: spec.containers[0].livenessProbe: number instead of a mapping"},
		{simple("    resources:\n      limits:\n        memory: 1x\n"), "line 10: spec.containers[0].resources.limits.memory: quantities must match"},
		{simple("    name: d\n"), `yaml: line 8: key "name" already set in map`},
		{simple("  tolerations: [{key: a}]\n"), "line 8: spec.tolerations is not supported"},
		{simple("  restartPolicy: Maybe\n"), `line 6: container c: spec.restartPolicy "Maybe" is not one of`},
		{simple("    env:\n    - name: A\n      valueFrom: {secretKeyRef: {name: s, key: k}}\n"), "line 8: container c: env[A]: Secret s has no key k, or is not there"},
		{simple("  volumes:\n  - {name: v, configMap: {name: none}}\n"), "line 8: spec.volumes[v]: ConfigMap none is not there"},
		{deployment + "        livenessProbe: {}\n", "document 1 (Deployment d): line 10: container c: livenessProbe has no action"},
		{deployment + "        x: y\n", `line 10: unknown field "spec.template.spec.containers[0].x"`},
		{first + "kind: Pod\n\tx: y", "document 2: yaml: line 6: "},
		{"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  a: YQ==\n  b: '*'\n", "line 6: data.b: illegal base64 data at input byte 0"},
		{strings.Replace(simple(""), "v1", "v2", 1), `document 1 (Pod p): line 1: apiVersion: "v2" is not v1`},
		{"apiVersion: v1\nkind: Deployment\n", `apiVersion: "v1" is not apps/v1`},
		{"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {x: y}}\n", `document 1 (Pod p): unknown field "spec.x"`},
		{simple("    ports: [{containerPort: 80, hostPort: 8080}]\n  - name: d\n    image: x\n    ports: [{containerPort: 81, hostPort: 8080, hostIP: 127.0.0.1}]\n"), "line 11: container d: ports[0].hostPort 8080 is published by container c of pod p already"},
		{simple("    ports: [{containerPort: 70000}]\n"), "line 8: container c: ports[0].containerPort 70000 is not between 1 and 65535"},
		{"a: &a {b: *a}\nkind: Pod\n", "yaml: anchor 'a' value contains itself"},
	} {
		_, _, err := Play([]byte(c.yaml), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s of\n%s", err, c.want, c.yaml)
		}
	}
	for _, fine := range []string{
		simple("    ports: [{containerPort: 80, hostPort: 8080, protocol: UDP}, {containerPort: 80, hostPort: 8080}, {containerPort: 80, hostPort: 81, hostIP: 127.0.0.1}, {containerPort: 80, hostPort: 81, hostIP: 127.0.0.2}]\n"),
		simple("  hostNetwork: true\n  priorityClassName: ''\n  tolerations: []\n  setHostnameAsFQDN: false\n  affinity: {}\nstatus: {}\n"),
	} {
		if _, _, err := Play([]byte(fine), nil); err != nil {
			t.Errorf("%v of\n%s", err, fine)
		}
	}
}

// A claim of which something is not honoured says so.
func TestPlay_WarnsOfClaims(t *testing.T) {
	claim := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n"
	for more, want := range map[string]string{
		"":                           "",
		"  storageClassName: fast\n": "PersistentVolumeClaim c: line 7: spec.storageClassName is not supported: it has no effect",
		"  dataSource: {kind: VolumeSnapshot, name: s}\n": "PersistentVolumeClaim c: line 7: spec.dataSource is not supported: it has no effect",
	} {
		_, warnings, err := Play([]byte(claim+more), nil)
		if got := strings.Join(warnings, "\n"); err != nil || got != want {
			t.Errorf("%v, %q, want %q", err, got, want)
		}
	}
}

func FuzzPathAt(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1},2],"c":{"d":"e"}}`), int64(10))
	f.Fuzz(func(t *testing.T, data []byte, offset int64) {
		if json.Valid(data) {
			_ = pathAt(data, offset)
		}
	})
}
