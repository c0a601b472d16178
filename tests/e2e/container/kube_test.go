package container_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// shop is what people write: a database's settings, files, an init container, two
// containers that share a directory.
const shop = `# a comment
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  color: green
  motd: |
    welcome
---
apiVersion: v1
kind: Secret
metadata:
  name: keys
stringData:
  token: s3same
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: goods
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
---
apiVersion: v1
kind: Pod
metadata:
  name: shop
  labels: {app: shop}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  hostAliases:
  - ip: 10.1.2.3
    hostnames: [db.internal]
  initContainers:
  - name: fill
    image: IMAGE
    command: [sh, -c, 'echo bread >/goods/list']
    volumeMounts:
    - {name: goods, mountPath: /goods}
  containers:
  - name: front
    image: IMAGE
    command: ["sh", "-c"]
    args: ["echo $(COLOR) $COLOR $$(NONE) $(POD); cat /goods/list /etc/shop/motd /etc/keys/token; echo; stat -c %a /etc/keys/token; id -u; touch /shared/done; exec sleep 1000"]
    env:
    - name: COLOR
      valueFrom: {configMapKeyRef: {name: settings, key: color}}
    - name: POD
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    ports:
    - {containerPort: 80, hostPort: PORT, hostIP: 127.0.0.1}
    securityContext:
      runAsUser: 7
      capabilities: {drop: [ALL]}
      allowPrivilegeEscalation: false
    volumeMounts:
    - {name: goods, mountPath: /goods, readOnly: true}
    - {name: files, mountPath: /etc/shop}
    - {name: keys, mountPath: /etc/keys}
    - {name: shared, mountPath: /shared}
    livenessProbe:
      exec: {command: [test, -e, "/shared/done"]}
      periodSeconds: 1
  - name: back
    image: IMAGE
    command: [sh, -c, "until [ -e /shared/done ]; do sleep 0.1; done; grep db /etc/hosts | tr '\\t' ' '; echo $TOKEN; exec sleep 1000"]
    envFrom:
    - secretRef: {name: keys}
      prefix: ""
    env:
    - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
    volumeMounts:
    - {name: shared, mountPath: /shared}
  volumes:
  - name: goods
    persistentVolumeClaim: {claimName: goods}
  - name: files
    configMap: {name: settings, items: [{key: motd, path: motd}]}
  - name: keys
    secret: {secretName: keys, defaultMode: 0444}
  - name: shared
    emptyDir: {medium: Memory}
`

func TestKube_PlaysAPod(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	port := strconv.Itoa(freePort(t))
	text := strings.NewReplacer("IMAGE", image, "PORT", port, "emptyDir: {medium: Memory}", "emptyDir: {}").Replace(shop)
	s.WriteFile("shop.yaml", text)
	s.Skiff("kube", "play", s.Home()+"/shop.yaml").Exits(0).PrintsMatch("Pod:\n[0-9a-f]{64}\nContainers:\n([0-9a-f]{64}\n?){3}")
	s.Eventually("both to be through", func() bool {
		return strings.Contains(s.OK("logs", "shop-back"), "s3same") && strings.Contains(s.OK("logs", "shop-front"), "\n7")
	})
	harness.Equal(t, "the front", s.OK("logs", "shop-front"), "green green shop\nbread\nwelcome\ns3same\n444\n7")
	harness.Equal(t, "the back", s.OK("logs", "shop-back"), "10.1.2.3 db.internal\ns3same")
	harness.Equal(t, "label", s.OK("pod", "ps", "--filter", "label=app=shop", "--format", "{{.Name}} {{.NumberOfContainers}}"), "shop 4")
	harness.Equal(t, "port", s.OK("port", "shop-infra"), "80/tcp -> 127.0.0.1:"+port)
	s.Eventually("the probe", func() bool { return s.Inspect("shop-front", "{{.State.Health.Status}}") == "healthy" })
	s.Skiff("kube", "play", s.Home()+"/shop.yaml").Exits(1).Complains("pod shop is there already")
	s.OK("kube", "play", "--replace", s.Home()+"/shop.yaml")
	// What comes out goes in again.
	s.OK("generate", "kube", "-f", s.Home()+"/again.yaml", "shop")
	s.Skiff("kube", "down", s.Home()+"/shop.yaml").Exits(0).Says("Pods removed:\n")
	harness.Equal(t, "containers left", s.OK("ps", "-aq"), "")
	harness.Equal(t, "volumes left", s.OK("volume", "ls", "-q"), "goods")
	s.OK("kube", "down", "--force", s.Home()+"/shop.yaml")
	harness.Equal(t, "volumes left after force", s.OK("volume", "ls", "-q"), "")
	if again := s.ReadFile("again.yaml"); !strings.Contains(again, "claimName: goods") || !strings.Contains(again, "hostPort: "+port) {
		t.Errorf("generated\n%s", again)
	}
	s.OK("play", "kube", "--start=false", s.Home()+"/again.yaml")
	harness.Equal(t, "made again", s.Inspect("shop-front", "{{.Config.User}} {{.HostConfig.CapDrop}} {{.State.Status}}"), "7 [ALL] created")
	s.OK("kube", "down", "--force", s.Home()+"/again.yaml")
}

