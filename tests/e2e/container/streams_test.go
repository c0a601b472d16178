package container_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// What a container writes is what logs gives, byte by byte, each stream apart.
func TestLogs_AreByteExact(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	const script = `printf 'nul\0byte\n'; head -c 1048577 /dev/zero | tr '\0' x; echo; printf '\377\376\r\n\n'; printf partial
		printf 'e\0rr' >&2; head -c 300000 /dev/zero | tr '\0' y >&2`
	want := "nul\x00byte\n" + strings.Repeat("x", 1048577) + "\n\xff\xfe\r\n\npartial"
	wantErr := "e\x00rr" + strings.Repeat("y", 300000)
	same := func(what string, r *harness.Result) {
		t.Helper()
		if r.Stdout != want || r.Stderr != wantErr {
			t.Errorf("%s: %d and %d bytes, want %d and %d; equal: %v %v", what, len(r.Stdout), len(r.Stderr), len(want), len(wantErr), r.Stdout == want, r.Stderr == wantErr)
		}
	}
	same("run", s.Skiff("run", "--name", "it", "--network", "none", img, "sh", "-c", script).Exits(0))
	same("logs", s.Skiff("logs", "it").Exits(0))
	same("logs -f", s.Skiff("logs", "-f", "it").Exits(0))
	r := s.Skiff("logs", "-n", "1", "it").Exits(0)
	harness.Equal(t, "the last line", r.Stdout, "partial")
	s.OK("rm", "it")
}

// Everybody who is attached sees everything; what one types all see the answer of.
func TestAttach_Several(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "-i", "--name", "it", "--network", "none", img, "sh", "-c", "while read -r line; do echo \"said $line\"; [ \"$line\" != end ] || exit 4; done")
	var outputs [3]bytes.Buffer
	var codes [3]int
	done := make(chan int)
	for i := range outputs {
		cmd := s.Command(context.Background(), s.Binary(), "attach", "--no-stdin", "it")
		cmd.Stdout = &outputs[i]
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = cmd.Wait()
			codes[i] = cmd.ProcessState.ExitCode()
			done <- i
		}()
	}
	s.Eventually("three are attached", func() bool {
		return strings.Count(s.OK("events", "--since", "1m", "--until", "0s", "--filter", "event=attach", "--format", "{{.Action}}"), "attach") == 3
	})
	r := s.SkiffInput(strings.NewReader("hello\nend\n"), "attach", "it")
	harness.Equal(t, "exit code of who typed", r.Code, 4)
	for range outputs {
		<-done
	}
	for i := range outputs {
		harness.Equal(t, "what one saw", outputs[i].String(), "said hello\nsaid end\n")
		harness.Equal(t, "exit code", codes[i], 4)
	}
	s.OK("rm", "it")
}

// A terminal that is attached to later has the size of whose it is, and follows it.
func TestAttach_Resizes(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "-it", "--name", "it", "--network", "none", img, "sh")
	c := s.Terminal("attach", "it")
	c.Type("echo rea''dy\r")
	c.Expect("ready")
	c.Resize(31, 99)
	c.Type("while [ \"$(stty size)\" != '31 99' ]; do sleep 0.1; done; echo re''sized\r")
	c.Expect("resized")
	c.Type("exit 3\r")
	c.Exits(3)
	s.OK("rm", "it")
}
