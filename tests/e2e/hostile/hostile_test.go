package hostile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"skiff/tests/harness"
)

// canary makes a directory of the user's in which a hostile image would like
// to leave something, and checks at the end of the test that it could not.
func canary(s *harness.Session) string {
	s.T.Helper()
	dir := s.Mkdir("canary")
	for _, sub := range []string{"dev", "proc", "sys", "etc", "run", "tmp"} {
		s.Mkdir("canary/" + sub)
	}
	for _, file := range []string{"secret", "victim", "hosts", "resolv.conf", "hostname", "mtab"} {
		s.WriteFile("canary/"+file, "mine\n")
	}
	before := harness.Snapshot(s.T, dir)
	s.T.Cleanup(func() {
		if after := harness.Snapshot(s.T, dir); after != before {
			s.T.Errorf("the host was changed\nbefore:\n%s\nafter:\n%s", before, after)
		}
	})
	return dir
}

// with returns a busybox image changed by a layer and a configuration. Entries
// of the layer replace what busybox has in their place.
func with(t *testing.T, layer harness.Layer, config map[string]any) harness.Image {
	t.Helper()
	i := harness.BusyboxImage(t)
	i.Name = "hostile:latest"
	if layer != nil {
		i.Layers = append(i.Layers, layer)
	}
	for k, v := range config {
		i.Config[k] = v
	}
	return i
}

func run(s *harness.Session, args ...string) *harness.Result {
	s.T.Helper()
	return s.Skiff(append([]string{"run", "--rm", "--network", "none"}, args...)...)
}

func TestA01_TheBinaryCannotBeOverwritten(t *testing.T) {
	s := harness.New(t)
	s.Mkdir("bin")
	mine := filepath.Join(s.Home(), "bin/skiff")
	s.Do(nil, "cp", s.Binary(), mine).Succeeds()
	img := s.Load(with(t, nil, nil))
	before := s.Shell("sha256sum " + mine).Out()
	const attack = "for i in 1 2 3 4 5; do for p in /proc/[0-9]*; do { echo x >$p/exe; } 2>/dev/null; done; done"
	for range 10 {
		s.Do(nil, mine, "run", "--rm", "--network", "none", img, "sh", "-c", attack)
		s.Do(nil, mine, "run", "--rm", "--network", "none", img, "/proc/self/exe", "true")
	}
	s.Do(nil, mine, "run", "-d", "--name", "it", "--network", "none", img, "sh", "-c", "while :; do "+attack+"; done").Succeeds()
	for range 180 { // 200 with those before
		s.Do(nil, mine, "exec", "it", "true").Exits(0)
	}
	s.Do(nil, mine, "rm", "-f", "it").Exits(0)
	harness.Equal(t, "the binary's checksum", s.Shell("sha256sum "+mine).Out(), before)
}

func TestA02_NoDescriptorIsLeaked(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	run(s, img, "fds").Exits(0).Prints("0 1 2")
	run(s, "-i", img, "fds").Exits(0).Prints("0 1 2")
	run(s, "--init", img, "fds").Exits(0).Prints("0 1 2")
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	s.Skiff("exec", "it", "/payload", "fds").Exits(0).Prints("0 1 2")
	secret := s.WriteFile("secret", "mine\n")
	climb := strings.Repeat("../", 32) + secret
	for fd := 3; fd < 70; fd++ { // 201 tries
		dir := fmt.Sprintf("/proc/self/fd/%d", fd)
		for _, r := range []*harness.Result{
			run(s, "-w", dir, img, "cat", climb), s.Skiff("exec", "-w", dir, "it", "/payload", "cat", climb),
		} {
			if r.Code == 0 {
				t.Errorf("%s: reads a file of the host", r.Line)
			}
		}
		if r := run(s, "-w", dir, img, "cwd"); r.Code == 0 {
			t.Errorf("%s: works, and is in %s", r.Line, r.Out())
		}
	}
	s.OK("rm", "-f", "it")
}