// A pod that is started again begins with its init containers, too.
func TestKube_InitContainersGoFirstEachTime(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("p.yaml", strings.ReplaceAll(`apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  volumes: [{name: log, emptyDir: {}}]
  initContainers:
  - {name: one, image: IMG, command: [sh, -c, 'echo one >>/log/l; test ! -e /log/bad'], volumeMounts: [{name: log, mountPath: /log}]}
  - {name: two, image: IMG, command: [sh, -c, 'echo two >>/log/l'], volumeMounts: [{name: log, mountPath: /log}]}
  containers:
  - {name: main, image: IMG, command: [sh, -c, 'echo main >>/log/l; exec sleep 1000'], volumeMounts: [{name: log, mountPath: /log}]}
`, "IMG", s.LoadBusybox()))
	s.OK("kube", "play", "p.yaml")
	log := func(want string) {
		t.Helper()
		s.Eventually("the log is "+want, func() bool {
			return strings.Join(strings.Fields(s.Skiff("exec", "p-main", "cat", "/log/l").Stdout), " ") == want
		})
	}
	status := func() string { return s.OK("pod", "ps", "--format", "{{.Status}}") }
	log("one two main")
	harness.Equal(t, "status", status(), "Running")
	s.OK("pod", "start", "p") // it runs
	s.OK("pod", "restart", "p")
	log("one two main one two main")
	s.OK("exec", "p-main", "touch", "/log/bad")
	s.OK("pod", "stop", "p")
	s.Skiff("pod", "start", "p").Exits(1).Complains("init container p-one: it ended with exit code 1")
	harness.Equal(t, "status without it", status(), "Degraded")
	harness.Equal(t, "main", s.Inspect("p-main", "{{.State.Status}}"), "exited")
	s.OK("kube", "down", "--force", "p.yaml")
}

