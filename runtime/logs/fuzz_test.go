package logs

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"skiff/runtime/stage/logdriver"
	"skiff/runtime/stage/message"
)

// FuzzRead reads logs that a power cut or anything else has damaged: what comes
// out is no more than what is in the files.
func FuzzRead(f *testing.F) {
	dir := f.TempDir()
	w := logdriver.New(message.Log{Path: filepath.Join(dir, "log"), MaxFile: 1})
	for i, p := range []string{"one\n", "two", " and a half\n", "\x00\n"} {
		if err := w.Write(byte(logdriver.Stdout), time.Unix(int64(i), 0), []byte(p)); err != nil {
			f.Fatal(err)
		}
	}
	whole, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, 0)
	f.Add(whole, 2)
	f.Add(whole[:len(whole)-3], -1)
	f.Add([]byte{}, 1)
	f.Fuzz(func(t *testing.T, data []byte, tail int) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "log"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		n := 0
		// A damaged log may be an error; it must end.
		_ = Read(t.Context(), dir, Options{Tail: tail}, func(_ byte, _ time.Time, p []byte) error {
			n += len(p)
			return nil
		})
		if n > len(data) {
			t.Errorf("%d bytes gave %d", len(data), n)
		}
	})
}