func TestA03_SymlinkedMountPoints(t *testing.T) {
	for _, point := range []string{"dev", "proc", "sys", "run", "etc", "tmp"} {
		t.Run(point, func(t *testing.T) {
			s := harness.New(t)
			dir := canary(s)
			i := with(t, nil, nil)
			var base harness.Layer
			for _, e := range i.Layers[0] {
				if e.Name != point && !strings.HasPrefix(e.Name, point+"/") {
					base = append(base, e)
				}
			}
			i.Layers[0] = append(base, harness.Symlink(point, dir+"/"+point))
			img := s.Load(i)
			run(s, img, "true")
			run(s, "-v", "v:/"+point+"/below", img, "true")
			run(s, "--tmpfs", "/"+point+"/mem", img, "true")
			s.Skiff("rmi", "-f", img)
		})
	}
}

func TestA04_MaskSourcesThatAreSomethingElse(t *testing.T) {
	s := harness.New(t)
	dir := canary(s)
	img := s.Load(with(t, harness.Layer{
		harness.Symlink("dev/null", "/proc/sysrq-trigger"),
		harness.Symlink("dev/console", dir+"/victim"),
		harness.Symlink("dev/ptmx", dir+"/victim"),
	}, nil))
	run(s, img, "sh", "-c", "head -c 1 /proc/kcore | wc -c").Prints("0")
	run(s, "-t", img, "echo", "x")
	run(s, "-v", "v:/proc", img, "true").Exits(125)
	run(s, "-v", "v:/proc/self/attr", img, "true").Exits(125)
}

func TestA06_VolumesAtMagicPaths(t *testing.T) {
	s := harness.New(t)
	canary(s)
	for n, path := range []string{"/proc", "/proc/self", "/sys", "/dev", "/", "../../x", "/proc/../proc", "", "relative"} {
		i := with(t, nil, map[string]any{"Volumes": map[string]any{path: map[string]any{}}})
		i.Name = fmt.Sprintf("hostile:%d", n)
		img := s.Load(i)
		if r := run(s, img, "sh", "-c", "grep -c '^proc /proc ' /proc/mounts"); r.Code == 0 && r.Out() != "1" {
			t.Errorf("volume %q: /proc is mounted %s times", path, r.Out())
		}
	}
}

func TestA07_WorkdirThroughASymlink(t *testing.T) {
	s := harness.New(t)
	dir := canary(s)
	img := s.Load(with(t, harness.Layer{harness.Symlink("wd", dir)}, map[string]any{"WorkingDir": "/wd/made"}))
	run(s, img, "pwd")
}

func TestA08_CapabilitiesOfExec(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	const none, some = "0000000000000000", "00000000a80425fb"
	for _, test := range []struct{ user, effective string }{{"0", some}, {"1000", none}} {
		r := s.Skiff("exec", "-u", test.user, "it", "/payload", "caps").Exits(0)
		for _, line := range []string{"CapInh:\t" + none, "CapAmb:\t" + none, "CapPrm:\t" + test.effective, "CapEff:\t" + test.effective, "CapBnd:\t" + some} {
			r.Says(line + "\n")
		}
	}
}

func TestA09_SupplementaryGroups(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	run(s, "-u", "1000:1000", img, "id").Exits(0).Prints("1000 1000 [1000]")
	run(s, img, "id").Exits(0).Prints("0 0 [0]")
	run(s, "-u", "1000:1000", "--group-add", "5", img, "id").Exits(0).Prints("1000 1000 [5 1000]")
	// Who is refused as a member of the group must not get in as "other".
	busybox := s.LoadBusybox()
	s.OK("run", "-d", "--name", "it", "--network", "none", busybox, "sh", "-c", "echo x >/f; chown 0:1000 /f; chmod 604 /f; touch /ready; sleep 1000")
	s.Eventually("the file is made", func() bool { return s.Skiff("exec", "it", "test", "-e", "/ready").Code == 0 })
	s.Skiff("exec", "-u", "1000:1000", "it", "cat", "/f").Exits(1).Complains("ermission denied")
	s.Skiff("exec", "-u", "1000:1001", "it", "cat", "/f").Exits(0)
}

