package message

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b Conn) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestConn_CarriesBodiesLargerThanTheSocketBuffer(t *testing.T) {
	a, b := pair(t)
	want := bytes.Repeat([]byte("skiff\x00"), 300_000)
	sent := make(chan error, 1)
	go func() { sent <- a.Send(Stdout, want) }()
	typ, got, _, err := b.Recv()
	if err != nil || typ != Stdout || !bytes.Equal(got, want) {
		t.Errorf("got type %d, %d bytes, %v", typ, len(got), err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestConn_CarriesDescriptors(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := a.Send(ConsoleReady, []byte("x"), int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	fds, err := b.Expect(ConsoleReady, nil)
	if err != nil || len(fds) != 1 {
		t.Fatalf("got %v, %v", fds, err)
	}
	flags, err := unix.FcntlInt(uintptr(fds[0]), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor is not close-on-exec: %d, %v", flags, err)
	}
	if _, err := unix.Write(fds[0], []byte("hi")); err != nil {
		t.Error(err)
	}
	unix.Close(fds[0])
	if got, _ := io.ReadAll(r); string(got) != "hi" {
		t.Errorf("got %q", got)
	}
}

func TestExpect_RefusesWhatIsOutOfTurn(t *testing.T) {
	for _, tc := range []struct {
		name string
		send func(Conn) error
		want func(error) bool
	}{
		{"a failure in place of the answer", func(c Conn) error {
			return c.SendJSON(StepFailed, Failure{Step: "mount", Text: "denied", Code: 126})
		}, func(err error) bool {
			var f *Failure
			return errors.As(err, &f) && f.Code == 126 && f.Error() == "mount: denied"
		}},
		{"another type", func(c Conn) error { return c.Send(RootReady, nil) }, func(err error) bool { return err != nil }},
		{"the end", func(c Conn) error { return unix.Shutdown(c.FD, unix.SHUT_WR) }, func(err error) bool { return errors.Is(err, io.EOF) }},
		{"half a message", func(c Conn) error {
			h := Header(Started, 10)
			_, err := unix.Write(c.FD, h[:3])
			return errors.Join(err, unix.Shutdown(c.FD, unix.SHUT_WR))
		}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"an absurd length", func(c Conn) error {
			h := Header(Started, 1<<31-1)
			_, err := unix.Write(c.FD, h[:])
			return err
		}, func(err error) bool { return err != nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := pair(t)
			if err := tc.send(a); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Expect(Started, &Running{}); !tc.want(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSendLaunch_PassesOnUnread(t *testing.T) {
	a, b := pair(t)
	want := Launch{Filter: []byte{1, 0, 255}, Init: []byte(`{"Hostname":"x"}`)}
	if err := a.SendLaunch(&want); err != nil {
		t.Fatal(err)
	}
	var got Launch
	if _, err := b.RecvLaunch(&got); err != nil || !bytes.Equal(got.Filter, want.Filter) || !bytes.Equal(got.Init, want.Init) {
		t.Errorf("got %q, %q, %v", got.Filter, got.Init, err)
	}
}
