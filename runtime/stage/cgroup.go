package stage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// EnterCgroups moves a process that does nothing yet.
func EnterCgroups(dirs []string, pid int) error {
	for _, dir := range dirs {
		f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(strconv.Itoa(pid))
			f.Close()
		}
		if err != nil {
			return fmt.Errorf("enter control group: %w", err)
		}
	}
	return nil
}

// LeaveCgroups ends what is left in the container's control groups and removes
// them, with what the container made below.
func LeaveCgroups(dirs []string) {
	for _, dir := range dirs {
		// Absent on version 1 and before Linux 5.14; what is left there is only
		// what has no pid namespace of the container's.
		_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
		for step := time.Millisecond; step < time.Second; step *= 2 {
			if removeCgroup(dir) {
				break
			}
			time.Sleep(step) // the kernel takes the dead out a little later
		}
	}
}

func removeCgroup(dir string) bool {
	var below []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			below = append(below, path)
		}
		return nil
	})
	for i := len(below) - 1; i >= 0; i-- {
		_ = unix.Rmdir(below[i])
	}
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}

// oomWatch sees when the kernel kills for want of memory.
type oomWatch struct {
	file  *os.File // nil without the memory controller
	count int
}

// watchOOM opens the file of memory.events, or of memory.oom_control on version
// 1, where it tells nothing until it is asked.
func watchOOM(path string) oomWatch {
	if path == "" {
		return oomWatch{}
	}
	f, err := os.Open(path)
	if err != nil {
		return oomWatch{}
	}
	w := oomWatch{file: f}
	w.happened()
	return w
}

// fd is what to poll for POLLPRI, -1 for nothing.
func (w *oomWatch) fd() int {
	if w.file == nil {
		return -1
	}
	return int(w.file.Fd())
}

// happened reports whether there were more kills since it was asked last.
func (w *oomWatch) happened() bool {
	if w.file == nil {
		return false
	}
	buf := make([]byte, 512)
	n, _ := w.file.ReadAt(buf, 0)
	before := w.count
	for line := range strings.Lines(string(buf[:n])) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			w.count, _ = strconv.Atoi(v)
		}
	}
	return w.count > before
}