func TestKube_RefusesWhatItCannotDo(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	pod := func(spec string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: " + image + "\n    command: [sleep, '1000']\n" + spec
	}
	for text, want := range map[string]string{
		"":                              "the YAML has no document",
		"a: b":                          "document 1 has no kind",
		"kind: Pod\n\tx: y":             "document 1: yaml: line 2:",
		"apiVersion: v1\nkind: Ingress": "kinds that are understood are",
		pod("    imagee: x\n"):          `line 9: unknown field "spec.containers[0].imagee"`,
		pod("    ports: 7\n"):           "line 9: spec.containers[0].ports: number instead of a list",
		pod("    lifecycle: {preStop: {tcpSocket: {port: 0}}}\n"):                                          "container c: lifecycle.preStop: tcpSocket.port 0 is not between 1 and 65535",
		pod("    livenessProbe: {grpc: {port: 70000}}\n"):                                                  "container c: livenessProbe: grpc.port 70000 is not between 1 and 65535",
		pod("    livenessProbe: {grpc: {port: 1}, tcpSocket: {port: 1}}\n"):                                "container c: livenessProbe: it must have one of exec, httpGet, tcpSocket and grpc",
		pod("    readinessProbe: {httpGet: {port: 1, scheme: FTP}}\n"):                                     `container c: readinessProbe: httpGet.scheme "FTP" is neither HTTP nor HTTPS`,
		pod("    startupProbe: {}\n"):                                                                      "container c: startupProbe has no action",
		pod("    startupProbe: {tcpSocket: {port: web}}\n"):                                                `container c: startupProbe.tcpSocket.port: no port of the container is called "web"`,
		pod("  initContainers:\n  - {name: i, image: x, readinessProbe: {exec: {command: [x]}}}\n"):        "container i: an init container has no probes",
		pod("    lifecycle: {preStop: {exec: {}}}\n"):                                                      "container c: lifecycle.preStop: exec.command is empty",
		pod("    lifecycle: {preStop: {httpGet: {port: web}}}\n"):                                          `lifecycle.preStop.httpGet.port: no port of the container is called "web"`,
		pod("    lifecycle: {postStart: {httpGet: {port: 80, scheme: https}}}\n"):                          `lifecycle.postStart: httpGet.scheme "https" is neither HTTP nor HTTPS`,
		pod("  initContainers:\n  - {name: i, image: x, lifecycle: {postStart: {sleep: {seconds: 1}}}}\n"): "container i: lifecycle: an init container has no hooks",
		pod("  priorityClassName: x\n"):                                                                    "spec.priorityClassName is not supported",
		pod("    volumeMounts: [{name: none, mountPath: /x}]\n"):                                           "the pod has no volume of that name",
		pod("    env: [{name: A, valueFrom: {secretKeyRef: {name: nosuch, key: k}}}]\n"):                   "Secret nosuch has no key k, or is not there",
		pod("  volumes: [{name: v, nfs: {server: s, path: /}}]\n"):                                         "spec.volumes[0].nfs is not supported",
		pod("    ports: [{containerPort: 1, hostPort: 5}]\n  - name: d\n    image: x\n    ports: [{containerPort: 2, hostPort: 5}, {containerPort: 1, hostPort: 5}]\n"): "line 12: container d: ports[0].hostPort 5 is published by container c of pod p already",
		pod("  - name: c\n    image: x\n"): "container p-c is there twice",
		pod("") + "---\n" + pod(""):        "pod p is there twice",
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n": "excessive aliasing",
		pod("  initContainers:\n  - name: i\n    image: " + image + "\n    command: ['false']\n"): "init container p-i: it ended with exit code 1",
	} {
		s.WriteFile("x.yaml", text)
		s.Skiff("kube", "play", s.Home()+"/x.yaml").Exits(1).Complains(want)
		harness.Equal(t, "containers left by "+want, s.OK("ps", "-aq"), "")
	}
	s.Skiff("kube", "play", "/nosuch").Exits(1).Complains("open /nosuch: no such file or directory")
	s.Skiff("kube", "generate", "nosuch").Exits(1).Complains("nosuch")
}

