// Package unpacked keeps the programs that the front carries in files of the cache,
// which are executed for as long as they are what they were: each has the digest of
// its contents in its name, and is compared with it once in each boot of the machine,
// because a disk that loses power, or ages, may give back something else.
package unpacked

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/storage/atomicfile"
)

const (
	// digits is how many hex digits of the SHA-256 end a file's name, behind a dash.
	digits = 32
	// markSuffix ends the name of the symbolic link that says in which boot a file was
	// compared.
	markSuffix = ".checked"
	// bootFile tells one boot from another (random(4)).
	bootFile = "/proc/sys/kernel/random/boot_id"
)

// Keep puts a program of that size in bytes into the file called name, which it
// makes durably, with its directory, unless it is there and whole. program is asked
// for the contents only then.
func Keep(name string, size int64, program func() (string, error)) error {
	var st unix.Stat_t
	err := unix.Lstat(name, &st)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && st.Size == size && st.Mode&unix.S_IFMT == unix.S_IFREG {
		if Checked(name) {
			return nil
		}
		if whole, _ := Whole(name); whole { // what cannot be read is written anew
			mark(name)
			return nil
		}
	}
	contents, err := program()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	// Where even unnamed files are not to be had, something may be left of an attempt.
	_ = atomicfile.Reclaim(filepath.Dir(name), filepath.Base(name))
	if err := write(name, contents); err != nil {
		return err
	}
	mark(name)
	return nil
}

func write(name, contents string) error {
	// No fork of ours meanwhile: its child would hold the file open for writing for
	// a moment longer than we do, and executing it would be ETXTBSY (execve(2)).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	// Durable: after a power cut it is whole or absent.
	return atomicfile.Fill(name, []byte(contents), 0o555, atomicfile.Durable)
}

// Checked reports whether Keep has compared the file with its name in this boot.
func Checked(name string) bool {
	text, err := os.Readlink(name + markSuffix)
	return err == nil && text == boot()
}

// mark says that the file was compared. What cannot be marked is compared again.
func mark(name string) {
	link := name + markSuffix
	if boot() == "" {
		return
	}
	// Not by rename: nobody misses it for a moment, and nothing can be left.
	_ = os.Remove(link)
	_ = os.Symlink(boot(), link)
}

// boot is this boot's id; without /proc it is empty, as no mark is.
var boot = sync.OnceValue(func() string {
	data, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
})

// Whole reports whether the file's contents are what its name says.
func Whole(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, err
	}
	return strings.HasSuffix(name, "-"+hex.EncodeToString(sum.Sum(nil))[:digits]), nil
}

var kept = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(stage|network|kube)-[0-9a-f]{32}$`) })

// Damaged lists the programs in a cache directory that are not what their names say.
func Damaged(cache string) ([]string, error) {
	entries, err := os.ReadDir(cache)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var damaged []string
	for _, e := range entries {
		if !kept().MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(cache, e.Name())
		whole, failed := Whole(path)
		if errors.Is(failed, os.ErrNotExist) {
			continue // replaced just now
		}
		if err = errors.Join(err, failed); failed == nil && !whole {
			damaged = append(damaged, path)
		}
	}
	return damaged, err
}
