// Package volume is the user's volumes: directories with a name that outlive
// containers. It does not mount them, and it does not know who uses one; the
// caller that removes a volume asks the containers first.
//
// A volume is <store>/volumes/<name>/ with volume.json and _data/. The
// directory appears whole, by rename.
package volume

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
	"skiff/storage/event"
	"skiff/storage/reserve"
	"skiff/storage/temp"
)

// ErrNotFound says that no volume has the name.
var ErrNotFound = errors.New("no such volume")

// Version is the format of volume.json that this program writes.
const Version = 1

const (
	recordFile = "volume.json"
	dataDir    = "_data"
)

// Volume is one volume. The JSON names are docker's.
type Volume struct {
	Version   int               `json:"Version"`
	CreatedAt time.Time         `json:"CreatedAt"`
	Labels    map[string]string `json:"Labels"`
	Name      string            `json:"Name"`
	// Options are those of docker's local driver, see Backing.
	Options map[string]string `json:"Options,omitempty"`
	// Anonymous volumes were made for a container that named none.
	Anonymous bool `json:"Anonymous,omitempty"`
	// Mountpoint is the directory with the contents.
	Mountpoint string `json:"-"`
}

// InvalidNameError says that a name cannot name a volume, in docker's words.
type InvalidNameError struct{ Name string }

func (e *InvalidNameError) Error() string {
	if len(e.Name) == 1 {
		return "volume name is too short, names should be at least two alphanumeric characters"
	}
	return fmt.Sprintf("%q includes invalid characters for a local volume name, "+
		`only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`, e.Name)
}

// CheckName returns an *InvalidNameError unless name may name a volume.
func CheckName(name string) error {
	ok := len(name) >= 2 && len(name) <= 255
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '_' || c == '.' || c == '-'))
	}
	if !ok {
		return &InvalidNameError{name}
	}
	return nil
}

// NewName returns a random name for an anonymous volume: 64 hex digits.
func NewName() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Path is the directory with the contents of the volume called name.
func Path(st *storage.Store, name string) string {
	return filepath.Join(st.Volumes(), name, dataDir)
}

// Create returns the volume called v.Name and makes it durably when there is
// none; then v.Labels and v.Anonymous become its own. The contents start empty,
// owned by the caller. Two may create the same name at once.
func Create(st *storage.Store, v Volume) (*Volume, error) {
	if err := CheckName(v.Name); err != nil {
		return nil, err
	}
	if have, err := Inspect(st, v.Name); !errors.Is(err, ErrNotFound) {
		return have, err
	}
	if _, err := backing(v.Options); err != nil {
		return nil, err
	}
	v.Version, v.CreatedAt, v.Mountpoint = Version, time.Now().UTC().Truncate(time.Second), Path(st, v.Name)
	if err := publish(st, v); err != nil {
		return nil, fmt.Errorf("create volume %s: %w", v.Name, err)
	}
	Emit(st, v.Name, "create")
	// Whoever came first has made it; what is there counts.
	return Inspect(st, v.Name)
}