func TestA10_UserIDsAreReadStrictly(t *testing.T) {
	s := harness.New(t)
	img := s.Load(with(t, nil, nil))
	s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
	for n, user := range []string{
		"-1", "2147483648", "4294967295", "4294967296", "0:4294967296", "root\nx", "1000 0", "+0", "0x0", "1000x", "0:0:0",
	} {
		if r := run(s, "--user="+user, img, "id"); r.Code == 0 {
			t.Errorf("run -u %q is accepted: %s", user, r.Out())
		}
		if r := s.Skiff("exec", "--user="+user, "it", "id"); r.Code == 0 {
			t.Errorf("exec -u %q is accepted: %s", user, r.Out())
		}
		i := with(t, nil, map[string]any{"User": user})
		i.Name = fmt.Sprintf("user:%d", n)
		if r := run(s, s.Load(i), "id"); r.Code == 0 {
			t.Errorf("USER %q is accepted: %s", user, r.Out())
		}
	}
}

func TestA11_PasswdThatIsNoPlainFile(t *testing.T) {
	tests := map[string]func(s *harness.Session) harness.Entry{
		"a FIFO":                    func(*harness.Session) harness.Entry { return harness.FIFO("etc/passwd") },
		"a device":                  func(*harness.Session) harness.Entry { return harness.Symlink("etc/passwd", "/dev/zero") },
		"larger than any real one":  func(*harness.Session) harness.Entry { return harness.File("etc/passwd", strings.Repeat("x", 64<<20)) },
		"a directory":               func(*harness.Session) harness.Entry { return harness.Dir("etc/passwd") },
		"a link to a FIFO out here": hostFIFO,
	}
	for name, entry := range tests {
		t.Run(name, func(t *testing.T) {
			s := harness.New(t)
			i := with(t, harness.Layer{entry(s)}, nil)
			i.Layers[0] = without(i.Layers[0], "etc/passwd")
			img := s.Load(i)
			start := time.Now()
			run(s, "-u", "ana", img, "true").Exits(125)
			run(s, img, "true")
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("two answers took %v", took)
			}
		})
	}
}

func hostFIFO(s *harness.Session) harness.Entry {
	path := filepath.Join(s.Home(), "fifo")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		s.T.Fatal(err)
	}
	return harness.Symlink("etc/passwd", path)
}

func without(l harness.Layer, name string) harness.Layer {
	var kept harness.Layer
	for _, e := range l {
		if e.Name != name {
			kept = append(kept, e)
		}
	}
	return kept
}

func TestA12_EtcFilesThatPointOut(t *testing.T) {
	s := harness.New(t)
	dir := canary(s)
	img := s.Load(with(t, harness.Layer{
		harness.Symlink("etc/hosts", dir+"/hosts"),
		harness.Symlink("etc/resolv.conf", "../../../../../.."+dir+"/resolv.conf"),
		harness.Symlink("etc/hostname", dir+"/hostname"),
		harness.Symlink("etc/mtab", dir+"/mtab"),
		harness.Symlink("run", dir+"/run"),
	}, nil))
	run(s, img, "sh", "-c", "for f in hosts resolv.conf hostname mtab; do echo pwn >/etc/$f; done")
	if r := run(s, img, "cat", dir+"/secret"); strings.Contains(r.Stdout, "mine") {
		t.Error("the secret can be read")
	}
	plain := s.LoadBusybox()
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	run(s, plain, "sh", "-c", "echo pwn >/etc/hosts; echo pwn >/etc/hostname; echo pwn >/etc/resolv.conf")
	after, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	harness.Equal(t, "/etc/hosts of this machine", string(after), string(before))
	run(s, plain, "cat", "/etc/hosts").Exits(0).Says("localhost")
}

