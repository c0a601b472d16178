package beneath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// By hand is as the kernel does it, errors included.
func TestByHand_IsOpenat2(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "root")
	for _, d := range []string{"a/b/c", "empty"} {
		if err := os.MkdirAll(filepath.Join(inside, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"../secret", "file", "a/file", "a/b/file"} {
		if err := os.WriteFile(filepath.Join(inside, f), []byte(f), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"out": "../secret", "deep": "a/b/../../../../../secret", "abs": "/a/file", "abs-out": dir + "/secret", "up": "..", "to-b": "a/b", "slash": "a/b/",
		"to-file": "a/file", "file-slash": "a/file/", "dangling": "nothing", "loop": "loop", "ring1": "ring2", "ring2": "ring1", "a/b/back": "../../file",
		"a/b/root": "/", "chain": "chain2", "chain2": "chain3", "chain3": "to-b/back", "here": ".", "a/dangling-abs": "/new",
	} {
		if err := os.Symlink(target, filepath.Join(inside, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.Open(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	names := []string{".", "..", "a", "a/", "a/b/c", "a/b/c/", "a/..", "a/../..", "../secret", "a/../../secret", "file", "file/", "file/x", "file/..", "a/file", "nothing", "nothing/x", "a/nothing", "empty/../a/./file"}
	links, err := filepath.Glob(inside + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		name := filepath.Base(l)
		names = append(names, name, name+"/", name+"/..", name+"/file", name+"/b", name+"/../file")
	}
	names = append(names, "a/b/back", "a/b/root", "a/b/root/file", "a/b/root/a/b/root/..", "a/dangling-abs")
	compared := 0
	for _, name := range names {
		for _, resolve := range []uint64{unix.RESOLVE_IN_ROOT, unix.RESOLVE_BENEATH, unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS, unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS} {
			for _, flags := range []int{
				unix.O_PATH, unix.O_PATH | unix.O_DIRECTORY, unix.O_PATH | unix.O_NOFOLLOW, unix.O_RDONLY, unix.O_RDWR, unix.O_RDONLY | unix.O_NOFOLLOW, unix.O_RDONLY | unix.O_DIRECTORY,
				unix.O_WRONLY | unix.O_CREAT, unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL, unix.O_WRONLY | unix.O_CREAT | unix.O_NOFOLLOW,
			} {
				how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: resolve}
				if flags&unix.O_CREAT != 0 {
					how.Mode = 0o600
				}
				before := made(t, inside)
				want := opened(t, func() (int, error) { return unix.Openat2(int(root.Fd()), name, &how) })
				remove(t, inside, before, &want)
				got := opened(t, func() (int, error) { return byHand(int(root.Fd()), name, &how) })
				remove(t, inside, before, &got)
				if want != got {
					t.Errorf("%s, flags %#x, resolve %#x: got %s, want %s", name, flags, resolve, got, want)
				}
				compared++
			}
		}
	}
	if compared < 1000 {
		t.Errorf("only %d were compared", compared)
	}
}

// opened says what was opened, or the error.
func opened(t *testing.T, open func() (int, error)) string {
	fd, err := open()
	for errors.Is(err, unix.EAGAIN) { // somebody has renamed something, somewhere
		fd, err = open()
	}
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	var is unix.Stat_t
	if err := unix.Fstat(fd, &is); err != nil {
		t.Fatal(err)
	}
	if is.Size == 0 && is.Mode&unix.S_IFMT == unix.S_IFREG {
		return "a new file"
	}
	return fmt.Sprintf("inode %d", is.Ino)
}

func made(t *testing.T, dir string) map[string]bool {
	all := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all[path] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// remove takes away what was made, and says in what where it was.
func remove(t *testing.T, dir string, before map[string]bool, what *string) {
	for path := range made(t, dir) {
		if !before[path] {
			*what += " " + strings.TrimPrefix(path, dir)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	root, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, name := range []string{"", "/", "//..", "."} {
		fd, err := Open(int(root.Fd()), name, unix.O_PATH, 0, unix.RESOLVE_IN_ROOT)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		unix.Close(fd)
	}
	if _, err := Open(int(root.Fd()), "/../nothing", unix.O_PATH, 0, unix.RESOLVE_IN_ROOT); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	// What procfs's links lead to is not what they say.
	proc, err := os.Open("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	defer proc.Close()
	how := unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if _, err := byHand(int(proc.Fd()), "root", &how); !errors.Is(err, unix.ELOOP) {
		t.Error(err)
	}
}
