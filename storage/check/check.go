// Package check looks for damage in what skiff itself keeps: containers, volumes,
// networks, secrets. Images and layers are the courier's (client.Check). It reads
// what every command reads, by the same functions; repairing puts back what can be
// computed and sets the rest aside (storage.Store.SetAside). Nothing is deleted.
package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
	"skiff/storage/container/state"
	"skiff/storage/courier/message"
	"skiff/storage/lock"
	"skiff/storage/network"
	"skiff/storage/secret"
	"skiff/storage/unpacked"
	"skiff/storage/volume"
)

// Finding is one damage.
type Finding = message.Finding

const repairs = "`skiff system check --repair` "

// Records looks at everything but images and layers, and returns what it found in
// how many objects. With repair it mends, under the locks that guard each thing.
func Records(st *storage.Store, repair bool) (found []Finding, objects int, err error) {
	c := &checker{st: st, repair: repair}
	for _, look := range []func() error{c.containers, c.names, c.volumes, c.networks, c.secrets, c.programs, c.attempts} {
		err = errors.Join(err, look())
	}
	return c.found, c.objects, err
}

type checker struct {
	st      *storage.Store
	repair  bool
	found   []Finding
	objects int
}

// report adds a finding and, if that is wanted, mends it.
func (c *checker) report(f Finding, mend func() (string, error)) {
	if c.repair && mend != nil {
		done, err := mend()
		if err != nil {
			f.Cure = "could not be mended: " + err.Error()
		} else {
			f.Mended = done
		}
	}
	c.found = append(c.found, f)
}

// damageOf returns the file that err is about and what is wrong with it.
func damageOf(err error) (path, damage string, ok bool) {
	var damaged *atomicfile.DamagedError
	var newer *atomicfile.NewerError
	switch {
	case errors.As(err, &damaged):
		return damaged.Path, damaged.Reason, true
	case errors.As(err, &newer):
		return newer.Path, newer.Error(), true
	}
	return "", "", false
}

// isNewer reports whether err says that another skiff understands the file: it is
// no damage, and nothing is to be done to it.
func isNewer(err error) bool {
	var newer *atomicfile.NewerError
	return errors.As(err, &newer)
}

// asideOnly is the cure of what cannot be computed.
const asideOnly = repairs + "sets it aside"

// aside returns what sets a path aside.
func (c *checker) aside(what, path string) func() (string, error) {
	return func() (string, error) {
		to, err := c.st.SetAside(what, path)
		return "set aside as " + to, err
	}
}

// broken reports a file that cannot be read. cure and mend are of a damaged one.
func (c *checker) broken(kind, object string, err error, follows, cure string, mend func() (string, error)) error {
	path, damage, known := damageOf(err)
	if !known {
		return err
	}
	if isNewer(err) {
		cure, mend = "use the skiff that wrote it", nil
	}
	c.report(Finding{Kind: kind, Object: object, Path: path, Damage: damage, Follows: follows, Cure: cure}, mend)
	return nil
}

func (c *checker) containers() error {
	ids, err := container.IDs(c.st)
	for _, id := range ids {
		c.objects++
		err = errors.Join(err, c.container(id))
	}
	return err
}

func (c *checker) container(id string) error {
	one, err := container.Load(c.st, id)
	if errors.Is(err, container.ErrNotFound) {
		if container.Lost(c.st, id) {
			c.report(Finding{
				Kind: "leftover", Object: id[:12], Path: filepath.Join(c.st.Containers(), id),
				Damage: "a power cut took a container that was to vanish at its end (--rm)", Follows: "it takes space", Cure: repairs + "deletes it",
			}, func() (string, error) { return "deleted", container.RemoveLost(c.st, id) })
		}
		return nil
	}
	if err != nil {
		name := container.NameOf(c.st, id)
		if name == "" {
			name = id[:12]
		}
		return c.broken("container", name, err,
			"the container cannot be listed, started or removed; no other is affected",
			asideOnly+", its files with it", func() (string, error) { return c.containerAside(id, name) })
	}
	if _, err := one.State(); err != nil {
		failed := c.broken("container", one.Config.Name, err, "nobody knows whether and how the container ended",
			repairs+"records that it was killed when the file was written last", func() (string, error) { return c.mendState(one) })
		if failed != nil {
			return failed
		}
	}
	if running, err := one.Holder(); err == nil && running == 0 {
		// What a running one has is the network program's, which writes it anew.
		if _, err := network.ReadAttachment(one.Dir()); err != nil {
			failed := c.broken("container", one.Config.Name, err, "nothing: the next start writes it anew",
				asideOnly, c.aside("attachment", filepath.Join(one.Dir(), network.AttachmentFile)))
			if failed != nil {
				return failed
			}
		}
	}
	for _, dir := range one.Config.Layers {
		path := filepath.Join(c.st.Layers(), dir, "diff")
		_, err := os.Stat(path)
		if _, there := os.Lstat(one.Dir()); there != nil {
			break // it was removed meanwhile, its image maybe too
		}
		if errors.Is(err, fs.ErrNotExist) {
			c.report(Finding{
				Kind: "container", Object: one.Config.Name, Path: path, Damage: "a layer below the container is missing",
				Follows: "the container cannot be started; what it wrote is in " + filepath.Join(one.Dir(), container.UpperDir),
				Cure:    "pull, load or build " + one.Config.Config.Image + " again",
			}, nil)
			break
		}
	}
	return nil
}

