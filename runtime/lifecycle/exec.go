package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/enter"
	"skiff/runtime/launch"
	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/event"
	"skiff/storage/secret"
)

// Exec starts another process in a running container.
func Exec(_ context.Context, c *container.Container, o ExecOptions) (Session, error) {
	pidfd, err := openInit(c)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	st, err := c.State()
	if err != nil {
		return nil, err
	}
	p, err := execProcess(c, &o)
	if err != nil {
		return nil, err
	}
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	if o.ID != "" {
		command := strings.Join(o.Args, " ")
		event.Append(c.Store.Events(), c.Event("exec_create: "+command, "execID", o.ID), c.Event("exec_start: "+command, "execID", o.ID))
	}
	s, err := enterContainer(c, pidfd, st.Pid, p, &o)
	if err != nil {
		return nil, startError(err)
	}
	if o.Detach {
		s.release()
		return nil, nil
	}
	return s, nil
}

// execProcess is the container's own process with what the user asked for
// instead.
func execProcess(c *container.Container, o *ExecOptions) (*message.Process, error) {
	cfg := *c.Config
	cfg.Config.Tty, cfg.Config.WorkingDir = o.Tty, firstOf(o.WorkingDir, cfg.Config.WorkingDir)
	cfg.Config.Env = slices.Concat(withoutKeys(cfg.Config.Env, o.Env), o.Env)
	cfg.Config.User = firstOf(o.User, cfg.Config.User)
	cfg.Path, cfg.Args = o.Args[0], o.Args[1:]
	cfg.Mounts, cfg.Host.Tmpfs, cfg.Host.Devices = nil, nil, nil
	cfg.Host.Privileged = cfg.Host.Privileged || o.Privileged
	cfg.Host.NetworkMode, cfg.Host.IpcMode, cfg.Host.PidMode, cfg.Host.UTSMode = "", "", "", ""
	s, err := spec.Build(&cfg, &spec.Facts{})
	if err != nil {
		return nil, err
	}
	in := &launch.Input{UserByName: true, AddGroups: cfg.Host.GroupAdd, Given: o.Preserve, Size: message.Size{Rows: o.Rows, Cols: o.Cols}}
	if strings.HasPrefix(cfg.Host.UsernsMode, "keep-id") && cfg.Config.User == "" {
		f := &spec.Facts{}
		if err := idMaps(f, &cfg.Host); err != nil {
			return nil, err
		}
		s.Process.User.Username = keptUser(f.UIDMap) + ":" + keptUser(f.GIDMap)
	}
	env, err := secretVariables(c)
	if err != nil && !errors.Is(err, secret.ErrNotFound) { // removed since: the container runs on
		return nil, err
	}
	s.Process.Env = append(withoutKeys(env, o.Env), s.Process.Env...)
	// The container's own filter, whatever privileges the process gets
	// (docker exec --privileged lifts it too).
	if in.Filter, err = filter(c, &cfg.Host, s.Process.Capabilities.Bounding); err != nil {
		return nil, err
	}
	p, err := launch.Process(s.Process, in)
	if err == nil {
		p.CwdExists = true // as docker: run makes the directory, exec does not
	}
	return p, err
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// withoutKeys returns env without the variables that over sets.
func withoutKeys(env, over []string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(over, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			out = append(out, kv)
		}
	}
	return out
}

// execStream is a Session with a process that the monitor started for us.
type execStream struct {
	monitor message.Conn
	console *os.File    // terminal, nil without
	stdio   [3]*os.File // our ends of the pipes
	stdin   sync.Mutex
	control *message.Conn // of who asks over the network, nil without
	done    chan struct{}
	once    sync.Once
}

