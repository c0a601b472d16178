package container_test

import (
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

func TestTerminal_IsTheContainers(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	c := s.Terminal("run", "--rm", "-it", "--network", "none", img)
	c.Expect("# ")
	c.Type("tty; stty size; echo TERM=$TERM\r")
	c.Expect("/dev/pts/0")
	c.Expect("24 80")
	c.Expect("TERM=xterm")
	c.Resize(33, 101)
	// The new size arrives by a signal; ask until it is there.
	c.Type("while [ \"$(stty size)\" != '33 101' ]; do sleep 0.1; done; echo re''sized\r")
	c.Expect("resized")
	c.Type("sh -c 'echo wait''ing; exec sleep 1000'\r")
	c.Expect("waiting") // so it has the terminal
	c.Type("\x03")      // Ctrl-C reaches sleep, not skiff
	c.Expect("^C")
	c.Type("echo sta''tus $?\r")
	c.Expect("status 130")
	c.Type("exit 7\r")
	c.Exits(7)
	if c.Raw() {
		t.Error("the terminal is left in raw mode")
	}
	sizes := told(s, "-f", "event=resize", "--format", "{{.Actor.Attributes.height}} {{.Actor.Attributes.width}}")
	if len(sizes) < 2 || sizes[0] != "24 80" || sizes[len(sizes)-1] != "33 101" {
		t.Errorf("sizes in the events: %q", sizes)
	}
}

func TestTerminal_JobControl(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	c := s.Terminal("run", "--rm", "-it", "--network", "none", img)
	c.Expect("# ")
	c.Type("sh -c 'echo wait''ing; exec sleep 1000'\r")
	c.Expect("waiting") // so it has the terminal
	c.Type("\x1a")      // Ctrl-Z
	c.Expect("Stopped")
	c.Type("kill -9 %1; sleep 0.5; wait; exit 0\r")
	c.Exits(0)
}

func TestTerminal_DetachKeysLeaveItRunning(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	c := s.Terminal("run", "-it", "--name", "it", "--network", "none", img)
	c.Expect("# ")
	c.Type("X=kept; echo rea''dy\r")
	c.Expect("ready")
	c.Type("\x10\x11") // ctrl-p ctrl-q
	c.Exits(0)
	if c.Raw() {
		t.Error("the terminal is left in raw mode")
	}
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")

	again := s.Terminal("attach", "--detach-keys", "ctrl-a,d", "it")
	again.Type("\recho $X again\r")
	again.Expect("kept again")
	again.Type("\x10") // a lone ctrl-p is the container's own
	again.Type("\x01d")
	again.Expect("read escape sequence")
	again.Exits(1) // as docker's attach
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")

	last := s.Terminal("attach", "it")
	last.Type("\rexit 9\r")
	last.Exits(9)
}

func TestTerminal_WithoutInputOfIt(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	s.Skiff("run", "--rm", "-t", "--network", "none", img, "tty").Exits(0).
		PrintsMatch(`0 \d+ \d+\r\n1 \d+ \d+\r\n2 \d+ \d+\r`)
	s.Skiff("run", "--rm", "--network", "none", img, "tty").Exits(0).Prints("0 no\n1 no\n2 no")
}

func TestTerminal_Exec(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	sleeper(s, img, "--name", "it")
	c := s.Terminal("exec", "-it", "it", "sh")
	c.Expect("# ")
	c.Type("stty size; tty\r")
	c.Expect("24 80")
	c.Expect("/dev/pts/")
	c.Type("exit 5\r")
	c.Exits(5)
}

func TestSignals_AreProxied(t *testing.T) {
	s := harness.New(t)
	img := s.LoadPayload()
	for _, test := range []struct {
		signal syscall.Signal
		want   string
	}{
		{syscall.SIGTERM, "SIGTERM"},
		{syscall.SIGINT, "SIGINT"},
		{syscall.SIGHUP, "SIGHUP"},
		{syscall.SIGUSR1, "SIGUSR1"},
	} {
		t.Run(test.want, func(t *testing.T) {
			c := s.In(t).Terminal("run", "--rm", "-i", "--network", "none", img, "trap", "6")
			c.Expect("ready")
			c.Signal(test.signal)
			c.Expect(test.want)
			c.Exits(6)
		})
	}
}

func TestSignals_EndOnlyTheFrontWithoutProxy(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	c := s.Terminal("run", "--sig-proxy=false", "--name", "it", "--network", "none", img, "sh", "-c", "echo ready; sleep 1000")
	c.Expect("ready")
	c.Signal(syscall.SIGTERM)
	c.Exits(143)
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")
}

func TestMonitor_OutlivesTheTerminal(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	c := s.Terminal("run", "-it", "--name", "it", "--network", "none", img, "sh", "-c", "while :; do sleep 0.1; done")
	s.Eventually("it runs", func() bool { return s.Skiff("inspect", "-f", "{{.State.Running}}", "it").Out() == "true" })
	c.Signal(syscall.SIGKILL)
	c.Exits(137)
	harness.Equal(t, "the state", s.Inspect("it", "{{.State.Status}}"), "running")
}

func TestAttach_ToWhatWasStartedDetached(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("run", "-d", "-i", "--name", "it", "--network", "none", img, "sh", "-c", "read line; echo $line; exit 3")
	s.SkiffInput(strings.NewReader("through\n"), "attach", "it").Exits(3).Prints("through")
	s.Skiff("attach", "it").Exits(1).Complains("cannot attach to a stopped container")
	s.Skiff("attach", "nothing").Exits(1).Complains("No such container: nothing")
}
