package logdriver

import (
	"bytes"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skiff/runtime/stage/message"
)

// contents returns what the records of a file hold, whole records only.
func contents(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []byte
	for pos := int64(0); ; {
		n, ok := After(f, pos)
		if !ok {
			return all
		}
		p := make([]byte, n-HeadSize-TailSize)
		if _, err := f.ReadAt(p, pos+HeadSize); err != nil {
			t.Fatal(err)
		}
		all, pos = append(all, p...), pos+n
	}
}

func TestWriter_KeepsEveryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := New(message.Log{Path: path, MaxFile: 1})
	random := rand.New(rand.NewSource(1))
	var want []byte
	for range 50 {
		p := make([]byte, random.Intn(5000))
		random.Read(p)
		if err := w.Write(Stdout, time.Now(), p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p...)
	}
	if got := contents(t, path); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes, want %d", len(got), len(want))
	}
}

func TestWriter_SaysNothingWithoutOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := New(message.Log{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("an empty log was made")
	}
}

func TestWriter_CutsOffWhatACrashLeft(t *testing.T) {
	for _, tail := range []string{"\x05", "\x05\x00\x00\x00\x01", "\x03\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00ab", "\x00\x00\x00\x00"} {
		path := filepath.Join(t.TempDir(), "log")
		cfg := message.Log{Path: path, MaxFile: 1}
		w := New(cfg)
		if err := w.Write(Stdout, time.Now(), []byte("whole\n")); err != nil {
			t.Fatal(err)
		}
		w.Close()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(tail); err != nil {
			t.Fatal(err)
		}
		f.Close()
		w = New(cfg)
		if err := w.Write(Stderr, time.Now(), []byte("next\n")); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got := string(contents(t, path)); got != "whole\nnext\n" {
			t.Errorf("after %q: got %q", tail, got)
		}
	}
}

func TestWriter_RotatesBySize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := New(message.Log{Path: path, MaxSize: 100, MaxFile: 3})
	for _, s := range []string{"a", "b", "c", "d"} {
		if err := w.Write(Stdout, time.Now(), bytes.Repeat([]byte(s), 80)); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	for i, want := range []string{"d", "c", "b"} {
		if got := contents(t, Rotated(path, i)); len(got) != 80 || string(got[:1]) != want {
			t.Errorf("file %d: got %.1q of %d, want %q", i, got, len(got), want)
		}
	}
	if _, err := os.Stat(Rotated(path, 3)); err == nil {
		t.Error("a fourth file is kept")
	}
}
