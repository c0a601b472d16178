package logdriver

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

func TestWriter_SendsLinesToTheJournal(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	w := New(message.Log{Path: filepath.Join(dir, "log"), Journal: socket, Fields: []string{"CONTAINER_NAME=it", "NOTE=a\nb"}})
	long := strings.Repeat("x", longestLine)
	for _, p := range []struct {
		kind byte
		text string
	}{{Stdout, "one\ntw"}, {Stderr, "bad\n"}, {Stdout, "o\n\nrest"}, {Stderr, long + "y\n"}} {
		if err := w.Write(p.kind, time.Now(), []byte(p.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	fields := "CONTAINER_NAME=it\nNOTE\n\x03\x00\x00\x00\x00\x00\x00\x00a\nb\n"
	for _, want := range []string{
		"MESSAGE=one\nPRIORITY=6\n", "MESSAGE=bad\nPRIORITY=3\n", "MESSAGE=two\nPRIORITY=6\n", "MESSAGE=\nPRIORITY=6\n",
		"MESSAGE=" + long + "\nPRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\n", "MESSAGE=y\nPRIORITY=3\n", "MESSAGE=rest\nPRIORITY=6\n",
	} {
		buf := make([]byte, 2*longestLine)
		n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if err != nil {
			t.Fatalf("want %.40q: %v", want, err)
		}
		if got := string(buf[:n]); got != want+fields {
			t.Errorf("got %.80q, want %.80q", got, want+fields)
		}
	}
}
