package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is where the measuring happens: a directory, the user that the
// commands run as, and two threads to start them from.
type place struct {
	dir        string
	binary     string // a copy of skiff that the user may execute
	uid, gid   int
	subuid     int
	credential *syscall.Credential
	plain      *starter
	v1         *starter // sees no cgroup v2, which Debian's crun wants
	atEnd      []func()
}

func newPlace(skiff string) (*place, error) {
	p := &place{uid: os.Getuid(), gid: os.Getgid()}
	name := "skiff-test"
	if p.uid == 0 {
		if out, err := exec.Command("tests/as-user", name).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make the test user: %w\n%s", err, out)
		}
		u, err := user.Lookup(name)
		if err != nil {
			return nil, err
		}
		p.uid, _ = strconv.Atoi(u.Uid)
		p.gid, _ = strconv.Atoi(u.Gid)
		p.credential = &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.gid), Groups: []uint32{uint32(p.gid)}}
	} else if u, err := user.Current(); err == nil {
		name = u.Username
	}
	p.subuid = firstSubuid(name)
	var err error
	if p.dir, err = os.MkdirTemp("/var/tmp", "skiff-bench."); err != nil {
		return nil, err
	}
	for _, sub := range []string{"home", "run", "tmp", "bundle", "bundle/rootfs", "one", "home/.config", "home/.config/containers"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(p.dir, sub), 0o755), p.give(sub)); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(os.Chmod(p.dir, 0o755), os.Chmod(filepath.Join(p.dir, "run"), 0o700)); err != nil {
		return nil, err
	}
	p.binary = filepath.Join(p.dir, "skiff")
	data, err := os.ReadFile(skiff)
	if err != nil {
		return nil, fmt.Errorf("%w (make build)", err)
	}
	if err := os.WriteFile(p.binary, data, 0o755); err != nil {
		return nil, err
	}
	p.plain = newStarter(func() error { return nil })
	p.v1 = newStarter(func() error {
		if os.Getuid() != 0 {
			return nil
		}
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
			return err
		}
		_ = unix.Unmount("/sys/fs/cgroup/unified", 0)
		return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
	})
	return p, nil
}

func (p *place) give(sub string) error { return os.Chown(filepath.Join(p.dir, sub), p.uid, p.gid) }

func (p *place) close() {
	for len(p.atEnd) > 0 {
		last := p.atEnd[len(p.atEnd)-1]
		p.atEnd = p.atEnd[:len(p.atEnd)-1]
		last()
	}
	if os.RemoveAll(p.dir) != nil {
		_ = exec.Command("unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", p.dir).Run()
	}
}

// command is a command line as the user.
func (p *place) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Join(p.dir, "home")
	cmd.Env = []string{
		"HOME=" + cmd.Dir, "XDG_RUNTIME_DIR=" + filepath.Join(p.dir, "run"),
		"TMPDIR=" + filepath.Join(p.dir, "tmp"), "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	return cmd
}

// patience bounds one command, and a crowd: an engine that hangs must not hang
// the benchmark.
const patience = 2 * time.Minute

// starter is a thread that processes are started from: they inherit its mount
// namespace, at no cost of a wrapper.
type starter struct{ work chan func() }

func newStarter(prepare func() error) *starter {
	s := &starter{work: make(chan func())}
	go func() {
		goruntime.LockOSThread()
		if err := prepare(); err != nil {
			fmt.Fprintln(os.Stderr, "bench: prepare a mount namespace:", err)
		}
		for f := range s.work {
			f()
		}
	}()
	return s
}

// time runs a command to its end and returns how long that took.
func (s *starter) time(cmd *exec.Cmd) (took time.Duration, err error) {
	// A file and not a pipe: a detached container may keep it, and nobody has to
	// copy from it.
	output, err := os.CreateTemp("", "bench.")
	if err != nil {
		return 0, err
	}
	defer output.Close()
	if err := os.Remove(output.Name()); err != nil {
		return 0, err
	}
	cmd.Stdout, cmd.Stderr = output, output
	done := make(chan struct{})
	s.work <- func() {
		defer close(done)
		begin := time.Now()
		if err = cmd.Start(); err == nil {
			watch := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			err = cmd.Wait()
			watch.Stop()
		}
		took = time.Since(begin)
	}
	<-done
	if err != nil {
		text := make([]byte, 1000)
		n, _ := output.ReadAt(text, 0)
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text[:n])
	}
	return took, err
}

// start starts a command without waiting for it.
func (s *starter) start(cmd *exec.Cmd) error {
	done := make(chan error)
	s.work <- func() { done <- cmd.Start() }
	return <-done
}

func firstSubuid(name string) int {
	data, _ := os.ReadFile("/etc/subuid")
	for line := range strings.Lines(string(data)) {
		if fields := strings.Split(line, ":"); len(fields) == 3 && fields[0] == name {
			n, _ := strconv.Atoi(fields[1])
			return n
		}
	}
	return 0
}
