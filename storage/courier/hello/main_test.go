package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeProc is a /proc of a container of skiff's.
func fakeProc(t *testing.T) proc {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"self/uid_map":         "0 1000 1\n1 100000 65536\n",
		"self/mountinfo":       "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /proc rw - proc proc rw\n",
		"self/status":          "Name:\thello\nCapEff:\t00000000a80425fb\nSeccomp:\t2\nNoNewPrivs:\t1\n",
		"self/cgroup":          "0::/\n",
		"sys/kernel/osrelease": "6.8.0\n",
		"1/stat":               "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "self/ns"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, number := range map[string]string{"pid": "4026532001", "user": "4026532002", "cgroup": initial["cgroup"]} {
		if err := os.Symlink(name+":["+number+"]", filepath.Join(dir, "self/ns", name)); err != nil {
			t.Fatal(err)
		}
	}
	return proc(dir)
}

// squeeze makes the columns' widths not matter.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestWrite_TellsWhatConfines(t *testing.T) {
	p := fakeProc(t)
	var out strings.Builder
	write(&out, []section{whatISee(p), whatConfinesMe(p)})
	got := squeeze(out.String())
	for _, want := range []string{
		"root file system     overlay, writable\n", "mounts               2\n", "processes            only me\n",
		"uid map              0 here are 1000 outside\n", "1-65536 here are 100000-165535 outside\n",
		"own: pid user\n", "the machine's: cgroup\n", "14 of 41:\n", "chown dac_override fowner", "on: system calls are filtered\n", "no new privileges    yes\n",
	} {
		if !strings.Contains(got, squeeze(want)) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestWrite_NothingReadable(t *testing.T) {
	var out strings.Builder
	p := proc(t.TempDir())
	write(&out, []section{whoIAm(p), whatISee(p), whatConfinesMe(p)})
	if !strings.Contains(squeeze(out.String()), "seccomp unknown") {
		t.Errorf("got:\n%s", out.String())
	}
}
