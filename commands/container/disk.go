package container

import (
	"path/filepath"

	"skiff/commands/env"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/usage"
)

// Disk is what one container takes of the disk.
type Disk struct {
	*container.Container
	// Row describes it as `system df -v` does.
	Row format.Row
	// Bytes are those of its writable layer.
	Bytes int64
	// Active: it runs, is paused or being started again.
	Active bool
}

// DiskColumns are the columns of `system df -v`.
func DiskColumns() format.List {
	l := psLayout
	l.Columns = []string{"ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"}
	return l
}

// DiskUsage measures all containers. noTrunc leaves ids and commands whole.
func DiskUsage(e *env.Env, st *storage.Store, noTrunc bool) ([]Disk, error) {
	list, err := container.List(st)
	if err != nil {
		return nil, err
	}
	images := imageNames{st: st}
	var all []Disk
	for _, c := range list {
		s, err := c.Status()
		if err != nil {
			return nil, err
		}
		d := Disk{
			Container: c, Row: psRow(e, &images, psOptions{NoTrunc: noTrunc}, c, s),
			Bytes: usage.Below(filepath.Join(c.Dir(), container.UpperDir)), Active: s.Running() || s.State == "restarting",
		}
		d.Row["Size"] = format.LongSize(d.Bytes)
		all = append(all, d)
	}
	return all, nil
}