// enterContainer starts the stage as "exec" within the container's namespaces.
func enterContainer(c *container.Container, pidfd, pid int, p *message.Process, o *ExecOptions) (*execStream, error) {
	s := &execStream{done: make(chan struct{})}
	var err error
	if s.monitor, err = dial(c); err != nil {
		return nil, err
	}
	files, err := s.pipes(o)
	if err != nil {
		s.release()
		return nil, err
	}
	var stdio [3]uintptr
	for i, f := range files {
		stdio[i] = f.Fd()
	}
	// The monitor is its parent and outlives us: it records the end.
	t := &enter.Target{Cache: c.Store.Cache(), Pidfd: pidfd, Pid: pid, Monitor: &s.monitor, Redial: s.redial(c), ExecID: o.ID, Given: preserved(o.Preserve)}
	_, s.console, err = t.Start(p, stdio)
	for _, f := range files {
		if o.Stdio == nil {
			f.Close()
		}
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// redial connects to the monitor anew.
func (s *execStream) redial(c *container.Container) func() error {
	return func() (err error) {
		s.monitor.Close()
		s.monitor, err = dial(c)
		return err
	}
}

// pipes makes the process's standard streams and returns its ends.
func (s *execStream) pipes(o *ExecOptions) ([3]*os.File, error) {
	var theirs [3]*os.File
	if o.Stdio != nil {
		return *o.Stdio, nil
	}
	for i := range 3 {
		if o.Tty || o.Detach || i == 0 && !o.Stdin {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return theirs, err
			}
			theirs[i] = null
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return theirs, err
		}
		if i == 0 {
			theirs[i], s.stdio[i] = r, w
		} else {
			theirs[i], s.stdio[i] = w, r
		}
	}
	return theirs, nil
}

func (s *execStream) Write(p []byte) (int, error) {
	if s.console != nil {
		return s.console.Write(p)
	}
	s.stdin.Lock()
	defer s.stdin.Unlock()
	if s.stdio[0] == nil {
		return 0, io.ErrClosedPipe
	}
	n, err := s.stdio[0].Write(p)
	if err != nil {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

func (s *execStream) CloseStdin() error {
	s.stdin.Lock()
	defer s.stdin.Unlock()
	if s.stdio[0] == nil || s.console != nil {
		return nil
	}
	err := s.stdio[0].Close()
	s.stdio[0] = nil
	return err
}

func (s *execStream) Resize(rows, cols uint16) error {
	if s.console == nil {
		return nil
	}
	return unix.IoctlSetWinsize(int(s.console.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
}

func (s *execStream) Signal(sig syscall.Signal) error {
	return s.monitor.SendJSON(message.SignalWanted, message.Signal{Number: int(sig)})
}

func (s *execStream) Detach() { s.once.Do(func() { close(s.done) }) }

func (s *execStream) Wait(stdout, stderr io.Writer) (int, error) {
	var copies sync.WaitGroup
	relay := func(to io.Writer, from *os.File) {
		if from != nil {
			copies.Go(func() { _, _ = io.Copy(to, from) }) // EIO: the terminal was closed
		}
	}
	relay(stdout, s.console)
	relay(stdout, s.stdio[1])
	relay(stderr, s.stdio[2])
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		var exit message.Exit
		_, err := s.monitor.Expect(message.Exited, &exit)
		if err != nil {
			err = fmt.Errorf("connection to the monitor lost: %w", err)
		}
		copies.Wait()
		ended <- end{exit.Code, err}
	}()
	select {
	case e := <-ended:
		return e.code, e.err
	case <-s.done:
		return 0, ErrDetached
	}
}

func (s *execStream) Close() error {
	s.Detach()
	s.release()
	return nil
}

func (s *execStream) release() {
	s.stdin.Lock()
	defer s.stdin.Unlock()
	if s.monitor.FD >= 0 {
		s.monitor.Close()
		s.monitor.FD = -1
	}
	if s.control != nil {
		s.control.Close()
		s.control = nil
	}
	for i, f := range s.stdio {
		if f != nil {
			f.Close()
			s.stdio[i] = nil
		}
	}
	if s.console != nil {
		s.console.Close()
	}
}
