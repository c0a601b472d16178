package bundle

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// adaptMappings rewrites the id mappings of a configuration for a caller that
// has entered a user namespace of its own: their host ids are the user's world
// outside, what the kernel is told are ids within ours. Where the result is
// just what we have, the container needs no further namespace.
func adaptMappings(s *rspec.Spec) error {
	if s.Linux == nil {
		return nil
	}
	isUser := func(ns rspec.LinuxNamespace) bool { return ns.Type == rspec.UserNamespace && ns.Path == "" }
	if !slices.ContainsFunc(s.Linux.Namespaces, isUser) {
		return nil
	}
	same := true
	for _, m := range []struct {
		file string
		list *[]rspec.LinuxIDMapping
	}{
		{"/proc/self/uid_map", &s.Linux.UIDMappings}, {"/proc/self/gid_map", &s.Linux.GIDMappings},
	} {
		own, err := readMap(m.file)
		if err != nil {
			return err
		}
		if *m.list, err = translate(*m.list, own); err != nil {
			return err
		}
		same = same && identical(*m.list, own)
	}
	if same {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, isUser)
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
	}
	return nil
}

// readMap reads a uid_map or gid_map (user_namespaces(7)).
func readMap(path string) ([]rspec.LinuxIDMapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []rspec.LinuxIDMapping
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var m rspec.LinuxIDMapping
		if _, err := fmt.Sscan(lines.Text(), &m.ContainerID, &m.HostID, &m.Size); err != nil {
			return nil, fmt.Errorf("parse %s: %w", path, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// translate replaces the host ids of list by the ids that own gives them. A
// range may span several lines of own.
func translate(list, own []rspec.LinuxIDMapping) ([]rspec.LinuxIDMapping, error) {
	var out []rspec.LinuxIDMapping
	if len(list) == 0 {
		return nil, errors.New("a user namespace needs uidMappings and gidMappings")
	}
	for _, m := range list {
		for m.Size > 0 {
			i := slices.IndexFunc(own, func(o rspec.LinuxIDMapping) bool {
				return m.HostID >= o.HostID && m.HostID-o.HostID < o.Size
			})
			if i < 0 {
				return nil, fmt.Errorf("map host id %d: it is not among yours (/etc/subuid, /etc/subgid)", m.HostID)
			}
			offset := m.HostID - own[i].HostID
			part := rspec.LinuxIDMapping{
				ContainerID: m.ContainerID, HostID: own[i].ContainerID + offset, Size: min(m.Size, own[i].Size-offset),
			}
			out = append(out, part)
			m.ContainerID, m.HostID, m.Size = m.ContainerID+part.Size, m.HostID+part.Size, m.Size-part.Size
		}
	}
	return out, nil
}

// identical reports whether list maps every id of own to itself.
func identical(list, own []rspec.LinuxIDMapping) bool {
	var mapped, have uint32
	for _, m := range list {
		if m.ContainerID != m.HostID {
			return false
		}
		mapped += m.Size
	}
	for _, m := range own {
		have += m.Size
	}
	return mapped == have
}
