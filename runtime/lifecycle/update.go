package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"skiff/runtime/cgroup"
	"skiff/storage/container"
)

// Limit applies the limits of h that differ from the container's present ones
// to its control group (https://docs.kernel.org/admin-guide/cgroup-v2.html).
// init is its first process. What cannot be applied now is named in warnings;
// it counts from the next start, where the system allows. On error the limits
// are as they were.
func Limit(c *container.Container, init int, h *container.Host) (warnings []string, err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for _, u := range undo {
				err = errors.Join(err, u())
			}
		}
	}()
	dir := CgroupOf(c, init)
	for _, l := range changedLimits(&c.Config.Host, h) {
		if dir == "" {
			warnings = append(warnings, l.Flag+": the running container has no control group of its own; the limit counts from its next start.")
			continue
		}
		path := filepath.Join(dir, l.File)
		before, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) && cgroup.EnableFor(dir, l.Controller) {
			before, err = os.ReadFile(path) // it had no limit of this kind until now
		}
		if errors.Is(err, os.ErrNotExist) {
			warnings = append(warnings, fmt.Sprintf("%s: the controller of %s is not delegated to this user; the limit is not applied.", l.Flag, l.File))
			continue
		}
		if err == nil {
			err = os.WriteFile(path, []byte(l.Value), 0)
		}
		if err != nil {
			return warnings, fmt.Errorf("set %s to %s: %w", l.File, l.Value, err)
		}
		undo = append(undo, func() error { return os.WriteFile(path, before, 0) })
	}
	return warnings, nil
}

// changedLimits are the files of the control group to write: what the
// configuration wants now, and the kernel's default for what it wanted before.
func changedLimits(old, now *container.Host) (list []cgroup.Setting) {
	before, after := cgroup.Settings(old, 2), cgroup.Settings(now, 2)
	for _, s := range after {
		if !slices.Contains(before, s) {
			list = append(list, s)
		}
	}
	for _, s := range before {
		if !slices.ContainsFunc(after, func(o cgroup.Setting) bool { return o.File == s.File }) {
			s.Value = cgroup.Default(s.File)
			list = append(list, s)
		}
	}
	return list
}