func TestA16_SeccompRefusesWhatDockerRefuses(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	run(s, img, "syscalls").Exits(0).Prints(strings.Join([]string{
		"bpf: operation not permitted", "clone3: function not implemented", "io_uring_setup: operation not permitted",
		"keyctl: operation not permitted", "mount: operation not permitted", "setns: operation not permitted",
		"socket(AF_ALG): operation not permitted", "socket(AF_VSOCK): operation not permitted",
		"unshare(CLONE_NEWUSER): operation not permitted", "userfaultfd: operation not permitted",
	}, "\n"))
}

func TestA31_ImagesCannotReadTheEnvironment(t *testing.T) {
	s := harness.New(t)
	s.Setenv("SECRET_TOKEN", "do-not-leak")
	for n, env := range [][]string{{"SECRET_TOKEN"}, {"SECRET*"}, {"*"}, {"=x"}, {""}} {
		i := with(t, nil, map[string]any{"Env": append(env, "PATH=/bin")})
		i.Name = fmt.Sprintf("env:%d", n)
		img := s.Load(i)
		if r := run(s, img, "env"); strings.Contains(r.Stdout, "do-not-leak") {
			t.Errorf("Env %q reads the caller's: %s", env, r.Stdout)
		}
		s.OK("run", "-d", "--name", "it", "--network", "none", img, "sleep", "1000")
		if r := s.Skiff("exec", "it", "env"); strings.Contains(r.Stdout, "do-not-leak") {
			t.Errorf("exec with Env %q reads the caller's: %s", env, r.Stdout)
		}
		if r := s.Skiff("exec", "it", "sh", "-c", "cat /proc/*/environ"); strings.Contains(r.Stdout, "do-not-leak") {
			t.Errorf("a process within has the caller's environment: %q", r.Stdout)
		}
		s.OK("rm", "-f", "it")
	}
}

func TestA32_NothingRawOnTheTerminal(t *testing.T) {
	s := harness.New(t)
	img := s.Load(with(t, nil, map[string]any{
		"Cmd":    []string{"\x1b]0;PWN\a", "a\nFAKE   ROW"},
		"Labels": map[string]string{"l": "\x1b[2J\u009b31m"},
	}))
	s.OK("create", "--name", "it", img)
	for _, args := range [][]string{
		{"ps", "-a"},
		{"ps", "-a", "--no-trunc"},
		{"images"},
		{"inspect", "it"},
		{"ps", "-a", "--format", "json"},
		{"ps", "-a", "--format", "{{.Labels}} {{.Command}}"},
		{"start", "it"},
	} {
		r := s.Skiff(args...)
		for _, c := range r.Stdout + r.Stderr {
			if c != '\n' && (c < ' ' || c >= 0x7f && c <= 0x9f) {
				t.Errorf("%s: prints the control character %U\n%q", r.Line, c, r.Stdout+r.Stderr)
				break
			}
		}
	}
	if rows := strings.Count(s.OK("ps", "-a"), "\n"); rows != 1 {
		t.Errorf("ps prints %d rows for one container", rows)
	}
}

func TestA34_Names(t *testing.T) {
	s := harness.New(t)
	dir := canary(s)
	img := s.Load(with(t, nil, nil))
	for _, name := range []string{"../../x", "a/../b", ".", "..", "-rf", "é", "a b", "a\nb", strings.Repeat("a", 4096), "/", "a"} {
		s.Skiff("create", "--name="+name, img).Exits(1)
	}
	for _, volume := range []string{"a/../b", "-v", "é", strings.Repeat("a", 4096)} {
		run(s, "-v", volume+":/v", img, "true").Exits(125)
		run(s, "--mount", "type=volume,src="+volume+",dst=/v", img, "true").Exits(125)
	}
	s.Skiff("tag", img, "../../y").Exits(1)
	s.Skiff("inspect", "../../"+filepath.Base(dir)).Exits(1)
	s.Skiff("rm", "-f", "../by-name").Exits(0)
	s.Skiff("ps", "-aq").Exits(0).Prints("")
}

func TestA35_HostNames(t *testing.T) {
	s := harness.New(t)
	img := s.Load(with(t, nil, nil))
	for _, name := range []string{"evil\n1.2.3.4 bank.example", "a b", "-a", "a..b", strings.Repeat("a", 65), "a\x00b"} {
		if strings.Contains(name, "\x00") {
			continue // cannot be an argument at all
		}
		run(s, "--hostname="+name, img, "cat", "/etc/hosts").Exits(125)
	}
}