// containerAside moves the directory of a container that cannot be read, and the
// name that leads to it. One that runs stays.
func (c *checker) containerAside(id, name string) (string, error) {
	dir := filepath.Join(c.st.Containers(), id)
	op, err := lock.TryDir(dir)
	if err != nil {
		return "", err
	}
	defer op.Release()
	if pid, err := lock.RunHolder(filepath.Join(dir, container.LockFile)); err != nil || pid != 0 {
		return "", errors.Join(err, fmt.Errorf("its monitor, process %d, still runs: end it first", pid))
	}
	to, err := c.st.SetAside("container-"+name, dir)
	if err != nil {
		return "", err
	}
	for _, link := range []string{filepath.Join(c.st.Names(), name), filepath.Join(c.st.Running(), id)} {
		if target, err := os.Readlink(link); err == nil && strings.Contains(target, id) {
			if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
	}
	return "set aside as " + to + "; what it wrote is in " + container.UpperDir + " there", nil
}

// lostCode is the exit code of a container whose own is not known: as if killed.
const lostCode = 137

// mendState writes a state of a container that nobody watches: it ran, and ended.
func (c *checker) mendState(one *container.Container) (string, error) {
	op, err := one.TryLock()
	if err != nil {
		return "", err
	}
	defer op.Release()
	if pid, err := one.Holder(); err != nil || pid != 0 {
		return "", errors.Join(err, fmt.Errorf("the container runs, and its monitor, process %d, writes the file at its end", pid))
	}
	path := filepath.Join(one.Dir(), state.File)
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if _, err := c.st.SetAside("state-"+one.Config.Name, path); err != nil {
		return "", err
	}
	ended := info.ModTime().UTC()
	if err := state.Write(one.Dir(), state.State{StartedAt: one.Config.Created, FinishedAt: ended, ExitCode: lostCode}, atomicfile.Durable); err != nil {
		return "", err
	}
	return fmt.Sprintf("recorded as killed at %s", ended.Format(time.RFC3339)), nil
}

// names looks for names that lead nowhere, and containers without one.
func (c *checker) names() error {
	entries, err := os.ReadDir(c.st.Names())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	named := map[string]bool{}
	for _, e := range entries {
		link := filepath.Join(c.st.Names(), e.Name())
		id, err := os.Readlink(link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			named[id] = true
			if _, there := os.Lstat(filepath.Join(c.st.Containers(), id)); there == nil || id == "" {
				continue
			}
			err = errors.New("it leads to no container")
		}
		// One that is just being made or removed has settled by now, or is of the dead.
		c.report(Finding{
			Kind: "leftover", Object: e.Name(), Path: link, Damage: err.Error(), Follows: "nothing: who wants the name takes it",
			Cure: repairs + "removes it",
		}, func() (string, error) {
			if now, err := os.Readlink(link); err != nil || now != id {
				return "gone by itself", nil
			}
			return "removed", os.Remove(link)
		})
	}
	ids, err := container.IDs(c.st)
	for _, id := range ids {
		one, failed := container.Load(c.st, id)
		if failed != nil || named[id] {
			continue
		}
		if one = nameless(one); one == nil {
			continue
		}
		c.report(Finding{
			Kind: "container", Object: one.Config.Name, Path: one.NameLink(), Damage: "the container's name does not lead to it",
			Follows: "it is found by its id only", Cure: repairs + "gives it its name back, unless another container has it",
		}, func() (string, error) {
			_ = os.MkdirAll(c.st.Names(), 0o700) // the link says what is wrong
			if err := os.Symlink(id, one.NameLink()); err != nil {
				return "", err
			}
			return "named again", nil
		})
	}
	return err
}

// nameless looks again at a container that was not found by its name, while nobody
// makes, renames or removes it, and returns it if that is still so, else nil.
func nameless(one *container.Container) *container.Container {
	// The monitor of one that vanishes at its end takes the name away first.
	if one.Starting() || one.Config.Host.AutoRemove {
		return nil
	}
	op, err := one.TryLock()
	if err != nil {
		return nil // somebody is at it, or it is gone
	}
	defer op.Release()
	again, err := container.Load(one.Store, one.Config.ID)
	if err != nil {
		return nil
	}
	if target, err := os.Readlink(again.NameLink()); err == nil && target == again.Config.ID {
		return nil
	}
	return again
}

func (c *checker) volumes() error {
	entries, err := os.ReadDir(c.st.Volumes())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name := e.Name()
		if volume.CheckName(name) != nil {
			continue
		}
		c.objects++
		_, failed := volume.Inspect(c.st, name)
		if failed == nil || errors.Is(failed, volume.ErrNotFound) {
			continue
		}
		err = errors.Join(err, c.broken("volume", name, failed, "the volume cannot be listed or used; its data are untouched",
			repairs+"records it anew, without labels and options", func() (string, error) { return c.mendVolume(name, failed) }))
	}
	return err
}

