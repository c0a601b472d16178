package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Reclaim deletes what processes that died within Write left of their attempts at
// the files of a directory: those at names, or at all of them without any. Whoever
// is about to write such a file anyway, or buries the dead, calls it; for others
// looking costs more than a leftover of a few KiB.
func Reclaim(dir string, names ...string) error {
	return remove(attempts(dir, names, alive))
}

// ReclaimOwn is Reclaim for files of which the caller is the one writer: who else made
// an attempt is dead, although it may have its pid still, because nobody has waited
// for it yet.
func ReclaimOwn(dir string, names ...string) error {
	return remove(attempts(dir, names, func(int) bool { return false }))
}

func remove(attempts []string, err error) error {
	for _, path := range attempts {
		if failed := os.Remove(path); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// Attempts returns the paths that Reclaim would delete.
func Attempts(dir string, names ...string) ([]string, error) {
	return attempts(dir, names, alive)
}

func attempts(dir string, names []string, alive func(pid int) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var dead []string
	for _, e := range entries {
		name, pid, ok := attempt(e.Name())
		if !ok || len(names) > 0 && !slices.Contains(names, name) || alive(pid) {
			continue
		}
		dead = append(dead, filepath.Join(dir, e.Name()))
	}
	return dead, err
}

// attempt takes the name apart that Write gives: .<name>.<pid>.<number>.tmp
func attempt(file string) (name string, pid int, ok bool) {
	rest, dotted := strings.CutPrefix(file, ".")
	rest, temporary := strings.CutSuffix(rest, ".tmp")
	if !dotted || !temporary {
		return "", 0, false
	}
	number := strings.LastIndexByte(rest, '.')
	if number < 0 {
		return "", 0, false
	}
	at := strings.LastIndexByte(rest[:number], '.')
	if at <= 0 {
		return "", 0, false
	}
	if _, err := strconv.ParseUint(rest[number+1:], 10, 64); err != nil {
		return "", 0, false
	}
	pid, err := strconv.Atoi(rest[at+1 : number])
	return rest[:at], pid, err == nil && pid > 0
}

// alive reports whether a process has the pid; a later one with the same keeps an
// attempt for a while longer, which is no harm.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