func TestA39_ConfigurationsThatMakeNoSense(t *testing.T) {
	s := harness.New(t)
	for n, config := range []map[string]any{
		{"StopSignal": "SIGFOO"},
		{"Entrypoint": nil, "Cmd": nil},
		{"Healthcheck": map[string]any{"Interval": 0, "Test": []string{}}},
		{"WorkingDir": "relative"},
		{"Env": []string{strings.Repeat("A", 3<<20)}},
	} {
		i := with(t, nil, nil)
		i.Config, i.Name = config, fmt.Sprintf("odd:%d", n)
		r := run(s, s.Load(i))
		if r.Code == 0 || strings.Contains(r.Stderr, "goroutine") {
			t.Errorf("%v: exit code %d\n%s", n, r.Code, r.Stderr)
		}
	}
}

// Files of variables and labels that are none: an end to each, docker's words
// where docker has them, and no container left.
func TestA36_FilesOfVariablesAndLabels(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.Setenv("OURS", "outside")
	long := "A=" + strings.Repeat("x", 1<<20) + "\n"
	for _, test := range []struct {
		name, text string // of the file; "" for the flag's value itself
		value      string
		code       int
		says       string
	}{
		{name: "a NUL byte", text: "A=1\x00x\n", code: 125, says: "NUL byte at line 1"},
		{name: "lines of Windows", text: "A=1\r\nB=2\r\n", says: "A=1.B=2.OURS=."},
		{name: "a byte order mark", text: "\ufeffA=1\nB=2", says: "A=1.B=2.OURS=."},
		{name: "a line of a MiB", text: long, code: 125, says: "a line is longer than 64 KiB"},
		{name: "no name", text: "A=1\n=x\n", code: 125, says: "no variable name on line '=x'"},
		{name: "a space in the name", text: "a b=1\n", code: 125, says: "variable 'a b' contains whitespaces"},
		{name: "bytes that are no text", text: "A=\xff\n", code: 125, says: "invalid utf8 bytes at line 1"},
		{name: "the caller's", text: "A=1\nOURS\nNOT_SET\n", says: "A=1.B=.OURS=outside."},
		{name: "zeros without end", value: "/dev/zero", code: 125, says: "a line is longer than 64 KiB"},
		{name: "lines without end", value: "pipe", code: 125, says: "more than 16 MiB"},
		{name: "a directory", value: "/tmp", code: 125, says: "is a directory"},
		{name: "nothing", value: "/no/such", code: 125, says: "no such file or directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := s.In(t)
			value := test.value
			if value == "" {
				value = s.WriteFile("variables", test.text)
			}
			before := ""
			if value == "pipe" {
				before, value = "rm -f pipe; mkfifo pipe; yes A=1 2>/dev/null | head -c 100000000 >pipe & ", "pipe"
			}
			r := s.Shell(before + "skiff run --rm --network none --env-file " + value + " " + img +
				" sh -c 'echo A=${A}.B=${B}.OURS=$OURS.'").Exits(test.code)
			if !strings.Contains(r.Stdout+r.Stderr, test.says) {
				t.Errorf("says %q %q, want %q", r.Stdout, r.Stderr, test.says)
			}
			r = s.Shell(before + "skiff create --label-file " + value + " " + img)
			if test.code != 0 {
				r.Exits(125)
				return
			}
			id := r.Exits(0).Out()
			if got := s.Inspect(id, `{{index .Config.Labels "A"}}`); got != "1" {
				t.Errorf("label A is %q", got)
			}
			if got := s.Inspect(id, `{{index .Config.Labels "OURS"}}`); strings.Contains(got, "outside") {
				t.Errorf("a label has the caller's variable: %q", got)
			}
			s.OK("rm", id)
		})
	}
	s.Skiff("ps", "-aq").Exits(0).Prints("")
}
