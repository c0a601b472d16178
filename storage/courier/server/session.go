package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	cstorage "github.com/containers/storage"
	"github.com/containers/storage/pkg/unshare"
	"github.com/containers/storage/types"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/lock"
	"skiff/storage/reserve"
	"skiff/storage/temp"
)

const (
	// transferLock is held shared by every process that changes layers or records, and
	// exclusive by one that deletes what dead ones left.
	transferLock = "pulls.lock"
	// layersLock is held while a layer is put in place.
	layersLock = "layers.lock"
)

// session is one request being served.
type session struct {
	st       *storage.Store
	store    cstorage.Store // nil after beginRecords, until something is healed
	report   func(message.Event)
	die      func(error) // ends the process with a failure, at once
	temp     *temp.Dir   // nil until beginTransfer
	transfer *lock.Lock  // nil until beginTransfer
}

// begin opens the store. The caller ends the session.
func begin(st *storage.Store, report func(message.Event)) (*session, error) {
	s, err := beginRecords(st, report)
	if err != nil {
		return nil, err
	}
	// The library takes a table that is missing for an empty one, and what it has no
	// record of would be deleted.
	for _, t := range []table{imageTable, layerTable} {
		if err := s.intact(t); err != nil {
			return nil, err
		}
	}
	if s.store, err = openNew(st); err != nil {
		return nil, err
	}
	return s, nil
}

// openNew is openStore where the library may still have to try out what the file system
// can do: if it dies meanwhile, the next command deletes what it made for that.
func openNew(st *storage.Store) (_ cstorage.Store, err error) {
	if tried := storage.Glob(filepath.Join(runRoot(st), "overlay"), "overlay-*"); len(tried) > 0 {
		return openStore(st)
	}
	alive, err := lock.Shared(context.Background(), filepath.Join(st.Dir, transferLock))
	if err != nil {
		return nil, err
	}
	defer alive.Release()
	d, err := temp.MakeTransfer(context.Background(), st)
	if err != nil && !reserve.IsFull(err) {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Remove()) }()
	return openStore(st)
}

// runRoot is where the library keeps what it has found out about the file system.
func runRoot(st *storage.Store) string { return filepath.Join(st.Cache(), "run") }

// beginRecords is begin for what changes records only: opening the store costs
// more than that.
func beginRecords(st *storage.Store, report func(message.Event)) (*session, error) {
	if err := temp.Sweep(st); err != nil {
		return nil, err
	}
	return &session{st: st, report: report}, nil
}

// end removes what the session put aside and returns failure, the session's own
// error, together with its own. After a failed transfer it also deletes what
// that put in place. While another transfer is alive, or while the kernel refuses,
// that is not possible; then the directory that stays tells the next command.
func (s *session) end(failure error) error {
	defer reserve.Fill(s.st)
	s.copyTables()
	s.transfer.Release()
	if s.transfer == nil || failure == nil {
		return errors.Join(failure, s.temp.Remove())
	}
	healed, err := s.healAlone()
	if err != nil || !healed {
		s.temp.Leave()
		return errors.Join(failure, err)
	}
	return errors.Join(failure, s.temp.Remove())
}

// healAlone heals the store unless a transfer is alive, and reports whether it
// did.
func (s *session) healAlone() (bool, error) {
	alone, err := lock.TryExclusive(filepath.Join(s.st.Dir, transferLock))
	if errors.Is(err, lock.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer alone.Release()
	if s.store == nil {
		for _, t := range []table{imageTable, layerTable} {
			if err := s.intact(t); err != nil {
				return false, err
			}
		}
		if s.store, err = openStore(s.st); err != nil {
			return false, err
		}
	}
	defer s.copyTables()
	return true, reserve.Retry(s.st, s.heal)
}

// beginTransfer makes this process one that adds layers, after deleting what
// dead transfers left if no other transfer is alive, and gives it a temporary
// directory. It lasts until the end of the session.
func (s *session) beginTransfer(ctx context.Context) error {
	_, err := s.healAlone()
	if err != nil {
		return err
	}
	if s.transfer, err = lock.Shared(ctx, filepath.Join(s.st.Dir, transferLock)); err != nil {
		return err
	}
	if s.temp, err = temp.MakeTransfer(ctx, s.st); err != nil {
		return err
	}
	s.spreadLayers()
	temp.SpreadContainers(s.st)
	// What the libraries put aside lands where the sweep finds it.
	return os.Setenv("TMPDIR", s.temp.Path)
}

// spreadLayers keeps the files of layers apart (temp.Spread).
func (s *session) spreadLayers() {
	// Named and made by containers/storage when it first needs it.
	dir := filepath.Join(s.st.Layers(), "staging")
	if err := os.Mkdir(dir, 0o700); err == nil || errors.Is(err, os.ErrExist) {
		temp.Spread(dir)
	}
}

// beginRemoval makes this process one that takes layers away, which works on a
// full disk, too. If it dies half way, the next command deletes the rest. It
// lasts until the end of the session.
func (s *session) beginRemoval(ctx context.Context) error {
	reserve.UseIfFull(s.st)
	return s.beginRecording(ctx)
}

// beginRecording makes this process one that changes records. If it dies half way, the
// next command deletes what it was writing. It lasts until the end of the session.
func (s *session) beginRecording(ctx context.Context) (err error) {
	if s.transfer, err = lock.Shared(ctx, filepath.Join(s.st.Dir, transferLock)); err != nil {
		return err
	}
	s.temp, err = temp.MakeTransfer(ctx, s.st)
	if reserve.IsFull(err) {
		err = nil // it only serves whoever dies
	}
	return err
}

// openStore opens containers/storage with explicit options: its configuration
// files and defaults are another engine's.
func openStore(st *storage.Store) (cstorage.Store, error) {
	options := types.StoreOptions{
		GraphRoot:       st.Graph(),
		RunRoot:         runRoot(st),
		GraphDriverName: "overlay",
		// Without this the driver bind-mounts its home onto itself.
		GraphDriverOptions: []string{"overlay.skip_mount_home=true"},
	}
	if mapsOneID() {
		// Files of other users cannot be given to them; they become ours, and
		// most images still work.
		options.GraphDriverOptions = append(options.GraphDriverOptions, "overlay.ignore_chown_errors=true")
	}
	if unshare.IsRootless() {
		// The processes that unpack layers have no /proc to find that out again.
		if err := os.Setenv(unshare.UsernsEnvName, "done"); err != nil {
			return nil, err
		}
	}
	if err := dropEmptyLinks(st); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	store, err := cstorage.GetStore(options)
	if err != nil {
		return nil, openFailure(st, err)
	}
	return store, nil
}

// openFailure gives the reason why the store cannot be opened and the cure.
func openFailure(st *storage.Store, err error) error {
	if !errors.Is(err, cstorage.ErrNotSupported) && !strings.Contains(err.Error(), "not supported") {
		return fmt.Errorf("open image store: %w", err)
	}
	f := message.Fail(message.ErrNoOverlay, fmt.Sprintf("open image store %s: %v", st.Graph(), err))
	f.Advice = "install fuse-overlayfs, or set XDG_DATA_HOME to a directory on ext4, xfs or btrfs"
	return f
}

// mapsOneID reports whether the user namespace has only one uid.
// https://man7.org/linux/man-pages/man7/user_namespaces.7.html
func mapsOneID() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(data))
	return err == nil && len(fields) == 3 && fields[2] == "1"
}
