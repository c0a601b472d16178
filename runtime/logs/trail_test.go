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
	tr, err := newTrail(path, f)
	if err != nil {
		t.Fatal(err)
	}
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
	known, err := os.Open(path + ".3")
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	tr, err := newTrail(path, known)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	tr.look()
	if len(tr.queue) != 2 || tr.queue[0].Name() != path+".2" || tr.queue[1].Name() != path {
		t.Errorf("got %d files", len(tr.queue))
	}
}

// The writer is faster than any reader; rotation waits until the files were seen.
func TestRead_FollowsWhatIsRotatedFasterThanItLooks(t *testing.T) {
	for _, files := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(files, " files"), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			w := logdriver.New(message.Log{Path: path, MaxSize: 100, MaxFile: files})
			const records = 200
			reading, over := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(over)
				for i := range records {
					if err := w.Write(logdriver.Stdout, time.Now(), fmt.Appendf(nil, "%40d", i)); err != nil {
						t.Error(err)
					}
					if i == 0 {
						<-reading
					}
				}
				w.Close()
			}()
			next := 0
			err := Read(t.Context(), filepath.Dir(path), Options{Tail: -1, Follow: true, Ended: func() bool {
				select {
				case <-over:
					return true
				default:
					return false
				}
			}}, func(_ byte, _ time.Time, p []byte) error {
				if next == 0 {
					close(reading)
				}
				if want := fmt.Sprintf("%40d", next); string(p) != want {
					return fmt.Errorf("got %s, want %s", p, want)
				}
				next++
				return nil
			})
			if err != nil || next != records {
				t.Errorf("got %d of %d records: %v", next, records, err)
			}
		})
	}
}
