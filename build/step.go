package build

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"skiff/runtime/lifecycle"
	"skiff/runtime/stage/message"
	"skiff/storage/temp"
)

// work is where a step that is not cached is done.
type work struct {
	*evaluation
	task Task
	dir  string // the step's own
	// tree is the root with the layer being made on top; nil until mount.
	tree    *tree
	release func()
}

func (w *work) diff() string    { return filepath.Join(w.dir, diffDir) }
func (w *work) scratch() string { return filepath.Join(w.dir, "work") }

// step advances the state by one layer: the one that was made before under one
// of the keys, of which the first names the new state, or what do makes.
func (e *evaluation) step(c *command, title string, keys []string, do func(*work) error) (*layer, error) {
	return e.layer(c, e.Watch.Begin(e.title(title, c.trigger)), keys, true, do)
}

// layer is step for a task that has begun; mount says that do wants a tree.
func (e *evaluation) layer(c *command, task Task, keys []string, mount bool, do func(*work) error) (_ *layer, err error) {
	defer func() { task.Done(err) }()
	var l *layer
	if !e.noCache {
		for i, key := range keys {
			if l = e.cached(key); l == nil {
				continue
			}
			if err := e.cache.remember(l, c.Text, keys[:i]...); err != nil {
				return nil, err
			}
			task.Cached()
			break
		}
	}
	if l == nil && !e.noCache {
		if l, err = e.findImported(e.ctx, keys); err != nil {
			return nil, err
		}
		if l != nil {
			task.Cached()
		}
	}
	if l == nil {
		if l, err = e.make(c, task, keys, mount, do); err != nil {
			return nil, err
		}
	}
	e.key = keyOf("step", keys[0])
	if e.noCache {
		// What was made anew is not what was made before.
		e.key = keyOf("step", keys[0], l.ID)
	}
	e.layers = append(e.layers, l)
	e.note(l, keys, c.Text)
	return l, nil
}

func (e *evaluation) make(c *command, task Task, keys []string, mount bool, do func(*work) error) (_ *layer, err error) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
	w := &work{evaluation: e, task: task, release: func() {}}
	if w.dir, err = e.workDir(e.ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(w.dir))
		}
	}()
	if err := w.prepare(); err != nil {
		return nil, err
	}
	if mount {
		err = w.mount()
	}
	if err == nil {
		err = do(w)
	}
	w.release()
	if err == nil {
		err = w.clamp()
	}
	if err != nil {
		return nil, err
	}
	// Only what the layer is made of goes into the cache.
	entries, err := os.ReadDir(w.dir)
	for _, entry := range entries {
		if entry.Name() != diffDir {
			err = errors.Join(err, os.RemoveAll(filepath.Join(w.dir, entry.Name())))
		}
	}
	if err != nil {
		return nil, err
	}
	return e.cache.keep(w.dir, c.Text, e.now(), keys...)
}

// prepare makes the directories of an overlay. The layer's root is the image's:
// overlay shows the topmost.
func (w *work) prepare() error {
	mode := os.FileMode(0o755)
	uid, gid := 0, 0
	if dirs := w.dirs(w.builder); len(dirs) > 0 {
		var st unix.Stat_t
		if err := unix.Lstat(dirs[0], &st); err != nil {
			return &os.PathError{Op: "stat", Path: dirs[0], Err: err}
		}
		mode, uid, gid = os.FileMode(st.Mode&0o777), int(st.Uid), int(st.Gid)
	}
	temp.Spread(w.dir)
	err := os.Mkdir(w.diff(), 0o755)
	if err == nil {
		err = os.Chown(w.diff(), uid, gid)
	}
	if err == nil {
		err = os.Chmod(w.diff(), mode)
	}
	if err == nil {
		err = os.Mkdir(w.scratch(), 0o700)
	}
	return err
}

// mount assembles the root for this process.
func (w *work) mount() error {
	root, release, err := w.mountLayers(w.dirs(w.builder), w.dir, w.diff(), w.scratch())
	if err != nil {
		return err
	}
	w.tree, w.release = &tree{root: root}, release
	return nil
}

// mountLayers assembles layers, topmost first, for this process. dir is a
// directory for what that needs.
func (b *builder) mountLayers(layers []string, dir, upper, scratch string) (*os.File, func(), error) {
	o, err := b.overlay(layers, dir, upper, scratch)
	if err != nil {
		return nil, nil, err
	}
	return lifecycle.MountRoot(o)
}

// overlay describes layers as one root. Overlay wants at least one.
func (b *builder) overlay(layers []string, dir, upper, scratch string) (*message.Overlay, error) {
	if len(layers) == 0 {
		nothing := filepath.Join(dir, "nothing")
		if err := os.Mkdir(nothing, 0o755); err != nil {
			return nil, err
		}
		// Layers are named from there, and before the first image it is not there.
		if err := os.MkdirAll(b.st.Layers(), 0o700); err != nil {
			return nil, err
		}
		layers = []string{nothing}
	}
	return lifecycle.LayersRoot(b.st, layers, upper, scratch, filepath.Join(dir, "root"))
}

// clamp makes nothing in the layer younger than SOURCE_DATE_EPOCH, so that the
// same step makes the same layer whenever it runs. No process is left that could
// change the tree, and no link is followed.
func (w *work) clamp() error {
	if w.Epoch == nil {
		return nil
	}
	when := unix.NsecToTimespec(w.Epoch.UnixNano())
	return filepath.WalkDir(w.diff(), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.ModTime().After(*w.Epoch) {
			return err
		}
		return setTime(unix.AT_FDCWD, name, when)
	})
}
