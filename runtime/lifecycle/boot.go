package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"skiff/rootless"
	"skiff/runtime/cgroup"
	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
)

// BootUnit is the unit of the user's systemd that starts containers again after a
// reboot. It is there while a container has a restart policy.
const BootUnit = "skiff-restart.service"

// unitDirs are where the unit lies and where the link that enables it; as root
// the machine's.
func unitDirs() (unit, wants string, err error) {
	dir := "/etc/systemd/system"
	if rootless.Rootless() {
		config, err := os.UserConfigDir()
		if err != nil {
			return "", "", fmt.Errorf("find the user's units: %w", err)
		}
		dir = filepath.Join(config, "systemd/user")
	}
	return filepath.Join(dir, BootUnit), filepath.Join(dir, "default.target.wants", BootUnit), nil
}

// restarted reports whether a policy starts a container again.
func restarted(p container.RestartPolicy) bool { return p.Name != "" && p.Name != "no" }

// BootNotice says, for a container with the policy, what happens to it at a
// reboot, when that is news: the unit is about to be installed, or cannot be.
func BootNotice(p container.RestartPolicy) string {
	if !restarted(p) {
		return ""
	}
	unit, _, err := unitDirs()
	switch {
	case err != nil:
		return "--restart: " + err.Error()
	case rootless.Rootless() && !cgroup.UserSystemd():
		return "--restart: there is no systemd of this user here; the policy holds until the machine goes down."
	case !rootless.Rootless() && !exists("/run/systemd/system"):
		return "--restart: there is no systemd here; the policy holds until the machine goes down."
	case exists(unit):
		return ""
	}
	text := fmt.Sprintf("--restart: %s starts such containers after a reboot; it is installed now and goes with the last of them.", unit)
	if rootless.Rootless() && !Lingers() {
		text += " For that the user must log in, or `loginctl enable-linger` be run once."
	}
	return text
}

// Lingers reports whether the user's systemd runs without a login, from boot on.
func Lingers() bool { return exists("/var/lib/systemd/linger/" + os.Getenv("USER")) }

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// KeepBootUnit installs the unit if a container of the store has a restart policy,
// and removes it if none has. now is the policy of a container that has just
// changed: most have none, and then nothing is looked at.
func KeepBootUnit(st *storage.Store, now container.RestartPolicy) error {
	if restarted(now) {
		return installBootUnit()
	}
	unit, wants, err := unitDirs()
	if err != nil || !exists(unit) {
		return nil
	}
	all, err := container.List(st)
	if err != nil {
		return err
	}
	for _, c := range all {
		if restarted(c.Config.Host.RestartPolicy) {
			return nil
		}
	}
	return errors.Join(ifThere(os.Remove(wants)), ifThere(os.Remove(unit)))
}

func ifThere(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func installBootUnit() error {
	unit, wants, err := unitDirs()
	if err != nil || rootless.Rootless() && !cgroup.UserSystemd() || !rootless.Rootless() && !exists("/run/systemd/system") {
		return nil // BootNotice has said so
	}
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	// What percent signs mean to systemd is meant to be itself (systemd.unit(5)).
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(s) + `"`
	}
	text := "# Written by skiff; it removes this file with the last container that has a restart policy.\n" +
		"[Unit]\nDescription=Containers of skiff with a restart policy\n" +
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nDelegate=yes\nTimeoutStartSec=infinity\n"
	if data := os.Getenv("XDG_DATA_HOME"); data != "" {
		text += "Environment=" + quote("XDG_DATA_HOME="+data) + "\n"
	}
	text += "ExecStart=" + quote(program) + " system boot\n[Install]\nWantedBy=default.target\n"
	if old, err := os.ReadFile(unit); err == nil && string(old) == text && exists(wants) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(wants), 0o755); err != nil {
		return fmt.Errorf("install %s: %w", BootUnit, err)
	}
	if err := atomicfile.Write(unit, []byte(text), 0o644, atomicfile.Durable); err != nil {
		return fmt.Errorf("install %s: %w", BootUnit, err)
	}
	if err := os.Symlink("../"+BootUnit, wants); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("enable %s: %w", BootUnit, err)
	}
	return nil
}

// Boot starts the containers that a reboot ended and whose policy wants them up.
// It returns what could not be started.
func Boot(ctx context.Context, st *storage.Store) error {
	// One that cannot be read keeps no other down.
	all, failed := container.List(st)
	for _, c := range all {
		s, err := c.Status()
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if s.State != "exited" || !wantedUp(c.Config.Host.RestartPolicy, s) {
			continue
		}
		if _, err := Start(ctx, c, StartOptions{}); err != nil {
			failed = errors.Join(failed, fmt.Errorf("start %s: %w", c.Config.Name, err))
		}
	}
	return failed
}

func wantedUp(p container.RestartPolicy, s container.Status) bool {
	switch p.Name {
	case "always":
		return true
	case "unless-stopped":
		return !s.Recorded.Stopped
	case "on-failure":
		return s.Recorded.ExitCode != 0 && !s.Recorded.Stopped
	}
	return false
}
