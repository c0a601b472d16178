package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/temp"
)

// Publish makes the directory of the container that cfg describes and claims
// its name. ID, Created and Version are filled when empty. The directory is
// prepared under a temporary name and appears whole. A container with AutoRemove
// is not synced: a power cut ends it anyway.
//
// With starting it is known to be about to run: it has its running link from the
// first moment and stays locked by this process until Started, so that a sweeper
// finds it should this process die before.
//
// Requires Store.ImagesLock, shared, when cfg has Layers.
func Publish(ctx context.Context, st *storage.Store, cfg *Config, starting bool) (c *Container, err error) {
	if cfg.ID == "" {
		cfg.ID = NewID()
	}
	if cfg.Created.IsZero() {
		cfg.Created = time.Now().UTC()
	}
	cfg.Version = Version
	if err := CheckName(cfg.Name); err != nil {
		return nil, err
	}
	made := &Container{Store: st, Config: cfg}
	data, err := atomicfile.Encode(cfg)
	if err != nil {
		return nil, fmt.Errorf("write container: %w", err)
	}

	dir, err := temp.Make(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	defer func() {
		err = errors.Join(err, dir.Remove())
		if err != nil && starting {
			// A hint that the sweeper would take away too.
			_ = os.Remove(made.RunningLink())
		}
	}()
	for _, sub := range []string{UpperDir, WorkDir} {
		if err := os.Mkdir(filepath.Join(dir.Path, sub), 0o755); err != nil {
			return nil, fmt.Errorf("create container: %w", err)
		}
	}
	if err := atomicfile.Write(filepath.Join(dir.Path, configFile), data, made.configMode(), made.durability()); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	if starting {
		if err := made.markRunning(dir.Path); err != nil {
			return nil, err
		}
	}
	err = os.Rename(dir.Path, made.Dir())
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(st.Containers(), 0o700); err == nil {
			err = os.Rename(dir.Path, made.Dir())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	if err := claimName(st, cfg.Name, cfg.ID, made.Dir()); err != nil {
		return nil, errors.Join(err, os.Rename(made.Dir(), dir.Path))
	}
	if made.durability() == atomicfile.Durable {
		if err := errors.Join(atomicfile.SyncDir(st.Containers()), atomicfile.SyncDir(st.Names())); err != nil {
			return nil, errors.Join(err, dropName(st, cfg.Name, cfg.ID), os.Rename(made.Dir(), dir.Path))
		}
	}
	if starting {
		made.maker = dir.Published()
	} else {
		dir.Published().Release()
	}
	return made, nil
}

// MarkRunning makes the container's entry in Store.Running, before it is started;
// its monitor takes it away.
func (c *Container) MarkRunning() error {
	if c.maker != nil {
		return nil // published with it
	}
	return c.markRunning(c.Dir())
}

// markRunning is MarkRunning for a container whose directory is still called dir.
func (c *Container) markRunning(dir string) error {
	target := filepath.Join(c.Dir(), LockFile)
	err := symlink(target, c.RunningLink(), filepath.Join(dir, runningAttempt))
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(c.Store.Running(), 0o700); err == nil {
			err = symlink(target, c.RunningLink(), filepath.Join(dir, runningAttempt))
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("mark container as running: %w", err)
	}
	return nil
}

// Started says that a monitor has taken over a container that was published to
// be started, or that it will not be.
func (c *Container) Started() {
	c.maker.Release()
	c.maker = nil
}
