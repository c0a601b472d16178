package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Keep is for a deferred call around one of many tries, any of which may fail: when
// the test has failed, it says what story tells, and with SKIFF_KEEP copies the
// session's directory, store included, into a new directory there. A failure that
// comes once in a thousand tries must explain itself.
func (s *Session) Keep(story func() string) {
	s.T.Helper()
	if !s.T.Failed() {
		return
	}
	s.T.Log(story())
	if os.Getenv("SKIFF_KEEP") == "" {
		return
	}
	dir, err := os.MkdirTemp(os.Getenv("SKIFF_KEEP"), strings.ReplaceAll(s.T.Name(), "/", "-")+".")
	if err == nil {
		err = exec.Command("cp", "-a", s.seen(s.Home()), dir).Run()
	}
	s.T.Logf("the store is kept in %s (%v)", dir, err)
}

// Words collects what a command says that will be killed. A file takes it, because
// who inherits a pipe's end keeps its reader waiting.
type Words struct{ out, err *os.File }

// Listen makes the files.
func (s *Session) Listen() *Words {
	s.T.Helper()
	w := &Words{}
	for _, f := range []**os.File{&w.out, &w.err} {
		var err error
		if *f, err = os.CreateTemp(s.Dir, "words."); err != nil {
			s.T.Fatal(err)
		}
		if err := os.Remove((*f).Name()); err != nil {
			s.T.Fatal(err)
		}
	}
	return w
}

// To lets a command that is not started yet write there.
func (w *Words) To(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = w.out, w.err }

// String is what was said so far.
func (w *Words) String() string {
	return fmt.Sprintf("stdout: %q\nstderr: %q", contents(w.out), contents(w.err))
}

// Close forgets it.
func (w *Words) Close() {
	w.out.Close()
	w.err.Close()
}

func contents(f *os.File) string {
	data := make([]byte, 4000)
	n, _ := f.ReadAt(data, 0) // the end comes sooner, as a rule
	return string(data[:n])
}

// ImageTable is the table of images as it is at this moment, in the words of
// docs/state.md; empty while there is none.
func (s *Session) ImageTable() string {
	data, _ := os.ReadFile(filepath.Join(s.seen(s.Store()), "storage/overlay-images/images.json"))
	return string(data)
}
