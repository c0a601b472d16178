package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// shutdownIoctl is FS_IOC_SHUTDOWN, _IOR('X', 125, __u32), which ext4, xfs,
	// f2fs and others share. With noLogFlush what is not on the disk at this
	// moment, the journal included, never gets there: what a power cut does.
	shutdownIoctl = 0x8004587d
	noLogFlush    = 2
)

// Disk is a file system in a file, mounted over a session's home.
type Disk struct {
	t       *testing.T
	session *Session
	kind    string
	file    string
	mounted bool
}

// Disk puts the session's home onto a file system of its own, of a kind
// (ext4, xfs, btrfs), a size in MiB and with options of mkfs, for as long as the
// test lasts. The mount is
// in a namespace that only the session's commands see: a copy of it in that of
// somebody else's container would keep the file system from being unmounted.
// The test must have asked for Root, LoopDevices and mkfs.KIND.
func (s *Session) Disk(kind string, size int, options ...string) *Disk {
	s.T.Helper()
	d := &Disk{t: s.T, session: s, kind: kind, file: filepath.Join(diskDir(s.T), kind+".img")}
	f, err := os.Create(d.file)
	if err == nil {
		err = f.Truncate(int64(size) << 20)
		f.Close()
	}
	if err != nil {
		s.T.Fatal(err)
	}
	d.run(append(append([]string{"mkfs." + kind, "-q"}, options...), d.file)...)
	s.InMountNamespace("true")
	s.T.Cleanup(func() {
		s.removeContainers() // while their store can be seen
		d.Unmount()
	})
	d.Mount()
	if err := s.give(d.Path()); err != nil {
		s.T.Fatal(err)
	}
	return d
}

// diskDir is a directory in memory, if there is one: a cut must not wait for
// this machine's own disk.
func diskDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "skiff-disk-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Path is where the harness sees the file system.
func (d *Disk) Path() string { return d.session.seen(d.session.Home()) }

// Store is where the harness sees the session's store.
func (d *Disk) Store() string { return d.session.seen(d.session.Store()) }

func (d *Disk) run(args ...string) {
	d.t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// Mount mounts the file system, which plays back its journal.
func (d *Disk) Mount() {
	d.t.Helper()
	d.run("nsenter", "--mount="+d.session.mounts, "mount", "-o", "loop", "-t", d.kind, d.file, d.session.Home())
	d.mounted = true
}

// Unmount unmounts the file system as soon as nobody uses it.
func (d *Disk) Unmount() {
	d.t.Helper()
	if !d.mounted {
		return
	}
	umount := func(flags ...string) error {
		args := append([]string{"--mount=" + d.session.mounts, "umount"}, flags...)
		return exec.Command("nsenter", append(args, d.session.Home())...).Run()
	}
	var err error
	if !within(comesWithin, func() bool { err = umount(); return err == nil }) {
		d.t.Errorf("unmount %s: %v", d.session.Home(), errors.Join(err, umount("-l")))
	}
	d.mounted = false
	// The file system lives for as long as anybody's namespace has the mount.
	if !within(comesWithin, func() bool {
		out, err := exec.Command("losetup", "-j", d.file).Output()
		return err == nil && len(out) == 0
	}) {
		d.t.Errorf("somebody keeps %s from being unmounted", d.file)
	}
}

// Cut takes the power away: nothing more reaches the disk.
func (d *Disk) Cut() error {
	f, err := os.Open(d.Path())
	if err != nil {
		return fmt.Errorf("cut power: %w", err)
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), shutdownIoctl, noLogFlush); err != nil {
		return fmt.Errorf("cut power: %w", err)
	}
	return nil
}

// Restore brings the power back: the file system as it is on the disk, in another
// boot.
func (d *Disk) Restore() {
	d.t.Helper()
	d.Unmount()
	d.Mount()
	if err := d.otherBoot(); err != nil {
		d.t.Fatal(err)
	}
}

// otherBoot lets what was written in this boot of the machine be of another one. Not
// the containers' states: their sums would be wrong, and the processes in them are
// dead either way.
func (d *Disk) otherBoot() error {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	boot, other := strings.TrimSpace(string(now)), "00000000-0000-4000-8000-000000000000"
	layers, err := filepath.Glob(filepath.Join(d.Store(), "build/layers/*/layer.json"))
	for _, path := range layers {
		data, rerr := os.ReadFile(path)
		if rerr == nil {
			rerr = os.WriteFile(path, []byte(strings.ReplaceAll(string(data), boot, other)), 0o600)
		}
		err = errors.Join(err, rerr)
	}
	marks, gerr := filepath.Glob(filepath.Join(d.Store(), "cache/*.checked"))
	err = errors.Join(err, gerr)
	for _, path := range marks {
		if target, rerr := os.Readlink(path); rerr == nil && target == boot {
			err = errors.Join(err, os.Remove(path), os.Symlink(other, path))
		}
	}
	return err
}

// Sync writes everything that was done so far.
func (d *Disk) Sync() error {
	f, err := os.Open(d.Path())
	if err != nil {
		return fmt.Errorf("sync disk: %w", err)
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

// LoopDevices are what file systems in files are mounted through.
func LoopDevices() string {
	if !Exists("/dev/loop-control") {
		return "needs loop devices"
	}
	return ""
}

// Layers lists the ids of the layers in the session's store, with an image or
// without.
func (s *Session) Layers() []string {
	var ids []string
	for _, name := range Entries(filepath.Join(s.seen(s.Store()), "storage", "overlay")) {
		if len(name) == 64 {
			ids = append(ids, name)
		}
	}
	return ids
}