func publish(st *storage.Store, v Volume) (err error) {
	data, err := atomicfile.Encode(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(st.Volumes(), 0o700); err != nil {
		return err
	}
	// What a kill leaves there is swept by the next command.
	work, err := temp.Make(context.Background(), st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	made := filepath.Join(work.Path, "volume")
	contents := filepath.Join(made, dataDir)
	if err := os.MkdirAll(contents, 0o755); err != nil {
		return err
	}
	// The umask may have taken bits that other users of the container need.
	if err := os.Chmod(contents, 0o755); err != nil {
		return err
	}
	// The mode of the directory itself is nobody's but the user's.
	if err := os.Chmod(made, 0o700); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(made, recordFile), data, 0o600, atomicfile.Durable); err != nil {
		return err
	}
	err = os.Rename(made, filepath.Join(st.Volumes(), v.Name))
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(st.Volumes())
}

// Inspect returns the volume called name, or ErrNotFound.
func Inspect(st *storage.Store, name string) (*Volume, error) {
	if CheckName(name) != nil {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	var v Volume
	dir := filepath.Join(st.Volumes(), name)
	path := filepath.Join(dir, recordFile)
	err := atomicfile.ReadDocument(path, &v, &v.Version, Version)
	if errors.Is(err, os.ErrNotExist) {
		err = atomicfile.Missing(path, dir)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%q: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read volume %s: %w", name, err)
	}
	v.Name, v.Mountpoint = name, Path(st, name)
	if v.Anonymous {
		// docker's mark of volumes that nobody named.
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels["com.docker.volume.anonymous"] = ""
	}
	return &v, nil
}

// Keep makes an anonymous volume one that somebody has named: it goes neither with
// its container nor with what is pruned.
func Keep(st *storage.Store, name string) error {
	var v Volume
	path := filepath.Join(st.Volumes(), name, recordFile)
	if err := atomicfile.ReadDocument(path, &v, &v.Version, Version); err != nil {
		return fmt.Errorf("keep volume %s: %w", name, err)
	}
	if !v.Anonymous {
		return nil
	}
	v.Anonymous = false
	data, err := atomicfile.Encode(v)
	if err == nil {
		err = temp.WriteFile(context.Background(), st, path, data, 0o600, atomicfile.Durable)
	}
	if err != nil {
		return fmt.Errorf("keep volume %s: %w", name, err)
	}
	return nil
}

// Restore records a volume whose record was lost: it is as old as its data, and has
// neither labels nor options.
func Restore(st *storage.Store, name string) error {
	dir := filepath.Join(st.Volumes(), name)
	v := Volume{Version: Version, Name: name, CreatedAt: time.Now().UTC().Truncate(time.Second)}
	if info, err := os.Stat(Path(st, name)); err == nil {
		v.CreatedAt = info.ModTime().UTC().Truncate(time.Second)
	} else if err := os.Mkdir(Path(st, name), 0o755); err != nil {
		return fmt.Errorf("restore volume %s: %w", name, err)
	}
	data, err := atomicfile.Encode(v)
	if err != nil {
		return fmt.Errorf("restore volume %s: %w", name, err)
	}
	return temp.WriteFile(context.Background(), st, filepath.Join(dir, recordFile), data, 0o600, atomicfile.Durable)
}

// List returns all volumes by name. One whose record cannot be read is
// reported in err beside the others.
func List(st *storage.Store) ([]*Volume, error) {
	entries, err := os.ReadDir(st.Volumes())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	var all []*Volume
	var broken []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		v, err := Inspect(st, e.Name())
		switch {
		case err == nil:
			all = append(all, v)
		case !errors.Is(err, ErrNotFound):
			broken = append(broken, err)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all, errors.Join(broken...)
}

// Remove deletes the volume called name and its contents. Files that belong to
// other ids of the user's namespace can only be removed inside of it.
func Remove(st *storage.Store, name string) error {
	if _, err := Inspect(st, name); err != nil {
		return err
	}
	if err := Discard(st, name); err != nil {
		return err
	}
	Emit(st, name, "destroy")
	return nil
}

// Discard is Remove, whatever the volume's record says, and without an event.
func Discard(st *storage.Store, name string) error {
	// First out of sight, so that a killed removal leaves no half volume but what
	// the next command sweeps.
	gone := filepath.Join(st.Temp(), "removed-"+NewName())
	if err := os.MkdirAll(st.Temp(), 0o700); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	used, err := reserve.Discard(st, filepath.Join(st.Volumes(), name), gone, dataDir)
	if used {
		defer reserve.Fill(st)
	}
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%q: %w", name, ErrNotFound)
		}
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}

// Emit records what happened to the volume called name: docker's create or
// destroy (storage/event).
func Emit(st *storage.Store, name, action string) {
	event.Append(st.Events(), event.Event{
		Type: event.Volume, Action: action, ID: name, Attributes: map[string]string{"driver": "local"},
	})
}
