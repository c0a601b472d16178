package stage

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
	"skiff/storage/sealed"
)

// Inside says what to start within a running container.
type Inside struct {
	Pidfd, Pid int // of the container's first process
	// Program is the descriptor of what to execute; less than 1, it is ourselves.
	Program int
	Args    []string
	Files   []uintptr // as syscall.ProcAttr has them
	// Direct, if not nil, is executed instead of a program.
	Direct *message.Direct
	// OpenFiles is its soft limit of open files if Direct does not say.
	OpenFiles uint64
	// Enter, if not nil, is called with the child's pid before it does anything as
	// Direct; where it fails there is no child.
	Enter func(pid int) error
	// NetOnly joins no namespace but the network's: the container does not see it.
	NetOnly bool
}

// Spawn starts a process in the container's namespaces, save the mount namespace
// (which would hide the program) and the user namespace (which only a process of
// one thread may enter), and returns its pid and a pidfd of it. The caller is its
// parent, and must wait for it: the container's pid namespace cannot end before.
func (in *Inside) Spawn() (pid, pidfd int, err error) {
	done := make(chan struct{})
	go func() {
		// Never unlocked: the thread belongs to the container and ends with us.
		runtime.LockOSThread()
		pid, pidfd, err = in.spawn()
		close(done)
	}()
	<-done
	return pid, pidfd, err
}

func (in *Inside) spawn() (pid, pidfd int, err error) {
	flags := 0
	for _, ns := range []struct {
		name string
		flag int
	}{
		{"pid", unix.CLONE_NEWPID},
		{"net", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC},
		{"uts", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
	} {
		if in.NetOnly && ns.name != "net" {
			continue
		}
		foreign, err := in.foreign(ns.name)
		if err != nil {
			return 0, -1, fmt.Errorf("join namespaces: %w", err)
		}
		if foreign {
			flags |= ns.flag
		}
	}
	if flags != 0 {
		if err := unix.Setns(in.Pidfd, flags); err != nil {
			return 0, -1, fmt.Errorf("join namespaces: %w", err)
		}
	}
	if in.Direct != nil {
		return in.execute()
	}
	path := selfPath
	if in.Program > 0 {
		// The child's own descriptors take the place of what is in the low ones.
		program, err := sealed.Raise(in.Program, "program")
		if err != nil {
			return 0, -1, err
		}
		defer program.Close()
		path = sealed.Path(program)
	}
	attr := &syscall.SysProcAttr{PidFD: &pidfd}
	pid, err = syscall.ForkExec(path, in.Args, &syscall.ProcAttr{Env: Environ(), Files: in.Files, Sys: attr})
	if err != nil {
		return 0, -1, fmt.Errorf("start exec: %w", err)
	}
	return pid, pidfd, nil
}

// execute starts a fork of this thread that becomes what is to be executed.
func (in *Inside) execute() (pid, pidfd int, err error) {
	gate := [2]int{-1, -1}
	if in.Enter != nil {
		if err := unix.Pipe2(gate[:], unix.O_CLOEXEC); err != nil {
			return 0, -1, fmt.Errorf("pipe: %w", err)
		}
		defer unix.Close(gate[0])
		defer unix.Close(gate[1])
	}
	calls, err := in.program(in.Direct, gate)
	if err != nil {
		return 0, -1, err
	}
	if pid, pidfd, err = calls.fork(); err != nil {
		return 0, -1, fmt.Errorf("fork: %w", err)
	}
	if in.Enter != nil {
		if err = in.Enter(pid); err == nil {
			_, err = unix.Write(gate[1], []byte{1})
		}
		if err != nil {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			(&guest{pid: pid, pidfd: pidfd}).end()
			return 0, -1, err
		}
	}
	return pid, pidfd, nil
}

// Foreign reports whether the container's namespace of that name (namespaces(7))
// is another one than ours.
func (in *Inside) Foreign(name string) bool {
	foreign, err := in.foreign(name)
	return err == nil && foreign
}

// foreign fails where the container's process has ended: it has no namespaces then,
// and what is started must not find itself in ours.
func (in *Inside) foreign(name string) (bool, error) {
	var own, theirs unix.Stat_t
	if unix.Stat("/proc/self/ns/"+name, &own) != nil {
		return false, nil // the kernel has none of the kind
	}
	path := fmt.Sprintf("/proc/%d/ns/%s", in.Pid, name)
	if err := unix.Stat(path, &theirs); err != nil {
		return false, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return own.Ino != theirs.Ino, nil
}
