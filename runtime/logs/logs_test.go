package logs

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
)

func write(t *testing.T, dir string, max int64, pieces ...string) *logdriver.Writer {
	t.Helper()
	w := logdriver.New(message.Log{Path: filepath.Join(dir, "log"), MaxSize: max, MaxFile: 10})
	for i, p := range pieces {
		if err := w.Write(logdriver.Stdout, time.Unix(int64(i), 0), []byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func read(t *testing.T, dir string, o Options) string {
	t.Helper()
	var got bytes.Buffer
	err := Read(t.Context(), dir, o, func(_ byte, _ time.Time, p []byte) error {
		got.Write(p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestRead_Tail(t *testing.T) {
	pieces := []string{"one\ntw", "o\n", "three\nfour\n", "fi", "ve"}
	all := strings.Join(pieces, "")
	for _, max := range []int64{0, 30} { // one file, and a file or two a record
		dir := t.TempDir()
		write(t, dir, max, pieces...).Close()
		for n, want := range map[int]string{
			-1: all, 0: "", 1: "five", 2: "four\nfive", 3: "three\nfour\nfive", 4: "two\nthree\nfour\nfive", 5: all, 99: all,
		} {
			if got := read(t, dir, Options{Tail: n}); got != want {
				t.Errorf("rotated at %d, tail %d: got %q, want %q", max, n, got, want)
			}
		}
	}
}

func TestRead_SinceAndUntil(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, 0, "0\n", "1\n", "2\n", "3\n").Close()
	if got := read(t, dir, Options{Tail: -1, Since: time.Unix(1, 0), Until: time.Unix(2, 0)}); got != "1\n2\n" {
		t.Errorf("got %q", got)
	}
}

func TestRead_WithoutALog(t *testing.T) {
	if got := read(t, t.TempDir(), Options{Tail: -1}); got != "" {
		t.Errorf("got %q", got)
	}
	ended := func() bool { return true }
	if got := read(t, t.TempDir(), Options{Tail: -1, Follow: true, Ended: ended}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestRead_FollowsThroughRotation(t *testing.T) {
	dir := t.TempDir()
	w := write(t, dir, 4096, "first\n")
	done := make(chan struct{})
	ended := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	var want strings.Builder
	want.WriteString("first\n")
	for i := range 100 {
		fmt.Fprintf(&want, "line %d %s\n", i, strings.Repeat("x", 150))
	}
	go func() {
		defer close(done)
		for i, l := range strings.SplitAfter(strings.TrimPrefix(want.String(), "first\n"), "\n") {
			if w.Write(logdriver.Stdout, time.Unix(int64(i), 0), []byte(l)) != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got bytes.Buffer
	err := Read(ctx, dir, Options{Tail: -1, Follow: true, Ended: ended}, func(_ byte, _ time.Time, p []byte) error {
		got.Write(p)
		return nil
	})
	if err != nil || got.String() != want.String() {
		t.Errorf("got %d bytes, %v, want %d", got.Len(), err, want.Len())
	}
}
