// Package secret is the user's secrets: small pieces of data with a name that
// containers are given without being part of an image. They are kept as the
// user's other files are, readable for nobody else and not encrypted.
//
// A secret is one file <store>/secrets/<name>.json, which appears and vanishes
// whole.
package secret

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/temp"
)

var (
	// ErrNotFound says that no secret has the name or id.
	ErrNotFound = errors.New("no such secret")
	// ErrNameTaken says that a secret has the name already.
	ErrNameTaken = errors.New("secret name in use")
	// ErrAmbiguous says that several ids begin so.
	ErrAmbiguous = errors.New("multiple secrets found with provided prefix")
)

// Version is the format of a secret's file that this program writes.
const Version = 1

// MaxSize is the largest secret in bytes: docker's limit and podman's.
const MaxSize = 512000

// Secret is one secret.
type Secret struct {
	Version   int               `json:"Version"`
	ID        string            `json:"ID"` // 25 hex digits
	Name      string            `json:"Name"`
	CreatedAt time.Time         `json:"CreatedAt"`
	UpdatedAt time.Time         `json:"UpdatedAt"`
	Labels    map[string]string `json:"Labels"`
	Data      []byte            `json:"Data"`
}

const suffix = ".json"

func file(st *storage.Store, name string) string { return filepath.Join(st.Secrets(), name+suffix) }

// CheckName refuses what cannot name a secret.
func CheckName(name string) error {
	if name == "" || len(name) > 200 || name[0] == '.' || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" {
		return fmt.Errorf("invalid secret name %q: up to 200 letters, digits, '_', '-' and '.', which it must not begin with", name)
	}
	return nil
}

// Create keeps a new secret durably and returns it. With replace one of that
// name is overwritten and keeps its time of creation; else it is ErrNameTaken.
func Create(st *storage.Store, name string, data []byte, labels map[string]string, replace bool) (*Secret, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data) > MaxSize {
		return nil, fmt.Errorf("secret data must be larger than 0 and not exceed %d bytes", MaxSize)
	}
	now := time.Now().UTC()
	var id [13]byte
	rand.Read(id[:])
	s := &Secret{
		Version: Version, ID: hex.EncodeToString(id[:])[:25], Name: name, CreatedAt: now, UpdatedAt: now,
		Labels: labels, Data: data,
	}
	if replace {
		if old, err := read(file(st, name)); err == nil {
			s.CreatedAt = old.CreatedAt
		}
	}
	if err := os.MkdirAll(st.Secrets(), 0o700); err != nil {
		return nil, fmt.Errorf("create secret: %w", err)
	}
	text, err := atomicfile.Encode(s)
	if err != nil {
		return nil, fmt.Errorf("create secret: %w", err)
	}
	if replace {
		return s, temp.WriteFile(context.Background(), st, file(st, name), text, 0o600, atomicfile.Durable)
	}
	return s, publish(st, name, text)
}

// publish makes the file of a name that is free: a link is made or is not, and
// two who want the name do not overwrite each other.
func publish(st *storage.Store, name string, text []byte) (err error) {
	work, err := temp.Make(context.Background(), st)
	if err != nil {
		return fmt.Errorf("create secret: %w", err)
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	f, err := os.OpenFile(filepath.Join(work.Path, "secret"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("create secret: %w", err)
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Link(f.Name(), file(st, name))
	}
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s: %w", name, ErrNameTaken)
	}
	if err != nil {
		return fmt.Errorf("create secret: %w", err)
	}
	return atomicfile.SyncDir(st.Secrets())
}

func read(path string) (*Secret, error) {
	s := &Secret{}
	err := atomicfile.ReadDocument(path, s, &s.Version, Version)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	name := strings.TrimSuffix(filepath.Base(path), suffix)
	if err == nil && s.Name != name {
		err = &atomicfile.DamagedError{Path: path, Reason: fmt.Sprintf("it names the secret %q", s.Name)}
	}
	if err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, err)
	}
	return s, nil
}

// Check returns why the secret called name cannot be read, nil if it can or is
// none.
func Check(st *storage.Store, name string) error {
	if _, err := read(file(st, name)); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// List returns all secrets by name. What cannot be read is an error beside the
// others.
func List(st *storage.Store) (list []*Secret, err error) {
	entries, err := os.ReadDir(st.Secrets())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list secrets: %w", err)
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && CheckName(name) == nil {
			s, readErr := read(filepath.Join(st.Secrets(), e.Name()))
			if readErr == nil {
				list = append(list, s)
			} else if !errors.Is(readErr, ErrNotFound) {
				err = errors.Join(err, readErr)
			}
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, err
}

// Find returns the secret with that name, id or beginning of an id.
func Find(st *storage.Store, ref string) (*Secret, error) {
	if CheckName(ref) == nil {
		s, err := read(file(st, ref))
		if !errors.Is(err, ErrNotFound) {
			return s, err
		}
	}
	list, err := List(st)
	if err != nil {
		return nil, err
	}
	var found *Secret
	for _, s := range list {
		switch {
		case ref == "" || !strings.HasPrefix(s.ID, ref):
		case s.ID == ref:
			return s, nil
		case found != nil:
			return nil, fmt.Errorf("%w: %s", ErrAmbiguous, ref)
		default:
			found = s
		}
	}
	if found == nil {
		return nil, fmt.Errorf("no secret with name or id %q: %w", ref, ErrNotFound)
	}
	return found, nil
}

// Remove deletes the secret with that name, id or beginning of an id.
func Remove(st *storage.Store, ref string) error {
	s, err := Find(st, ref)
	if err != nil {
		return err
	}
	err = os.Remove(file(st, s.Name))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no secret with name or id %q: %w", ref, ErrNotFound)
	}
	return err
}
