package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/temp"
)

// MarkPaused records that the container's process was paused.
// Requires the op lock, exclusive.
func (c *Container) MarkPaused(st state.State) error {
	err := atomicfile.Reclaim(c.Dir(), state.PausedFile)
	if err != nil {
		return fmt.Errorf("mark container as paused: %w", err)
	}
	err = temp.WriteFile(context.Background(), c.Store, filepath.Join(c.Dir(), state.PausedFile), []byte(state.PausedMark(st)), 0o600, atomicfile.Volatile)
	if err != nil {
		return fmt.Errorf("mark container as paused: %w", err)
	}
	return nil
}

// UnmarkPaused records that it goes on.
// Requires the op lock, exclusive.
func (c *Container) UnmarkPaused() error {
	err := os.Remove(filepath.Join(c.Dir(), state.PausedFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mark container as running: %w", err)
	}
	return nil
}
