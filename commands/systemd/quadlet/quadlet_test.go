package quadlet

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/commands/golden"
)

// write puts files, by name, into a new directory.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func generate(t testing.TB, files map[string]string) (dir string, units []*Unit) {
	t.Helper()
	dir = write(t, files)
	units, problems := Generate(Options{Dirs: []string{dir}, User: true, Program: "/usr/bin/skiff"})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return dir, units
}

// show is everything that became of the files, the directory left out.
func show(dir string, units []*Unit) string {
	var b strings.Builder
	for _, u := range units {
		fmt.Fprintf(&b, "--- %s\n", u.Name)
		for _, w := range u.Warnings {
			fmt.Fprintf(&b, "warning: %v\n", w)
		}
		if u.Err != nil {
			fmt.Fprintf(&b, "error: %v\n", u.Err)
		}
		for _, l := range sorted(u.Links) {
			fmt.Fprintf(&b, "%s -> %s\n", l, u.Links[l])
		}
		b.WriteString(u.Text)
	}
	return strings.ReplaceAll(b.String(), dir, "DIR")
}

func TestGenerate_Golden(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"web": {
			"web.container": "[Unit]\nDescription=A web server\nAfter=db.container\n[Container]\nImage=docker.io/library/nginx\nPublishPort=8080:80\n" +
				"Volume=data.volume:/data:ro\nVolume=./here:/h\nVolume=/srv/a b:/srv\nNetwork=inner.network:ip=10.9.0.2,alias=w\nEnvironment=A=1 \"B=two words\"\n" +
				"Exec=nginx -g \"daemon off;\"\nHealthCmd=curl -f http://localhost/ || exit 1\nNotify=healthy\nStopTimeout=120\nAutoUpdate=registry\n" +
				"[Service]\nRestart=on-failure\n[Install]\nWantedBy=default.target multi-user.target\nAlias=www.service\n",
			"web.container.d/10-more.conf": "[Container]\nLabel=x=y\nRetry=3\n",
			"container.d/20-all.conf":      "[Container]\nMemory=64m\n",
			"db.container":                 "[Container]\nImage=db.image\nContainerName=db\nReadOnly=true\nTmpfs=/tmp:size=1m\nUser=5\nGroup=6\nReloadSignal=HUP\n",
			"db.image":                     "[Image]\nImage=quay.io/some/db:1\nArch=arm64\nVariant=v8\n",
			"data.volume":                  "[Volume]\nLabel=app=web\nType=tmpfs\nDevice=tmpfs\nOptions=size=1m\nUser=7\n",
			"inner.network":                "[Network]\nSubnet=10.9.0.0/24\nGateway=10.9.0.1\nInternal=yes\nNetworkDeleteOnStop=true\n",
			"own.build":                    "[Build]\nImageTag=localhost/own:1\nFile=./Dockerfile\nSetWorkingDirectory=unit\nBuildArg=V=1\nPull=always\n",
			"own.container":                "[Container]\nImage=own.build\nEntrypoint=[\"/bin/sh\",\"-c\"]\nExec='echo \"$$HOME; rm -rf /\" | cat; `id`' ;\nServiceName=mine\nSeccompProfile=p.json\n",
			"job@.container":               "[Container]\nImage=box\nExec=echo %i %h\n[Install]\nWantedBy=default.target\nDefaultInstance=one\n",
			"side.container":               "[Container]\nRootfs=/srv/root\nNetwork=db.container\nMount=type=volume,src=data.volume,dst=/d\nNotify=true\nReloadCmd=/bin/reload -x\n[Quadlet]\nDefaultDependencies=false\n",
			"slow.container": "[Container]\nImage=slow\nHealthStartupCmd=test -e /up\nHealthStartupInterval=2s\nHealthStartupRetries=5\nHealthStartupSuccess=2\nHealthStartupTimeout=3s\n" +
				"HealthCmd=[\"CMD\", \"/bin/ok\", \"a b\"]\nHealthInterval=10s\nHealthRetries=4\nHealthStartPeriod=1m\nHealthTimeout=5s\nHealthOnFailure=kill\nHealthMaxLogCount=7\n",
			"bare.container":          "[Container]\nImage=bare\nHealthCmd=none\nHealthInterval=10s\nHealthStartupCmd=x\nMemory=1m\n",
			"test.container":          "[Container]\nImage=test\nHealthCmd=[ -e /up ]\nHealthStartupCmd=[\"CMD-SHELL\",\"x || y\"]\n",
			".hidden/sub/deep.volume": "[Volume]\n",
		},
		"pod": {
			"app.pod": "[Pod]\nPublishPort=8080:80\nNetwork=inner.network:alias=app\nVolume=./shared:/shared\nVolume=data.volume:/data\n" +
				"StopTimeout=5\nPodmanArgs=--share=net\n[Install]\nWantedBy=default.target\n",
			"web.container":  "[Container]\nImage=web\nPod=app.pod\nVolume=/own:/data\n",
			"job.container":  "[Container]\nImage=job\nPod=app.pod\nStartWithPod=false\n",
			"data.volume":    "[Volume]\n",
			"inner.network":  "[Network]\n",
			"kept.pod":       "[Pod]\nPodName=kept\nServiceName=k\nExitPolicy=continue\n[Service]\nRestart=no\n",
			"in.container":   "[Container]\nImage=in\nPod=kept.pod\n",
			"alone.pod":      "[Pod]\n",
			"template@.pod":  "[Pod]\n",
			"wrong.pod":      "[Pod]\nExitPolicy=maybe\n",
			"patient.pod":    "[Pod]\nStopTimeout=long\n",
			"unnamed.pod":    "[Pod]\nPort=1\n",
			"two@.container": "[Container]\nImage=two\nPod=kept.pod\n",
		},
		"kube": {
			"app.kube": "[Kube]\nYaml=app.yaml\nConfigMap=./c.yaml\nConfigMap=/etc/d.yaml\nNetwork=inner.network\nPublishPort=8080:80\nLogDriver=none\n" +
				"AutoUpdate=registry\nAutoUpdate=web/local\nExitCodePropagation=any\nSetWorkingDirectory=yaml\nKubeDownForce=true\n[Install]\nWantedBy=default.target\n",
			"inner.network": "[Network]\n",
			"plain.kube":    "[Kube]\nYaml=/srv/a b.yaml\nServiceName=p\n[Service]\nRestart=always\n",
			"none.kube":     "[Kube]\n",
			"two.kube":      "[Kube]\nYaml=a\nYaml=b\n",
			"user.kube":     "[Kube]\nYaml=a\nUserNS=auto\n",
			"policy.kube":   "[Kube]\nYaml=a\nAutoUpdate=web/always\n",
			"exit.kube":     "[Kube]\nYaml=a\nExitCodePropagation=some\n",
			"where.kube":    "[Kube]\nYaml=a\nSetWorkingDirectory=here\n",
			"key.kube":      "[Kube]\nYaml=a\nImage=x\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, units := generate(t, files)
			golden.Check(t, name, show(dir, units))
		})
	}
}

