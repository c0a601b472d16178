package container

import (
	"errors"
	"os"
	"path/filepath"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/lock"
	"skiff/storage/temp"
)

// Sweep finishes what killed processes left: it removes containers that were to
// vanish at their end and records the end of others, deletes unfinished and
// half-deleted directories. It looks only at what claims to be running or
// unfinished, so that a clean store costs two looks. Before it deletes anything
// it calls ready, which returns when this process is in the user namespace,
// where files of the containers' users can be deleted.
func Sweep(st *storage.Store, ready func() error) error {
	entries, err := os.ReadDir(st.Running())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var dead []string
	for _, e := range entries {
		// Not its configuration: a hundred that run would cost a start as much as
		// all the rest.
		c := &Container{Store: st, Config: &Config{ID: e.Name()}}
		if holder, err := c.Holder(); err == nil && holder != 0 {
			continue
		}
		if c.deserted() || !c.exists() {
			dead = append(dead, e.Name())
		}
	}
	if len(dead) == 0 && !temp.Dirty(st) {
		return nil
	}
	if err := ready(); err != nil {
		return err
	}
	var failed error
	for _, id := range dead {
		failed = errors.Join(failed, sweepOne(st, id))
	}
	return errors.Join(failed, FinishNotes(st), temp.Sweep(st))
}

// sweepOne looks after one entry of Store.Running.
func sweepOne(st *storage.Store, id string) error {
	c, err := Load(st, id)
	if errors.Is(err, ErrNotFound) && Lost(st, id) {
		return RemoveLost(st, id)
	}
	if errors.Is(err, ErrNotFound) {
		return dropMark(st, id)
	}
	if err != nil {
		return err
	}
	if !c.deserted() {
		return nil
	}
	if !c.Config.Host.AutoRemove {
		if _, err := c.Status(); err != nil { // which buries it
			return err
		}
	}
	op, err := c.TryLock()
	if err != nil {
		return nil // somebody is at it
	}
	defer op.Release()
	if !c.deserted() {
		return nil
	}
	if !c.Config.Host.AutoRemove {
		// Its monitor may have died writing that it ended.
		state.Release(c.Dir())
		return errors.Join(c.reclaim(), gone(os.Remove(c.RunningLink())))
	}
	if s, err := c.State(); err == nil {
		if err := Reap(s); err != nil {
			return err
		}
	}
	if err := c.RemoveWith(c.UnusedVolumes()); !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// reclaim deletes what a dead monitor has left of files that it was about to write.
//
// Requires the op lock, exclusive, and that nobody holds the run lock.
func (c *Container) reclaim() error {
	return errors.Join(atomicfile.Reclaim(c.Dir()), atomicfile.ReclaimOwn(c.Dir(), state.File, state.HealthFile))
}

// dropMark removes the mark of a container that is not there. One that is just
// being published has its mark already and lies in a temporary directory still: only
// once that is certainly not so is an absent container one that was removed.
func dropMark(st *storage.Store, id string) error {
	if !temp.Quiet(st) {
		return nil
	}
	if _, err := os.Lstat(filepath.Join(st.Containers(), id)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return gone(os.Remove(filepath.Join(st.Running(), id)))
}

// gone takes what another process has removed for removed.
func gone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// deserted reports whether neither a monitor nor the process that made the
// container lives.
func (c *Container) deserted() bool {
	if holder, err := c.Holder(); err != nil || holder != 0 {
		return false
	}
	maker, err := lock.TryExisting(filepath.Join(c.Dir(), LockFile))
	if errors.Is(err, os.ErrNotExist) {
		// Of no living one: they rename the directory before they delete it.
		return c.exists()
	}
	if err != nil {
		return false
	}
	defer maker.Release()
	// Asked again: the monitor may have taken over between the two.
	holder, err := c.Holder()
	return err == nil && holder == 0
}

// Starting reports whether the process that made the container is about to start
// it.
func (c *Container) Starting() bool {
	maker, err := lock.TryExisting(filepath.Join(c.Dir(), LockFile))
	if err == nil {
		maker.Release()
	}
	return errors.Is(err, lock.ErrBusy)
}

// exists reports whether the container's directory is there.
func (c *Container) exists() bool {
	_, err := os.Lstat(c.Dir())
	return err == nil
}

// Vanished reports whether the container was to vanish at its end and has ended,
// however: its monitor or the command that made it was killed. A reader leaves it
// out; Sweep removes it.
func (c *Container) Vanished() bool {
	if !c.Config.Host.AutoRemove {
		return false
	}
	if _, err := os.Lstat(c.RunningLink()); err != nil {
		return false // made by create and not started yet
	}
	return c.deserted()
}
