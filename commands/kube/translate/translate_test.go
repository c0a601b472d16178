package translate

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"skiff/storage/container/service"

	"skiff/commands/kube/plan"
)

// simple is a Pod with more below its only container.
func simple(more string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: img\n" + more
}

func TestPlay_Arguments(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"plain":       {simple(""), "--restart=always img"},
		"command":     {simple("    command: [a, b]\n    args: [c]\n"), "--restart=always --entrypoint=a img b c"},
		"args":        {simple("    args: [c]\n"), "--restart=always img c"},
		"expansion":   {simple("    env: [{name: A, value: x}, {name: B, value: $(A)$(A)}]\n    args: [$(B) $$(A) $(C) $]\n"), "--env=A=x --env=B=xx --restart=always img xx $(A) $(C) $"},
		"never":       {simple("  restartPolicy: Never\n"), "img"},
		"on failure":  {simple("  restartPolicy: OnFailure\n"), "--restart=on-failure img"},
		"limits":      {simple("    resources: {limits: {cpu: 1500m, memory: 64Mi}, requests: {cpu: 500m, memory: 1k}}\n"), "--restart=always --memory=67108864 --cpus=1.5 --memory-reservation=1000 --cpu-shares=512 img"},
		"pull":        {simple("    imagePullPolicy: Never\n"), "--pull=never --restart=always img"},
		"user":        {simple("    securityContext: {runAsUser: 5, runAsGroup: 6, readOnlyRootFilesystem: true, privileged: true}\n"), "--restart=always --user=5:6 --privileged=true --read-only=true img"},
		"pod's user":  {simple("  securityContext: {runAsUser: 5, supplementalGroups: [7]}\n"), "--restart=always --user=5 --group-add=7 img"},
		"probe":       {simple("    ports: [{name: web, containerPort: 80}]\n    livenessProbe: {tcpSocket: {port: web}, failureThreshold: 2}\n"), "--restart=always --health-probe={\"tcpSocket\":{\"port\":80}} --health-interval=10s --health-timeout=1s --health-retries=2 --health-on-failure=restart img"},
		"readiness":   {simple("    readinessProbe: {exec: {command: [a]}, initialDelaySeconds: 2}\n"), "--restart=always --health-probe={\"exec\":{\"command\":[\"a\"]}} --health-interval=10s --health-timeout=1s --health-retries=3 --health-start-period=2s img"},
		"startup":     {simple("    startupProbe: {exec: {command: [a]}, periodSeconds: 2, initialDelaySeconds: 5}\n"), "--restart=always --health-startup-probe={\"exec\":{\"command\":[\"a\"]}} --health-startup-interval=2s --health-startup-timeout=1s --health-startup-retries=6 img"},
		"never up":    {simple("    startupProbe: {exec: {command: [a]}}\n    readinessProbe: {exec: {command: [b]}}\n  restartPolicy: Never\n"), "--health-ready-probe={\"exec\":{\"command\":[\"b\"]}} --health-ready-interval=10s --health-ready-timeout=1s --health-ready-retries=3 --health-startup-probe={\"exec\":{\"command\":[\"a\"]}} --health-startup-interval=10s --health-startup-timeout=1s --health-startup-retries=3 --health-on-failure=kill img"},
		"both":        {simple("    livenessProbe: {exec: {command: [a]}, failureThreshold: 5}\n    readinessProbe: {tcpSocket: {port: 1}, successThreshold: 2, failureThreshold: 4, initialDelaySeconds: 6}\n"), `--restart=always --health-ready-probe={"tcpSocket":{"port":1}} --health-ready-interval=10s --health-ready-timeout=1s --health-ready-retries=4 --health-ready-success=2 --health-ready-delay=6s --health-probe={"exec":{"command":["a"]}} --health-interval=10s --health-timeout=1s --health-retries=5 --health-on-failure=restart img`},
		"twice":       {simple("    readinessProbe: {exec: {command: [a]}, successThreshold: 2}\n"), `--restart=always --health-ready-probe={"exec":{"command":["a"]}} --health-ready-interval=10s --health-ready-timeout=1s --health-ready-retries=3 --health-ready-success=2 img`},
		"http":        {simple("    ports: [{name: web, containerPort: 80}]\n    readinessProbe: {httpGet: {port: web, path: /x, scheme: HTTPS, httpHeaders: [{name: A, value: b}]}}\n"), `--restart=always --health-probe={"httpGet":{"path":"/x","port":80,"scheme":"HTTPS","httpHeaders":[{"name":"A","value":"b"}]}} --health-interval=10s --health-timeout=1s --health-retries=3 img`},
		"grpc":        {simple("    startupProbe: {grpc: {port: 5, service: a.B}}\n"), `--restart=always --health-startup-probe={"grpc":{"port":5,"service":"a.B"}} --health-startup-interval=10s --health-startup-timeout=1s --health-startup-retries=3 img`},
		"hooks":       {simple("    ports: [{name: web, containerPort: 80}]\n    lifecycle: {postStart: {exec: {command: [a, b c]}}, preStop: {httpGet: {port: web, path: /x}}}\n"), `--restart=always --post-start={"exec":{"command":["a","b c"]}} --pre-stop={"httpGet":{"path":"/x","port":80}} img`},
		"host's path": {simple("    volumeMounts: [{name: v, mountPath: /m, readOnly: true, subPath: a}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n"), "--restart=always --mount=type=bind,source=/h/a,destination=/m,readonly img"},
		"all below":   {simple("    volumeMounts: [{name: v, mountPath: /m, readOnly: true, recursiveReadOnly: Disabled}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n"), "--restart=always --mount=type=bind,source=/h,destination=/m,readonly,bind-recursive=writable img"},
		"propagation": {simple("    volumeMounts: [{name: v, mountPath: /m, mountPropagation: Bidirectional}, {name: w, mountPath: /n, readOnly: true, mountPropagation: HostToContainer}]\n  volumes: [{name: v, hostPath: {path: /h}}, {name: w, hostPath: {path: /w, type: DirectoryOrCreate}}]\n"), "--restart=always --mount=type=bind,source=/h,bind-propagation=rshared,destination=/m --volume=/w:/n:ro,rslave img"},
		"expression":  {simple("    env: [{name: A, value: x}]\n    volumeMounts: [{name: v, mountPath: /m, subPathExpr: $(A)/y}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n"), "--env=A=x --restart=always --mount=type=bind,source=/h/x/y,destination=/m img"},
		"image":       {simple("    volumeMounts: [{name: v, mountPath: /m, subPath: d}]\n  volumes: [{name: v, image: {reference: 'x:1'}}]\n"), "--restart=always --mount=type=image,source=x:1,image-subpath=d,destination=/m,readonly img"},
		"own users":   {simple("  hostUsers: false\n"), "--userns=auto --restart=always img"},
		"host users":  {simple("  hostUsers: true\n"), "--restart=always img"},
		"user namespace": {
			strings.Replace(simple("  hostUsers: false\n"), "{name: p}", "{name: p, annotations: {io.podman.annotations.userns: keep-id}}", 1),
			"--annotation=io.podman.annotations.userns=keep-id --userns=keep-id --restart=always img",
		},
		"memory": {simple("    volumeMounts: [{name: v, mountPath: /m}]\n  volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]\n"), "--restart=always --mount=type=tmpfs,destination=/m,tmpfs-size=1048576 img"},
	} {
		p, _, err := Play([]byte(c.yaml), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(p.Pods[0].Containers[0].Args, " "); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestPlay_Pods(t *testing.T) {
	p, _, err := Play([]byte(simple("    ports: [{containerPort: 80, hostPort: 8080, protocol: UDP, hostIP: '::1'}]\n"+
		"  hostname: box\n  shareProcessNamespace: true\n  hostAliases: [{ip: 1.2.3.4, hostnames: [a, b]}]\n"+
		"  dnsConfig: {nameservers: [9.9.9.9], searches: [x], options: [{name: ndots, value: '2'}]}\n")), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--hostname=box", "--add-host=a:1.2.3.4", "--add-host=b:1.2.3.4", "--dns=9.9.9.9", "--dns-search=x", "--dns-option=ndots:2",
		"--publish=[::1]:8080:80/udp",
	}
	if !slices.Equal(p.Pods[0].Flags, want) || !slices.Equal(p.Pods[0].Share, []string{"ipc", "net", "uts", "pid"}) {
		t.Errorf("%q %q", p.Pods[0].Flags, p.Pods[0].Share)
	}
	for kind, version := range map[string]string{"Deployment": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"} {
		restart := ""
		if kind == "Job" {
			restart = "      restartPolicy: Never\n"
		}
		p, _, err := Play([]byte("apiVersion: "+version+"\nkind: "+kind+"\nmetadata: {name: w}\nspec:\n  template:\n    metadata: {labels: {a: b}}\n    spec:\n"+restart+"      containers: [{name: c, image: img}]\n"), nil)
		if err != nil || len(p.Pods) != 1 || p.Pods[0].Name != "w-pod" || p.Pods[0].Flags[0] != "--label=a=b" {
			t.Errorf("%s: %+v, %v", kind, p, err)
		}
	}
}

func TestGenerate_Service(t *testing.T) {
	tcp := []plan.Port{{Host: 8080, Container: 80, Protocol: "TCP"}, {Host: 8081, Container: 80, Protocol: "TCP"}, {Host: 53, Container: 53, Protocol: "UDP"}}
	for name, c := range map[string]struct {
		g       plan.Generate
		want    service.Service // of the pod when the text is played
		warning string
	}{
		"of a container": {
			plan.Generate{Name: "web", Bare: true, Ports: tcp},
			service.Service{Name: "web", Selector: map[string]string{"app": "web"}, Ports: []service.Port{{Name: "tcp-80", Port: 80}, {Name: "udp-53", Protocol: "UDP", Port: 53}}},
			"",
		},
		"by the pod's own label": {
			plan.Generate{Name: "web", Labels: map[string]string{"app": "shop", "tier": "front"}, Ports: tcp[:1]},
			service.Service{Name: "web", Selector: map[string]string{"app": "shop"}, Ports: []service.Port{{Name: "tcp-80", Port: 80}}},
			"",
		},
		"there is one": {
			plan.Generate{
				Name: "web", Labels: map[string]string{"a": "b"}, Ports: tcp,
				Services: []service.Service{{Name: "old", Selector: map[string]string{"a": "b"}, Ports: []service.Port{{Port: 1}}}},
			},
			service.Service{Name: "old", Selector: map[string]string{"a": "b"}, Ports: []service.Port{{Port: 1}}},
			"",
		},
		"no port":   {plan.Generate{Name: "web"}, service.Service{}, "no Service: no port is published"},
		"no name":   {plan.Generate{Name: "my_web", Ports: tcp}, service.Service{}, "no Service: its name, my_web, must be of a-z, 0-9 and -, at most 63, and begin with a letter"},
		"no letter": {plan.Generate{Name: "7up", Ports: tcp}, service.Service{}, "no Service: its name, 7up, must be of a-z, 0-9 and -, at most 63, and begin with a letter"},
	} {
		t.Run(name, func(t *testing.T) {
			c.g.Kind, c.g.Serve, c.g.Members = "Pod", true, []plan.Member{{Name: "c", Image: "i"}}
			text, warnings, err := generate(&c.g)
			if err != nil || strings.Join(warnings, ";") != c.warning {
				t.Fatalf("%v, %q, want %q", err, warnings, c.warning)
			}
			p, _, err := Play([]byte(text), nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			var want []service.Service
			if c.want.Name != "" {
				want = append(want, c.want)
			}
			if got := p.Pods[0].Services; !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v, of\n%s", got, want, text)
			}
		})
	}
}

// What generate writes is read again, strictly, and means the same.
func TestGenerate_IsPlayed(t *testing.T) {
	seconds := 7
	g := &plan.Generate{
		Kind: "Pod", Name: "shop", Hostname: "box", Labels: map[string]string{"app": "shop"}, Ports: []plan.Port{{HostIP: "127.0.0.1", Host: 8080, Container: 80, Protocol: "TCP"}},
		Members: []plan.Member{
			{
				Name: "front", Image: "img:1", Command: []string{"sh", "-c"}, Args: []string{"echo $(date) $A"}, Env: []string{"A=$(x)", "B=1"}, WorkingDir: "/w", User: "3:4",
				Tty: true, ReadOnly: true, CapDrop: []string{"ALL"}, Memory: 64 << 20, NanoCPUs: 1500000000, Restart: "always", StopTimeout: &seconds,
				Mounts: []plan.Mount{{Kind: "bind", Source: "/h", Target: "/m", ReadOnly: true}, {Kind: "volume", Source: "data", Target: "/d"}, {Kind: "tmpfs", Target: "/t"}},
				Health: json.RawMessage(`{"exec":{"command":["true"]}}`), HealthSeconds: [3]int32{5, 2, 1}, HealthRetries: 4,
			},
			{Name: "back", Image: "img:2", Restart: "always", Mounts: []plan.Mount{{Kind: "volume", Source: "data", Target: "/d"}}},
		},
	}
	text, warnings, err := generate(g)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	p, _, err := Play([]byte(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := "--env=A=$(x) --env=B=1 --workdir=/w --tty=true --stop-timeout=7 --restart=always --memory=67108864 --cpus=1.5 --user=3:4 --read-only=true " +
		`--cap-drop=ALL --health-probe={"exec":{"command":["true"]}} ` + "--health-interval=5s --health-timeout=2s --health-retries=4 --health-start-period=1s --health-on-failure=restart " +
		"--mount=type=bind,source=/h,destination=/m,readonly --mount=type=volume,source=data,destination=/d --mount=type=tmpfs,destination=/t " +
		"--entrypoint=sh img:1 -c echo $(date) $A"
	if got := strings.Join(p.Pods[0].Containers[0].Args, " "); got != want {
		t.Errorf("%s\nwant\n%s\nfrom\n%s", got, want, text)
	}
	if len(p.Volumes) != 1 || p.Volumes[0].Name != "data" || !slices.Contains(p.Pods[0].Flags, "--publish=127.0.0.1:8080:80") {
		t.Errorf("%+v", p)
	}
	g.Kind, g.Replicas = "Deployment", 2
	if text, _, err = generate(g); err != nil || !strings.Contains(text, "replicas: 2") {
		t.Errorf("%v\n%s", err, text)
	}
	for _, bad := range []*plan.Generate{{Kind: "CronJob", Members: g.Members}, {Kind: "Pod"}, {Kind: "Pod", Members: []plan.Member{{Name: "x"}}}} {
		if _, _, err := generate(bad); err == nil {
			t.Errorf("%+v is described", bad)
		}
	}
}

// What probes and hooks ask is what they asked before.
func TestGenerate_GivesProbesBack(t *testing.T) {
	for _, probe := range []string{
		`{"exec":{"command":["sh","-c","a 'b' $c"]}}`,
		`{"httpGet":{"path":"/x?y=z","port":8080,"host":"db","scheme":"HTTPS","httpHeaders":[{"name":"A","value":"b: c"}]}}`,
		`{"httpGet":{"port":1}}`,
		`{"tcpSocket":{"port":1,"host":"::1"}}`,
		`{"grpc":{"port":1}}`,
		`{"grpc":{"port":1,"service":"a.B"}}`,
	} {
		data := json.RawMessage(probe)
		m := plan.Member{
			Name: "c", Image: "img", Health: data, HealthSeconds: [3]int32{5, 2, 1}, HealthRetries: 4, Startup: data, StartupSeconds: [2]int32{6, 3}, StartupRetries: 5,
			Ready: data, ReadySeconds: [3]int32{7, 6, 5}, ReadyRetries: 2, ReadySuccesses: 3,
		}
		if !strings.Contains(probe, "grpc") {
			m.PostStart, m.PreStop = data, data
		}
		text, warnings, err := generate(&plan.Generate{Kind: "Pod", Name: "p", Members: []plan.Member{m}})
		if err != nil || len(warnings) > 0 || strings.Contains(text, "null") {
			t.Fatal(err, warnings, text)
		}
		p, _, err := Play([]byte(text), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		want := []string{
			"--health-ready-probe=" + probe, "--health-ready-interval=7s", "--health-ready-timeout=6s", "--health-ready-retries=2", "--health-ready-success=3", "--health-ready-delay=5s",
			"--health-probe=" + probe, "--health-interval=5s", "--health-timeout=2s", "--health-retries=4", "--health-start-period=1s",
			"--health-startup-probe=" + probe, "--health-startup-interval=6s", "--health-startup-timeout=3s", "--health-startup-retries=5", "--health-on-failure=kill",
		}
		if m.PostStart != nil {
			want = append(want, "--post-start="+probe, "--pre-stop="+probe)
		}
		if got := p.Pods[0].Containers[0].Args; !slices.Equal(got, append(want, "img")) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// A pod's own volumes are what they were, with their files.
func TestGenerate_GivesOwnVolumesBack(t *testing.T) {
	files := map[string]plan.File{"a": {Data: []byte("status: {}\nresources: {}\n"), Mode: 0o644}, "d/a": {Data: []byte("b"), Mode: 0o644}, "d.a": {Data: []byte{0xff}, Mode: 0o400}}
	one := map[string]plan.File{"p": {Data: []byte("hush"), Mode: 0o400}}
	mounts := []plan.Mount{
		{Kind: "configMap", Source: "p-conf", Target: "/c", ReadOnly: true, Files: files},
		{Kind: "secret", Source: "p-sec", Target: "/s", ReadOnly: true, Files: one},
		{Kind: "emptyDir", Source: "p-e", Target: "/e"},
	}
	g := &plan.Generate{Kind: "Pod", Name: "p", Claims: []string{"kept"}, Members: []plan.Member{{Name: "c", Image: "i", Mounts: mounts}, {Name: "d", Image: "i", Mounts: mounts}}}
	text, warnings, err := generate(g)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	p, _, err := Play([]byte(text), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := []plan.Volume{{Name: "kept"}, {Name: "p-conf", Own: true, Files: files}, {Name: "p-sec", Own: true, Files: one, Secret: true}, {Name: "p-e", Own: true}}
	if !reflect.DeepEqual(p.Volumes, want) {
		t.Errorf("got %+v\nwant %+v\nof %s", p.Volumes, want, text)
	}
	for _, c := range p.Pods[0].Containers {
		if got := strings.Join(c.Args, " "); got != "--mount=type=volume,source=p-conf,destination=/c,readonly --mount=type=volume,source=p-sec,destination=/s,readonly --mount=type=volume,source=p-e,destination=/e i" {
			t.Errorf("%s of\n%s", got, text)
		}
	}
}

func TestGenerate_Kinds(t *testing.T) {
	for kind, c := range map[string]struct{ restart, want, warning string }{
		"DaemonSet": {"always", "apiVersion: apps/v1\nkind: DaemonSet\n", ""},
		"Job":       {"", "apiVersion: batch/v1\nkind: Job\n", ""},
		"job":       {"", "", ""},
	} {
		g := &plan.Generate{Kind: kind, Name: "w", Members: []plan.Member{{Name: "c", Image: "i", Restart: c.restart}}}
		text, warnings, err := generate(g)
		if kind == "job" {
			if err == nil {
				t.Error("an unknown kind is described")
			}
			continue
		}
		if err != nil || !strings.HasPrefix(text, c.want) || strings.Join(warnings, "") != c.warning || strings.Contains(text, "{}") {
			t.Errorf("%v, %q\n%s", err, warnings, text)
		}
		if p, _, err := Play([]byte(text), nil); err != nil || len(p.Pods) != 1 {
			t.Errorf("%v\n%s", err, text)
		}
	}
	for kind, want := range map[string]string{"Job": "a Job's pods end: restartPolicy Always became OnFailure", "DaemonSet": "a DaemonSet's pods always restart: restartPolicy Never was left out"} {
		g := &plan.Generate{Kind: kind, Name: "w", Members: []plan.Member{{Name: "c", Image: "i", Restart: map[string]string{"Job": "always"}[kind]}}}
		if _, warnings, err := generate(g); err != nil || strings.Join(warnings, "") != want {
			t.Errorf("%v, %q, want %s", err, warnings, want)
		}
	}
	text, _, err := generate(&plan.Generate{Kind: "Pod", Claims: []string{"a", "b"}})
	if err != nil || strings.Count(text, "kind: PersistentVolumeClaim") != 2 || strings.Contains(text, "kind: Pod\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// What Kubernetes has no word for is told.
func TestGenerate_TellsWhatProbesLose(t *testing.T) {
	data := json.RawMessage(`{"exec":{"command":["a"]}}`)
	for want, m := range map[string]plan.Member{
		"its health check, which nobody acts on, was left out":                {Health: data, Harmless: true, Ready: data},
		"Kubernetes takes one success of its startup check for enough, not 2": {Startup: data, StartupRetries: 1, StartupSuccesses: 2},
		"its startup check may fail for ever here, in Kubernetes for a day":   {Startup: data},
	} {
		m.Name, m.Image = "c", "img"
		_, warnings, err := generate(&plan.Generate{Kind: "Pod", Name: "p", Members: []plan.Member{m}})
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], want) {
			t.Errorf("%v, %q: want %s", err, warnings, want)
		}
	}
}

func TestPlay_RefusesProbesThatKubernetesRefuses(t *testing.T) {
	for probe, want := range map[string]string{
		"livenessProbe: {exec: {command: [a]}, successThreshold: 2}":               "container c: livenessProbe.successThreshold: 2 must be 1",
		"startupProbe: {exec: {command: [a]}, successThreshold: 2}":                "container c: startupProbe.successThreshold: 2 must be 1",
		"readinessProbe: {exec: {command: [a]}, periodSeconds: -1}":                "container c: readinessProbe.periodSeconds: -1 is negative",
		"readinessProbe: {exec: {command: [a]}, failureThreshold: -1}":             "container c: readinessProbe.failureThreshold: -1 is negative",
		"readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 1}": "readinessProbe.terminationGracePeriodSeconds is not supported",
	} {
		if _, _, err := Play([]byte(simple("    "+probe+"\n")), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", probe, err, want)
		}
	}
}

func FuzzPlay(f *testing.F) {
	for _, seed := range []string{simple(""), simple("    env: [{name: A, value: $(B)}]\n"), "---\n---\n", "kind: List\nitems: [{kind: Pod}]", "a: &a [*a]", "kind: Secret\ndata: {a: b}", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, _, err := Play(text, [][]byte{text})
		if err == nil && p == nil {
			t.Error("neither a plan nor an error")
		}
	})
}

func TestPlay_RefusesWhatExcludesEachOther(t *testing.T) {
	for more, want := range map[string]string{
		"  hostUsers: false\n  shareProcessNamespace: true\n":                                                                                              "shareProcessNamespace is not supported with user namespaces",
		"    volumeMounts: [{name: v, mountPath: /m, subPath: a, subPathExpr: b}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n":                         "exclude each other",
		"    volumeMounts: [{name: v, mountPath: /m, subPathExpr: $(NO)}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n":                                 "names a variable that is not there",
		"    env: [{name: A, value: ..}]\n    volumeMounts: [{name: v, mountPath: /m, subPathExpr: $(A)}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n": "leaves the volume",
		"    volumeMounts: [{name: v, mountPath: /m, mountPropagation: Bidirectional}]\n  volumes: [{name: v, emptyDir: {}}]\n":                            "needs a hostPath",
		"    volumeMounts: [{name: v, mountPath: /m, mountPropagation: Some}]\n  volumes: [{name: v, hostPath: {path: /h}}]\n":                             "is not one of None",
	} {
		if _, _, err := Play([]byte(simple(more)), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", more, err, want)
		}
	}
}

func TestGenerate_TellsOfUserNamespaces(t *testing.T) {
	for _, c := range []struct {
		g    plan.Generate
		want string
	}{
		{plan.Generate{OwnUsers: true}, "hostUsers: false"},
		{plan.Generate{Annotations: map[string]string{plan.UsernsAnnotation: "keep-id"}}, plan.UsernsAnnotation + ": keep-id"},
	} {
		c.g.Kind, c.g.Name, c.g.Members = "Pod", "p", []plan.Member{{Name: "c", Image: "img"}}
		text, _, err := generate(&c.g)
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%v\n%s\nwithout %s", err, text, c.want)
		}
	}
}
