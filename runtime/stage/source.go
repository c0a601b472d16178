package stage

import (
	"fmt"
	"slices"

	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
)

// sourcesAtOnce is how many descriptors one message brings.
const sourcesAtOnce = 32

// sendSources opens for init what Init.OpenSources says.
func (c *child) sendSources(l *message.Launch) error {
	var cfg message.Init
	if err := message.Decode(l.Init, &cfg); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	fds, err := openSources(&cfg, l)
	defer func() { closeAll(fds) }()
	if err != nil {
		return err
	}
	for rest := fds; len(rest) > 0; {
		n := min(len(rest), sourcesAtOnce)
		if err := c.conn.Send(message.SourcesOpened, nil, rest[:n]...); err != nil {
			return c.died(err)
		}
		rest = rest[n:]
	}
	return nil
}

// openSources returns what it opened on error, too.
func openSources(cfg *message.Init, l *message.Launch) (fds []int, err error) {
	add := func(fd int, err error) error {
		if err == nil {
			fds = append(fds, fd)
		}
		return err
	}
	foreign := len(l.UIDMap) > 0 && !(hasOwn(l.UIDMap) && hasOwn(l.GIDMap))
	for i := range cfg.Copies {
		if err := add(rootfs.OpenVolume(&cfg.Copies[i])); err != nil {
			return fds, err
		}
		if !foreign {
			continue
		}
		uid, _ := outsideOf(l.UIDMap, 0)
		gid, _ := outsideOf(l.GIDMap, 0)
		if err := rootfs.GiveVolume(fds[len(fds)-1], uid, gid); err != nil {
			return fds, err
		}
	}
	for i := range cfg.Mounts {
		if !cfg.Mounts[i].Opened() {
			continue
		}
		if err := add(rootfs.OpenMount(&cfg.Mounts[i])); err != nil {
			return fds, err
		}
		if dest := cfg.Mounts[i].Destination; foreign && slices.Contains(cfg.Process.Own, dest) {
			if err := giveSource(fds[len(fds)-1], &cfg.Process, l); err != nil {
				return fds, fmt.Errorf("give %s to the user: %w", dest, err)
			}
		}
	}
	for i := range cfg.Files {
		if err := add(rootfs.OpenFile(&cfg.Files[i])); err != nil {
			return fds, err
		}
	}
	return fds, nil
}

// hasOwn reports whether the user, who is 0 here, is somebody in the container.
func hasOwn(list []message.IDMap) bool {
	return slices.ContainsFunc(list, func(m message.IDMap) bool { return m.Host == 0 })
}

// sources are what the parent opened, in the order of their use.
type sources []int

// receiveSources takes n descriptors from the parent.
func receiveSources(parent message.Conn, n int) (s sources, err error) {
	for len(s) < n {
		fds, err := parent.Expect(message.SourcesOpened, nil)
		s = append(s, fds...)
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// next is the next one, the caller's then; -1 when nothing was opened for us.
func (s *sources) next() int {
	if len(*s) == 0 {
		return -1
	}
	fd := (*s)[0]
	*s = (*s)[1:]
	return fd
}
