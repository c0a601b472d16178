package temp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skiff/storage"
	"skiff/storage/lock"
)

// holdName is, in a directory, the list of the store's layers that its maker
// stands on, one id a line.
const holdName = "layers"

// Hold keeps layers of the store, and those below them, for as long as the
// directory has its maker: images may go meanwhile, the layers stay. The caller
// holds Store.ImagesLock, so that nobody is just removing them, and looks after
// it whether they are there.
func (d *Dir) Hold(layers ...string) error {
	f, err := os.OpenFile(filepath.Join(d.Path, holdName), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("hold layers: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(layers, "\n") + "\n"); err != nil {
		return fmt.Errorf("hold layers: %w", err)
	}
	return nil
}

// Held returns the layers that living processes hold.
func Held(st *storage.Store) (_ map[string]bool, err error) {
	held := make(map[string]bool)
	for _, list := range storage.Glob(st.Temp(), "*/"+holdName) {
		l, busy := lock.TryExisting(filepath.Join(filepath.Dir(list), lockName))
		if busy == nil {
			l.Release()
		}
		if !errors.Is(busy, lock.ErrBusy) {
			continue // its maker is dead, or just gone
		}
		data, failed := os.ReadFile(list)
		if failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, failed)
		}
		for id := range strings.FieldsSeq(string(data)) {
			held[id] = true
		}
	}
	return held, err
}

// WantHealing lets the next command that looks heal the store, as after the death
// of a transfer.
func WantHealing(ctx context.Context, st *storage.Store) error {
	d, err := MakeTransfer(ctx, st)
	d.Leave()
	return err
}