// What kube generate writes of files says what is in them.
func TestKube_FilesComeBack(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.WriteFile("pod.yaml", `apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {a: "status: {}\nresources: {}\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: sec}
stringData: {p: hush}
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: `+img+`
    imagePullPolicy: Never
    command: [sh, -c, "cat /v/sub/a /s/p; stat -c %a /s/p; touch /e/f"]
    volumeMounts: [{name: v, mountPath: /v}, {name: s, mountPath: /s}, {name: e, mountPath: /e}]
  volumes:
  - {name: v, configMap: {name: conf, items: [{key: a, path: sub/a}]}}
  - {name: s, secret: {secretName: sec, defaultMode: 256}}
  - {name: e, emptyDir: {}}
`)
	said := func(file string) string {
		t.Helper()
		s.OK("kube", "play", "--network", "none", file)
		s.OK("wait", "p-c")
		return s.OK("logs", "p-c")
	}
	want := "status: {}\nresources: {}\nhush400"
	harness.Equal(t, "played", said("pod.yaml"), want)
	s.OK("kube", "generate", "-f", "again.yaml", "p")
	s.OK("kube", "down", "--force", "pod.yaml")
	text := s.ReadFile("again.yaml")
	for _, kind := range []string{"kind: ConfigMap", "kind: Secret", "emptyDir: {}"} {
		if !strings.Contains(text, kind) || strings.Contains(text, "PersistentVolumeClaim") {
			t.Errorf("without %s, or with a claim:\n%s", kind, text)
		}
	}
	harness.Equal(t, "played again", said("again.yaml"), want)
	s.OK("kube", "down", "again.yaml")
	harness.Equal(t, "volumes left", s.OK("volume", "ls", "-q"), "")
	s.OK("volume", "create", "kept")
	if text := s.OK("kube", "generate", "kept"); !strings.Contains(text, "kind: PersistentVolumeClaim\nmetadata:\n  name: kept") || strings.Contains(text, "Pod") {
		t.Errorf("of a volume: %s", text)
	}
	s.Skiff("kube", "generate", "kept", "none").Exits(1).Complains("no container, pod or volume none")
}

