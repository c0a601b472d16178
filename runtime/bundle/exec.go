package bundle

import (
	"encoding/json"
	"fmt"
	"os"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/enter"
	"skiff/runtime/launch"
	"skiff/runtime/stage/message"
)

// ReadProcess reads a process of its own file (runc's exec --process).
func ReadProcess(path string) (*rspec.Process, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &rspec.Process{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return p, nil
}

// Process returns the container's own process, for one like it.
func (c *Container) Process() (*rspec.Process, error) {
	s, err := c.spec()
	if err != nil {
		return nil, err
	}
	return s.Process, nil
}

// EnterUser makes this program one of the container's user namespace, where it
// may join the others. It must come before anything that has an effect: it may
// start the program over.
func (c *Container) EnterUser() error {
	fd, err := c.open()
	if err != nil {
		return err
	}
	defer unix.Close(fd) // until here the pid is nobody else's
	return rootless.EnterUser(c.Pid)
}

// ExecOptions say how another process is started.
type ExecOptions struct {
	Cache      string // keeps the stage program and compiled filters
	Rows, Cols uint16 // of the terminal
	Stdio      [3]*os.File
}

// Exec starts p in the container and returns its pid, a child of ours, and its
// terminal's master, nil when it has none.
func (c *Container) Exec(p *rspec.Process, o *ExecOptions) (pid int, console *os.File, err error) {
	if err := checkProcess(p); err != nil {
		return 0, nil, err
	}
	status, err := c.status()
	if err != nil {
		return 0, nil, err
	}
	if status != rspec.StateRunning && status != rspec.StateCreated {
		return 0, nil, fmt.Errorf("cannot exec in a stopped container: %w", ErrNotRunning)
	}
	pidfd, err := c.open()
	if err != nil {
		return 0, nil, err
	}
	defer unix.Close(pidfd)
	s, err := c.spec()
	if err != nil {
		return 0, nil, err
	}
	in := &launch.Input{Size: message.Size{Rows: o.Rows, Cols: o.Cols}, Orphan: true}
	if in.Filter, err = filter(o.Cache, s); err != nil {
		return 0, nil, err
	}
	m, err := launch.Process(p, in)
	if err != nil {
		return 0, nil, err
	}
	var stdio [3]uintptr
	for i, f := range o.Stdio {
		stdio[i] = f.Fd()
	}
	return (&enter.Target{Cache: o.Cache, Pidfd: pidfd, Pid: c.Pid, Cgroups: c.Cgroups}).Start(m, stdio)
}
