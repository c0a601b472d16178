package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/storage/atomicfile"
	"skiff/storage/container/state"
	"skiff/storage/temp"
)

// pausedFile marks a container as paused. It holds the start time of the
// process that was paused, so that it means nothing for a later one. It is a
// file of its own because state.json is the monitor's.
const pausedFile = "paused"

// MarkPaused records that the container's process was paused.
// Requires the op lock, exclusive.
func (c *Container) MarkPaused(st state.State) error {
	err := atomicfile.Reclaim(c.Dir(), pausedFile)
	if err != nil {
		return fmt.Errorf("mark container as paused: %w", err)
	}
	err = temp.WriteFile(context.Background(), c.Store, filepath.Join(c.Dir(), pausedFile), []byte(mark(st)), 0o600, atomicfile.Volatile)
	if err != nil {
		return fmt.Errorf("mark container as paused: %w", err)
	}
	return nil
}

// UnmarkPaused records that it goes on.
// Requires the op lock, exclusive.
func (c *Container) UnmarkPaused() error {
	err := os.Remove(filepath.Join(c.Dir(), pausedFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mark container as running: %w", err)
	}
	return nil
}

func (c *Container) paused(st state.State) bool {
	data, err := os.ReadFile(filepath.Join(c.Dir(), pausedFile))
	return err == nil && strings.TrimSpace(string(data)) == mark(st)
}

func mark(st state.State) string { return strconv.FormatUint(st.PidStart, 10) }