func (c *checker) mendVolume(name string, why error) (string, error) {
	path, _, _ := damageOf(why)
	done := "recorded anew"
	if _, err := os.Lstat(path); err == nil {
		to, err := c.st.SetAside("volume-"+name, path)
		if err != nil {
			return "", err
		}
		done += "; what was recorded is in " + to
	}
	return done, volume.Restore(c.st, name)
}

func (c *checker) networks() error {
	held, err := c.lockNetworks()
	if err != nil {
		return err
	}
	defer held.Release()
	entries, err := os.ReadDir(network.Dir(c.st))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || network.CheckName(name) != nil {
			continue
		}
		c.objects++
		if _, failed := network.Load(c.st, name); failed != nil && !errors.Is(failed, network.ErrNotFound) {
			err = errors.Join(err, c.broken("network", name, failed, "no container can be started on the network",
				asideOnly+"; then make the network again", c.aside("network-"+name, filepath.Join(network.Dir(c.st), e.Name()))))
		}
	}
	return err
}

// lockNetworks keeps others from changing networks while they are repaired. A nil
// lock is good to release.
func (c *checker) lockNetworks() (*lock.Lock, error) {
	if !c.repair {
		return nil, nil
	}
	file, err := network.LockFile(c.st)
	if err != nil {
		return nil, err
	}
	held, err := lock.TryExclusive(file)
	if errors.Is(err, lock.ErrBusy) {
		return nil, errors.New("a container is just being started on a network: repair it when that is done")
	}
	return held, err
}

func (c *checker) secrets() error {
	entries, err := os.ReadDir(c.st.Secrets())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || secret.CheckName(name) != nil {
			continue
		}
		c.objects++
		if failed := secret.Check(c.st, name); failed != nil {
			err = errors.Join(err, c.broken("secret", name, failed, "no container can be started with the secret",
				asideOnly+"; then create the secret again", c.aside("secret-"+name, filepath.Join(c.st.Secrets(), e.Name()))))
		}
	}
	return err
}

// programs looks at what was unpacked to be executed.
func (c *checker) programs() error {
	damaged, err := unpacked.Damaged(c.st.Cache())
	for _, path := range damaged {
		c.report(Finding{
			Kind: "program", Object: filepath.Base(path), Path: path, Damage: "it is not what was unpacked there",
			Follows: "what is started with it may fail, or do something else", Cure: repairs + "deletes it; it is unpacked again when it is needed",
		}, func() (string, error) { return "deleted", os.Remove(path) })
	}
	return err
}

// attempts looks for files that were never published, of processes that died.
func (c *checker) attempts() (err error) {
	for _, dir := range append(storage.Glob(c.st.Containers(), "*"), c.st.Cache(), filepath.Join(c.st.Cache(), "pushed")) {
		left, failed := atomicfile.Attempts(dir)
		err = errors.Join(err, failed)
		for _, path := range left {
			c.report(Finding{
				Kind: "leftover", Object: filepath.Base(path), Path: path, Damage: "a process that died had not finished it",
				Follows: "it takes space", Cure: repairs + "deletes it",
			}, func() (string, error) { return "deleted", os.Remove(path) })
		}
	}
	return err
}
