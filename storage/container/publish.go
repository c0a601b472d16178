package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
)

// Publish makes the directory of the container that cfg describes and claims
// its name. ID, Created and Version are filled when empty. The directory is
// prepared under a temporary name and appears whole. A container with AutoRemove
// is not synced: a power cut ends it anyway.
//
// Requires Store.ImagesLock, shared, when cfg has Layers.
func Publish(_ context.Context, st *storage.Store, cfg *Config) (c *Container, err error) {
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
	c = &Container{Store: st, Config: cfg}
	data, err := json.Marshal(cfg)
	if err != nil {
		return nil, fmt.Errorf("write container: %w", err)
	}

	temp := filepath.Join(st.Containers(), ".new-"+cfg.ID)
	if err := mkdirAll(temp); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for _, sub := range []string{UpperDir, WorkDir} {
		if err := os.Mkdir(filepath.Join(temp, sub), 0o755); err != nil {
			return nil, fmt.Errorf("create container: %w", err)
		}
	}
	if err := atomicfile.Write(filepath.Join(temp, configFile), data, 0o600, c.durability()); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	if err := os.Rename(temp, c.Dir()); err != nil {
		return nil, fmt.Errorf("create container: %w", err)
	}
	temp = c.Dir()
	if err := claimName(st, cfg.Name, cfg.ID); err != nil {
		return nil, err
	}
	if c.durability() == atomicfile.Durable {
		if err := errors.Join(atomicfile.SyncDir(st.Containers()), atomicfile.SyncDir(st.Names())); err != nil {
			return nil, errors.Join(err, dropName(st, cfg.Name, cfg.ID))
		}
	}
	return c, nil
}

func mkdirAll(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	return err
}