func TestGenerate_MistakesNameFileAndLine(t *testing.T) {
	for text, want := range map[string]string{
		"[Container]\nImage=a\nHealthCmd=[\"CMD\"]\n":               `x.container:3: HealthCmd: ["CMD"] names no command`,
		"[Container]\nImage=a\nImag=b\n":                            `x.container:3: unsupported key "Imag" in the section [Container]`,
		"[Container]\nExec=a\n":                                     "x.container:1: no Image= or Rootfs= in the section [Container]",
		"[Unit]\n":                                                  "x.container:1: the section [Container] is missing",
		"[Container]\nImage=a\n[Servce]\n":                          "x.container:3: unknown section [Servce] in a .container file",
		"[Container]\nImage=a\nExec=\"a\n":                          `x.container:3: Exec: the quote " is not closed`,
		"[Container]\nImage=a\nVolume=no.volume:/a\n":               "x.container:3: Volume: there is no file no.volume",
		"[Container]\nImage=x.build\n":                              "x.container:2: Image: there is no file x.build",
		"[Container]\nImage=--privileged\n":                         `x.container:2: Image: "--privileged" is no image's name`,
		"[Container]\nImage=a\nNetwork=x.container\n":               "x.container:3: Network: x.container needs this file itself, in the end",
		"[Container]\nImage=a\nEnvironmentHost=true\n":              "x.container:3: EnvironmentHost= is not supported: the unit's own environment is not the container's; name what it needs with Environment=",
		"[Container]\nImage=a\nRunInit=maybe\n":                     `x.container:3: RunInit: "maybe" is neither true nor false`,
		"[Container]\nImage=a\nServiceName=../../etc/x\n":           `x.container:3: ServiceName: "../../etc/x" is no unit's name`,
		"[Container]\nImage=a\n[Service]\nType=forking\n":           "x.container:4: Type=forking is not supported in [Service]: it must be one of notify, oneshot, exec, simple",
		"[Container]\nImage=a\n[Unit]\nAfter=gone.container\n":      "x.container:4: After: there is no file gone.container",
		"[Container]\nImage=a\nGroup=1\n":                           "x.container:3: Group: Group= needs User=",
		"[Container]\nImage=a\nPod=a.pod\n":                         "x.container:3: Pod: there is no file a.pod",
		"[Container]\nImage=a\nPod=a\n":                             `x.container:3: Pod: "a" is no .pod file`,
		"[Container]\nImage=a\nStartWithPod=no\n":                   "x.container:3: StartWithPod: there is no Pod= to start with",
		"[Container]\nImage=a\nReloadCmd=a\nReloadSignal=HUP\n":     "x.container:4: ReloadSignal: ReloadCmd= and ReloadSignal= exclude each other",
		"[Container]\nImage=a\nAutoUpdate=always\n":                 `x.container:3: AutoUpdate: "always" is neither registry nor local`,
		"[Container]\nImage=a\nEntrypoint=[1]\n":                    "x.container:3: Entrypoint: [1] is no list of words",
		"[Container]\nImage=a\nPublishPort=80\nPublishPort=99999\n": "x.container:4: PublishPort: invalid containerPort: 99999",
		"[Container]\nImage=a\nHealthInterval=never\n":              `x.container:3: HealthInterval: "never" is no duration such as 30s or 1m30s`,
		"[Container]\nImage=a\nPidsLimit=many\n":                    `x.container:3: PidsLimit: "many" is no whole number`,
		"[Container]\nImage=a\nMemory=lots\n":                       "x.container:3: Memory: invalid size: 'lots'",
		"[Container]\nImage=a\nIP=10.0.0\n":                         `x.container:3: IP: "10.0.0" is no IP address`,
		"nonsense":                                                  `x.container:1: missing '=' in "nonsense"`,
	} {
		dir, units := generate(t, map[string]string{"x.container": text, "good.volume": "[Volume]\n"})
		if units[0].Err != nil || units[0].Text == "" {
			t.Errorf("%q: another file suffers: %v", text, units[0].Err)
		}
		err := units[1].Err
		if err == nil || strings.TrimPrefix(err.Error(), dir+"/") != want || units[1].Text != "" {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestGenerate_LeavesValuesThatItCannotTell(t *testing.T) {
	for name, text := range map[string]string{
		"x@.container": "[Container]\nImage=a\nPublishPort=%i:80\nHealthInterval=${EVERY}\nPidsLimit=-1\nStopSignal=SIGRTMIN+3\nSecret=a,type=env,target=A\n",
		"a.container":  "[Container]\nImage=a\nHealthCmd=none\nHealthInterval=disable\nHealthStartupRetries=no\nStopTimeout=0x10\n",
		"b.container":  "[Container]\nImage=a\nHealthCmd=true\nHealthStartupCmd=[\"NONE\"]\nHealthStartupInterval=never\n",
		"c.build":      "[Build]\nImageTag=a\nSetWorkingDirectory=unit\nSecret=id=mysecret,src=/x\n",
	} {
		if _, units := generate(t, map[string]string{name: text}); units[0].Err != nil {
			t.Error(units[0].Err)
		}
	}
}

func TestGenerate_RefusesALoopAndTwoOfOneName(t *testing.T) {
	_, units := generate(t, map[string]string{
		"a.container": "[Container]\nImage=i\nNetwork=b.container\n",
		"b.container": "[Container]\nImage=i\nNetwork=a.container\n",
		"c.container": "[Container]\nImage=i\nServiceName=same\n",
		"d.container": "[Container]\nImage=i\nServiceName=same\n",
		"e.pod":       "[Pod]\nVolume=e.volume:/v\nNetwork=f.container\n",
		"f.container": "[Container]\nImage=i\nPod=e.pod\n",
	})
	for i, want := range []string{
		"needs this file itself", "needs this file itself", "", "also becomes same.service", "needs this file itself", "needs this file itself",
	} {
		if got := fmt.Sprint(units[i].Err); !strings.Contains(got, want) || want == "" && units[i].Err != nil {
			t.Errorf("%s: %s", units[i].Path, got)
		}
	}
}

// Every key is translated, refused or warned of; none vanishes.
func TestRules_NoKeyIsSilent(t *testing.T) {
	code := ""
	for _, file := range []string{"translate.go", "container.go", "resource.go", "pod.go", "quadlet.go", "source.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code += string(text)
	}
	for section, keys := range rules() {
		for key, r := range keys {
			switch r.how {
			case each, words, once, boolean:
				if r.flag == "" {
					t.Errorf("[%s] %s has no flag", section, key)
				}
			case refused, warned:
				if r.why == "" {
					t.Errorf("[%s] %s: nothing says why", section, key)
				}
			case ours:
				if !strings.Contains(code, `"`+key+`"`) {
					t.Errorf("[%s] %s: no code knows it", section, key)
				}
			default:
				t.Errorf("[%s] %s has no rule", section, key)
			}
		}
	}
}

func TestWrite_MakesLinksAndInstances(t *testing.T) {
	dir := write(t, map[string]string{"job@.container": "[Container]\nImage=box\n[Install]\nWantedBy=a.target\n"})
	if err := os.Symlink("job@.container", filepath.Join(dir, "job@two.container")); err != nil {
		t.Fatal(err)
	}
	units, _ := Generate(Options{Dirs: []string{dir}, User: true, Program: "/skiff"})
	out := t.TempDir()
	if err := Write(out, units); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(out, "a.target.wants/job@two.service")); err != nil || to != "../job@.service" {
		t.Errorf("%q, %v", to, err)
	}
	text, err := os.ReadFile(filepath.Join(out, "job@.service"))
	if err != nil || !strings.Contains(string(text), "--name=systemd-%p_%i") {
		t.Errorf("%s, %v", text, err)
	}
	// A second call, over what is there.
	if err := Write(out, units); err != nil {
		t.Error(err)
	}
}

func TestDirs(t *testing.T) {
	set := map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}
	get := func(k string) string { return set[k] }
	want := "/r/containers/systemd /h/.config/containers/systemd /etc/containers/systemd/users/7 /etc/containers/systemd/users /usr/share/containers/systemd/users"
	if got := strings.Join(Dirs(get, true, 7), " "); got != want {
		t.Errorf("user: %s", got)
	}
	if got := strings.Join(Dirs(get, false, 0), " "); got != "/run/containers/systemd /etc/containers/systemd /usr/share/containers/systemd" {
		t.Errorf("system: %s", got)
	}
	set["QUADLET_UNIT_DIRS"] = "/a:/b"
	if got := strings.Join(Dirs(get, true, 7), " "); got != "/a /b" {
		t.Errorf("replaced: %s", got)
	}
}

// hundred are a hundred files as people write them.
func hundred() map[string]string {
	files := map[string]string{}
	for i := range 60 {
		files[fmt.Sprintf("c%d.container", i)] = fmt.Sprintf("[Unit]\nDescription=c\n[Container]\nImage=i\nVolume=v%d.volume:/v\nNetwork=n%d.network\n"+
			"Environment=A=1 B=2\nPublishPort=%d:80\nExec=sh -c \"sleep 1\"\n[Service]\nRestart=always\n[Install]\nWantedBy=default.target\n", i%20, i%20, 9000+i)
	}
	for i := range 20 {
		files[fmt.Sprintf("v%d.volume", i)] = "[Volume]\nLabel=a=b\n"
		files[fmt.Sprintf("n%d.network", i)] = "[Network]\nLabel=a=b\n"
	}
	return files
}

func BenchmarkGenerate100(b *testing.B) {
	dir := write(b, hundred())
	for b.Loop() {
		Generate(Options{Dirs: []string{dir}, User: true, Program: "/skiff"})
	}
}

// The budget is 20 ms. What is counted is the time of processors, which others on
// the machine do not change, and the best of many.
func TestGenerate_HundredFilesIn20ms(t *testing.T) {
	dir := write(t, hundred())
	best := time.Hour
	for range 20 {
		before := spent(t)
		units, _ := Generate(Options{Dirs: []string{dir}, User: true, Program: "/skiff"})
		best = min(best, spent(t)-before)
		if len(units) != 100 {
			t.Fatalf("%d units", len(units))
		}
	}
	if best > 20*time.Millisecond {
		t.Errorf("the best of 20 took %v", best)
	}
}

// spent is this process's time on processors.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestGenerate_PassesOnWhatConfines(t *testing.T) {
	for keys, want := range map[string]string{
		"Mask=/proc/x:/y":                    "--security-opt=mask=/proc/x:/y ",
		"Unmask=ALL":                         "--security-opt=unmask=ALL ",
		"Unmask=/proc/kcore":                 "--security-opt=unmask=/proc/kcore ",
		"UserNS=nomap":                       "--userns=nomap ",
		"RemapUsers=auto":                    "--userns=auto ",
		"RemapUsers=auto\nRemapUidSize=2000": "--userns=auto:size=2000 ",
	} {
		_, units := generate(t, map[string]string{"x.container": "[Container]\nImage=a\n" + keys + "\n"})
		if units[0].Err != nil || !strings.Contains(units[0].Text, want) {
			t.Errorf("%s: %v\n%s", keys, units[0].Err, units[0].Text)
		}
	}
	_, units := generate(t, map[string]string{"x.container": "[Container]\nImage=a\nRemapUsers=auto\nRemapUid=1:2:3\n"})
	if units[0].Err == nil || !strings.Contains(units[0].Err.Error(), "RemapUsers=auto with RemapUid=") {
		t.Errorf("RemapUid= beside auto: %v", units[0].Err)
	}
}
