// Package state is state.json of a container's directory: what the monitor
// (runtime/stage) publishes and everybody else reads. Standard library and x/sys
// only, because the monitor links it.
package state

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"skiff/storage/atomicfile"
)

// File is the name of the state in a container's directory.
const File = "state.json"

// Version is the format that this program writes.
const Version = 1

// State is what happened to a container. The monitor is its one writer while
// it holds the run lock; without a holder whoever has op.lock may write. Absent
// means: never started. A recorded Pid is running only if the run lock is held;
// else Process decides (see storage/container.Container.Status).
type State struct {
	Version int `json:"Version"`
	// Pid of the container's init as seen by the monitor; 0 when it has ended.
	Pid int `json:"Pid"`
	// PidStart is the init's start time in clock ticks after boot (proc(5),
	// stat field 22) and BootID the boot it counts from: together they tell the
	// process from a later one with the same pid.
	PidStart uint64 `json:"PidStart,omitempty"`
	BootID   string `json:"BootId,omitempty"`
	// MonitorPid is informative; the run lock is what counts.
	MonitorPid int       `json:"MonitorPid,omitempty"`
	StartedAt  time.Time `json:"StartedAt"`  // zero: never
	FinishedAt time.Time `json:"FinishedAt"` // zero: not yet
	ExitCode   int       `json:"ExitCode"`
	Error      string    `json:"Error,omitempty"` // why a start, or its PostStart hook, failed
	OOMKilled  bool      `json:"OOMKilled,omitempty"`
	Restarts   int       `json:"RestartCount,omitempty"`
	// Restarting says that the monitor will start it again by itself.
	Restarting bool `json:"Restarting,omitempty"`
	// Stopped says that a user stopped it, so that unless-stopped stays down.
	Stopped bool `json:"StoppedByUser,omitempty"`
}

// Read returns the state in a container's directory, and the zero State when
// there is none or a power cut emptied it.
func Read(dir string) (State, error) {
	s, data, err := readOnce(dir)
	// On a full disk a file that was the state a moment ago may be written to, under
	// the eyes of who has opened it then (writeSpare). That is another one by now.
	for range 100 {
		if !atomicfile.IsDamaged(err) {
			break
		}
		before := data
		if s, data, err = readOnce(dir); bytes.Equal(data, before) {
			break
		}
	}
	if err != nil {
		return State{}, fmt.Errorf("read state: %w", err)
	}
	return s, nil
}

func readOnce(dir string) (s State, data []byte, err error) {
	path := filepath.Join(dir, File)
	data, err = atomicfile.Read(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(data) == 0 {
		return s, nil, nil
	}
	if err == nil {
		err = atomicfile.Decode(path, data, &s, &s.Version, Version)
	}
	return s, data, err
}

// Write publishes the state in a container's directory, on a full disk with the help
// of what Reserve has set aside.
func Write(dir string, s State, d atomicfile.Durability) error {
	data, err := Encode(s)
	if err != nil {
		return err
	}
	write := func() error { return atomicfile.Write(filepath.Join(dir, File), data, 0o600, d) }
	if err = write(); !noRoom(err) {
		return err
	}
	if writeSpare(dir, data, d) == nil {
		return nil
	}
	giveUp(dir)
	return write()
}

// Encode returns the contents of File for s.
func Encode(s State) ([]byte, error) {
	s.Version = Version
	data, err := atomicfile.Encode(s)
	if err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return data, nil
}