func TestKube_DeploymentsAndStandardInput(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n" +
		"    spec:\n      terminationGracePeriodSeconds: 0\n      containers:\n      - name: c\n        image: " + image + "\n        command: [sleep, '1000']\n        env: [{name: A, value: 'x,y'}]\n---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
	r := s.SkiffInput(strings.NewReader(text), "kube", "play", "-").Exits(0)
	r.Complains("WARNING: Service web has no effect on one machine: spec.selector is empty")
	harness.Equal(t, "pods", s.OK("pod", "ps", "--format", "{{.Name}} {{.Status}}"), "web-pod-1 Running\nweb-pod-0 Running")
	if env := s.Inspect("web-pod-1-c", "{{.Config.Env}}"); !strings.Contains(env, "A=x,y ") {
		t.Errorf("a value with a comma: %s", env)
	}
	s.SkiffInput(strings.NewReader(text), "kube", "down", "-").Exits(0)
	s.OK("run", "-d", "--name", "one", "--network", "none", "-e", "A=1", "-v", "data:/d", "-u", "3:4", "--restart", "no", image, "sleep", "1000")
	out := s.OK("kube", "generate", "-t", "deployment", "-r", "3", "one")
	s.OK("create", "--name", "two", "-p", "127.0.0.1:8088:80", image, "true")
	if served := s.OK("kube", "generate", "-s", "two"); !strings.Contains(served, "kind: Service") || !strings.Contains(served, "port: 80\n") {
		t.Errorf("no Service in\n%s", served)
	}
	for _, want := range []string{"kind: Deployment", "replicas: 3", "- sleep", "value: \"1\"", "runAsUser: 3", "runAsGroup: 4", "claimName: data", "kind: PersistentVolumeClaim"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestKube_ServicesAreFoundByName(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	pod := func(name, labels string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: " + labels + "}\nspec:\n  terminationGracePeriodSeconds: 0\n" +
			"  containers:\n  - {name: c, image: " + img + ", command: [sleep, '1000'], ports: [{name: sql, containerPort: 5432}]}\n"
	}
	service := func(meta, spec string) string {
		return "---\napiVersion: v1\nkind: Service\nmetadata: {" + meta + "}\nspec: {" + spec + "}\n"
	}
	text := pod("asks", "{app: asks}") +
		service("name: db, namespace: default", "selector: {app: db}, ports: [{port: 5432}]") +
		service("name: two, labels: {x: z}", "selector: {app: db, tier: back}, clusterIP: None, ports: [{name: a, port: 80, targetPort: 8080}, {name: b, port: 5432, targetPort: sql}, {name: c, port: 1, targetPort: nosuch}]") +
		service("name: far", "type: NodePort, selector: {app: other}, ports: [{port: 80}]") +
		service("name: wide", "type: LoadBalancer, selector: {app: db}, loadBalancerClass: x, ports: [{port: 5432, nodePort: 30000}]") +
		service("name: elsewhere, namespace: prod", "selector: {app: db}, ports: [{port: 80}]") +
		service("name: alias", "type: ExternalName, externalName: example.com") +
		pod("db1", "{app: db, tier: back}") + pod("db2", "{app: db, tier: back, more: x}")
	s.WriteFile("shop.yaml", text)
	r := s.Skiff("kube", "play", "shop.yaml").Exits(0)
	for _, want := range []string{
		"Service two: spec.ports[0].targetPort 8080 is not port 80, and nothing forwards: ask for two:8080",
		`Service two: spec.ports[2].targetPort: no port of pod db1 is called "nosuch"`,
		"Service far: spec.type NodePort publishes nothing on this machine: use hostPort, or --publish",
		"Service far has no effect: spec.selector selects no pod of this YAML",
		"Service wide: spec.type LoadBalancer publishes nothing on this machine: use hostPort, or --publish",
		"Service wide: line 28: spec.loadBalancerClass is not supported: it has no effect",
		"Service elsewhere has no effect: spec.selector selects no pod of this YAML",
		"Service alias: line 38: spec.externalName is not supported: it has no effect",
	} {
		r.Complains("WARNING: " + want)
	}
	addresses := func(network string) string {
		list := []string{}
		for _, p := range []string{"db1", "db2"} {
			list = append(list, s.Inspect(p+"-infra", "{{(index .NetworkSettings.Networks \""+network+"\").IPAddress}}"))
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	asked := func(name string) string {
		out := s.Skiff("exec", "asks-c", "nslookup", "-type=a", name).Stdout
		_, out, _ = strings.Cut(out, "Name:")
		list := []string{}
		for line := range strings.Lines(out) {
			if ip, ok := strings.CutPrefix(line, "Address: "); ok {
				list = append(list, strings.TrimSpace(ip))
			}
		}
		slices.Sort(list)
		return strings.Join(slices.Compact(list), " ")
	}
	for _, name := range []string{"db", "db.default", "db.default.svc", "db.default.svc.cluster.local", "two.default.svc.cluster.local", "wide"} {
		harness.Equal(t, name, asked(name), addresses("bridge"))
	}
	harness.Equal(t, "of another namespace", asked("elsewhere.prod"), "")
	out := s.OK("kube", "generate", "db1")
	for _, want := range []string{"kind: Service\nmetadata:\n  name: two\nspec:\n  clusterIP: None\n  ports:\n  - name: a\n    port: 80\n    targetPort: 8080\n", "targetPort: sql\n", "  selector:\n    app: db\n    tier: back\n---\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	s.OK("kube", "down", "shop.yaml")

	s.OK("network", "create", "inner")
	s.OK("kube", "play", "--network", "inner", "shop.yaml")
	harness.Equal(t, "on a network of its own", asked("db.default.svc"), addresses("inner"))
	s.OK("kube", "down", "shop.yaml")
	for text, want := range map[string]string{
		service("name: A", "selector: {a: b}"): "Service A: metadata.name and metadata.namespace must be of a-z, 0-9 and -",
		service("name: a", "selector: {a: b}") + service("name: a, namespace: default", "selector: {a: b}"): "Service a is there twice",
		service("name: a", "selectors: {a: b}"): `unknown field "spec.selectors"`,
	} {
		s.WriteFile("bad.yaml", text)
		s.Skiff("kube", "play", "bad.yaml").Exits(1).Complains(want)
	}
}

func TestKube_VolumesThatTellAndShow(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Mkdir("host")
	s.WriteFile("pod.yaml", strings.NewReplacer("IMG", img, "HOME", s.Home()).Replace(`
apiVersion: v1
kind: Pod
metadata:
  name: p
  labels: {app: "a b", tier: front}
spec:
  terminationGracePeriodSeconds: 0
  serviceAccountName: robot
  containers:
  - name: c
    image: IMG
    imagePullPolicy: Never
    command: [sleep, "1000"]
    resources: {requests: {memory: 64Mi, cpu: 1500m}}
    env:
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: MIB, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}}
    - {name: CPUS, valueFrom: {resourceFieldRef: {resource: requests.cpu}}}
    - {name: PART, value: in}
    volumeMounts:
    - {name: about, mountPath: /about}
    - {name: files, mountPath: /files}
    - {name: host, mountPath: /sub, subPathExpr: "$(PART)/side"}
    - {name: made, mountPath: /made}
  volumes:
  - name: about
    downwardAPI:
      defaultMode: 0440
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: deep/memory, mode: 0400, resourceFieldRef: {containerName: c, resource: requests.memory}}
  - {name: files, image: {reference: IMG, pullPolicy: Never}}
  - {name: host, hostPath: {path: HOME/host, type: DirectoryOrCreate}}
  - {name: made, hostPath: {path: HOME/made, type: FileOrCreate}}
`))
	s.Skiff("kube", "play", "pod.yaml").Exits(0).Complains("serviceAccountName robot: there are no service accounts")
	s.Skiff("exec", "p-c", "sh", "-c", `cat /about/labels; echo; stat -c %a /about/labels /about/deep/memory; cat /about/deep/memory; echo
		echo $MIB $CPUS; test $NODE = `+hostname(t)+` || echo $NODE; ls /files/bin/sh; (echo x >/files/x) 2>/dev/null || echo refused
		echo made >/made; echo below >/sub/f`).
		Exits(0).Prints("app=\"a b\"\ntier=\"front\"\n440\n400\n67108864\n64 2\n/files/bin/sh\nrefused")
	harness.Equal(t, "the file that was made", s.ReadFile("made"), "made\n")
	harness.Equal(t, "below the directory", s.ReadFile("host/in/side/f"), "below\n")
	s.OK("kube", "down", "pod.yaml")

	s.OK("create", "--name", "above", "-v", s.Home()+"/host:/o:O", "-v", s.Home()+"/host:/u:U", "--network", "none", img, "true")
	s.Skiff("kube", "generate", "above").Exits(0).Complains("/o is read-only there").Complains("/u is not given to the container's user there").
		Says("mountPath: /o\n      name: above-host-0\n      readOnly: true")
	s.OK("rm", "above")
	for kind, want := range map[string]string{
		"Directory": "hostPath type check failed: HOME/made is not a Directory", "Socket": "HOME/made is not a Socket",
		"CharDevice": "HOME/made is not a CharDevice", "BlockDevice": "HOME/made is not a BlockDevice", "Nothing": "hostPath.type Nothing is not supported",
	} {
		s.WriteFile("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: "+img+
			"}\n  volumes:\n  - {name: v, hostPath: {path: "+s.Home()+"/made, type: "+kind+"}}\n")
		s.Skiff("kube", "play", "pod.yaml").Exits(1).Complains(strings.ReplaceAll(want, "HOME", s.Home()))
	}
	for volume, want := range map[string]string{
		"image: {reference: nosuch, pullPolicy: Never}":                                           "No such image: nosuch:latest",
		"image: {pullPolicy: Never}":                                                              "image.reference is missing",
		"image: {reference: x, pullPolicy: Sometimes}":                                            `PullPolicy "Sometimes" is not one of`,
		"downwardAPI: {items: [{path: x, fieldRef: {fieldPath: status.podIP}}]}":                  "fieldRef status.podIP is not supported",
		"downwardAPI: {items: [{path: x, resourceFieldRef: {resource: limits.cpu}}]}":             "there is no container",
		"downwardAPI: {items: [{path: ../../x, fieldRef: {fieldPath: metadata.name}}]}":           "leaves the volume",
		"downwardAPI: {items: [{path: x, resourceFieldRef: {containerName: c, resource: pods}}]}": "resourceFieldRef pods is not supported",
	} {
		s.WriteFile("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: "+img+
			"}\n  volumes:\n  - name: v\n    "+volume+"\n")
		s.Skiff("kube", "play", "pod.yaml").Exits(1).Complains(want)
	}
	harness.Equal(t, "what is left", s.OK("ps", "-aq")+s.OK("pod", "ps", "-q")+s.OK("volume", "ls", "-q"), "")
}
