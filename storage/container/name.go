package container

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/storage"
)

// InvalidNameError says that a name is not docker's [a-zA-Z0-9][a-zA-Z0-9_.-]+.
type InvalidNameError struct{ Name string }

func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", e.Name)
}

// NameTakenError says which container has the name; errors.Is(err, ErrNameTaken).
type NameTakenError struct{ Name, ID string }

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("Conflict. The container name %q is already in use by container %q. "+
		"You have to remove (or rename) that container to be able to reuse that name.", "/"+e.Name, e.ID)
}

func (e *NameTakenError) Unwrap() error { return ErrNameTaken }

// NewID returns a random container id of 64 hex digits. It is never all
// digits in its first twelve, because such a short id is taken for a number by
// tools that read it back.
func NewID() string {
	for {
		var b [32]byte
		rand.Read(b[:])
		id := hex.EncodeToString(b[:])
		for _, c := range id[:12] {
			if c >= 'a' {
				return id
			}
		}
	}
}

// CheckName returns an *InvalidNameError unless name may name a container.
func CheckName(name string) error {
	if len(name) < 2 || !validName(name) {
		return &InvalidNameError{name}
	}
	return nil
}

func validName(name string) bool {
	if len(name) == 0 || len(name) > 253 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// NameOf returns the name that leads to the container with the id, "" if none
// does: the way to it when its configuration cannot be read.
func NameOf(st *storage.Store, id string) string {
	entries, err := os.ReadDir(st.Names())
	if err != nil {
		return ""
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(st.Names(), e.Name())); err == nil && target == id {
			return e.Name()
		}
	}
	return ""
}

// claimName makes name stand for id, exclusively. A link to a container that
// does not exist any more is taken over: its owner was killed half-way. dir is the
// container's directory.
func claimName(st *storage.Store, name, id, dir string) error {
	link := filepath.Join(st.Names(), name)
	for range 3 {
		err := symlink(id, link, filepath.Join(dir, nameAttempt))
		if errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(st.Names(), 0o700); err != nil {
				return fmt.Errorf("claim name %s: %w", name, err)
			}
			continue
		}
		if !errors.Is(err, os.ErrExist) {
			if err != nil {
				return fmt.Errorf("claim name %s: %w", name, err)
			}
			return nil
		}
		owner, err := os.Readlink(link)
		if err != nil {
			continue
		}
		if _, err := os.Lstat(filepath.Join(st.Containers(), owner)); err == nil || owner == id {
			return &NameTakenError{Name: name, ID: owner}
		}
		if err := dropName(st, name, owner); err != nil {
			return err
		}
	}
	return fmt.Errorf("claim name %s: %w", name, ErrNameTaken)
}

// dropName removes the link of name if it still stands for id.
func dropName(st *storage.Store, name, id string) error {
	link := filepath.Join(st.Names(), name)
	if owner, err := os.Readlink(link); err != nil || owner != id {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop name %s: %w", name, err)
	}
	return nil
}

// symlink is os.Symlink with an inode beside those of the container's directory, where new
// ones are cheap (temp.SpreadContainers): the link is made there, as attempt, and moved. If
// we are killed in between it goes with the directory. Attempts of one name are all at the
// same link.
func symlink(target, link, attempt string) error {
	err := os.Symlink(target, attempt)
	if errors.Is(err, os.ErrExist) { // somebody was killed here
		_ = os.Remove(attempt)
		err = os.Symlink(target, attempt)
	}
	if err != nil {
		return os.Symlink(target, link)
	}
	err = unix.Renameat2(unix.AT_FDCWD, attempt, unix.AT_FDCWD, link, unix.RENAME_NOREPLACE)
	if err == nil {
		return nil
	}
	_ = os.Remove(attempt)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return os.Symlink(target, link) // a file system, or a kernel, without it
	}
	return &os.LinkError{Op: "symlink", Old: target, New: link, Err: err}
}
