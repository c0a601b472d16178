package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
)

// A file that was rotated away, and deleted, after it was seen is still read.
func TestTrail_KeepsWhatIsRotatedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logdriver.New(message.Log{Path: path, MaxSize: 1, MaxFile: 2})
	write := func(i int) {
		t.Helper()
		if err := w.Write(logdriver.Stdout, time.Unix(int64(i), 0), fmt.Appendf(nil, "%d;", i)); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	newest, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{path: path, newest: newest}
	defer tr.close()
	const files = 20
	for i := 1; i < files; i++ {
		write(i) // a file each
		tr.look()
		tr.look() // finds nothing twice
	}
	w.Close()
	got, want := "", ""
	r := &reader{path: path, out: func(_ byte, _ time.Time, p []byte) error {
		got += string(p)
		return nil
	}}
	for i := 1; i < files; i++ {
		want += fmt.Sprintf("%d;", i)
	}
	for f := tr.next(); f != nil; f = tr.next() {
		if _, err := r.pass(f, 0); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// In the middle of a rotation one name is missing; the files behind it count.
func TestTrail_LooksBehindAMissingName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, name := range []string{path, path + ".2", path + ".3"} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known, err := os.Stat(path + ".3")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trail{path: path, newest: known}
	defer tr.close()
	tr.look()
	if len(tr.queue) != 2 || tr.queue[0].Name() != path+".2" || tr.queue[1].Name() != path {
		t.Errorf("got %d files", len(tr.queue))
	}
}
