package container

import (
	"time"

	"skiff/storage/container/state"
)

// Status is what a container is doing, decided at one moment.
type Status struct {
	State    string // docker's word: created, running, paused, restarting, exited, dead
	Pid      int    // of the container's init, 0 unless running
	Recorded state.State
}

// Running reports whether the container has a living process.
func (s Status) Running() bool { return s.State == "running" || s.State == "paused" }

// Finished is when it ended last, zero if it never did.
func (s Status) Finished() time.Time { return s.Recorded.FinishedAt }
