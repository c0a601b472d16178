package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"skiff/storage/atomicfile"
)

// HealthFile is the name of the health in a container's directory. The monitor is
// its one writer; it is there once a check has ended, and counts while the
// container runs.
const HealthFile = "health.json"

// The words of docker's for Health.Status.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// Health is how the last checks went, in docker's names.
type Health struct {
	Status        string
	FailingStreak int
	Log           []Check // the last five, oldest first
	// Readiness is nil for a container whose readiness nobody looks at.
	Readiness *Readiness `json:",omitempty"`
}

// Readiness says whether a container can do its work now, and how the last checks of
// that went.
type Readiness struct {
	Ready bool
	// Streak is how many checks in turn went the other way than Ready says.
	Streak int
	Log    []Check // the last five, oldest first
}

// Check is one run of the health check. ExitCode is -1 where it could not be run
// or took too long; Output has at most 4096 bytes.
type Check struct {
	Start, End time.Time
	ExitCode   int
	Output     string
}

// ReadHealth returns the health in a container's directory; absent or unreadable
// is that of a container that nobody has looked at yet.
func ReadHealth(dir string) Health {
	h := Health{Status: Starting, Log: []Check{}}
	data, err := os.ReadFile(filepath.Join(dir, HealthFile))
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Health{Status: Starting, Log: []Check{}}
	}
	return h
}

// WriteHealth publishes the health in a container's directory. It is not synced:
// a reboot ends what it is about.
func WriteHealth(dir string, h Health) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("write health: %w", err)
	}
	return atomicfile.Write(filepath.Join(dir, HealthFile), data, 0o600, atomicfile.Volatile)
}

// RemoveHealth forgets the health: the container is started anew.
func RemoveHealth(dir string) error {
	if err := os.Remove(filepath.Join(dir, HealthFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove health: %w", err)
	}
	return nil
}
