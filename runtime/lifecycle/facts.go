package lifecycle

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/runtime/spec"
	"skiff/storage/container"
)

// gatherFacts asks the machine what the translation must know.
func gatherFacts(_ context.Context, c *container.Container) (*spec.Facts, error) {
	f := &spec.Facts{Rootless: rootless.Rootless(), OneID: rootless.OneID()}
	var fs unix.Statfs_t
	f.UnifiedCgroup = unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
	if c.Config.Host.IpcMode == "host" {
		_, err := os.Stat("/dev/mqueue")
		f.HostQueues = err == nil
	}
	// A pod's member asks for each namespace of the same container.
	known := map[string]string{}
	f.Namespaces = func(ref string) (dir string, err error) {
		if known[ref] != "" {
			return known[ref], nil
		}
		other, err := container.Find(c.Store, ref)
		if err != nil {
			return "", err
		}
		st, err := other.Status()
		if err != nil {
			return "", err
		}
		if !st.Running() {
			return "", fmt.Errorf("cannot join network of a non running container: %s", other.Config.ID)
		}
		known[ref] = fmt.Sprintf("/proc/%d/ns", st.Pid)
		return known[ref], nil
	}
	if c.Config.Host.Privileged {
		f.HostDevices = hostDevices()
	}
	return f, idMaps(f, &c.Config.Host)
}

// hostDevices are the character and block devices directly in /dev that this
// user may open, without terminals.
func hostDevices() []string {
	entries, err := os.ReadDir("/dev")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		name := "/dev/" + e.Name()
		if e.Type()&os.ModeDevice == 0 || e.Name() == "console" || e.Name() == "ptmx" || strings.HasPrefix(e.Name(), "tty") {
			continue
		}
		if unix.Access(name, unix.R_OK) == nil {
			out = append(out, name)
		}
	}
	return out
}
