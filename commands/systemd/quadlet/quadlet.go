// Package quadlet translates podman's Quadlet files (podman-systemd.unit(5)) to
// service units of systemd whose commands are skiff's. It reads files and writes
// units; it knows neither the store nor a container. Start reading at Generate.
package quadlet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"skiff/commands/systemd/unit"
)

// Options say for whom units are made.
type Options struct {
	Dirs    []string // where the files are, see Dirs
	User    bool     // for a user's systemd
	Program string   // absolute path of skiff
	Store   string   // directory of images and containers; empty where it is not known
}

// Unit is the service that one file becomes.
type Unit struct {
	Path string // the Quadlet file
	Name string // web.service
	Text string // the service unit; empty where Err is not nil
	// Links are symbolic links that [Install] asks for, relative to the unit's
	// directory, with their targets.
	Links map[string]string
	// Warnings name keys that have no effect; Err says why there is no unit.
	Warnings []error
	Err      error
}

// Generate translates every Quadlet file. What is wrong with one is in its
// Unit; problems are about no file alone.
func Generate(o Options) (units []*Unit, problems []error) {
	all, problems := find(o.Dirs)
	g := &generator{Options: o, byName: map[string]*source{}}
	for _, s := range all {
		g.byName[s.name] = s
	}
	names := map[string]string{}
	for _, s := range all {
		u := &Unit{Path: s.path, Err: s.err}
		units = append(units, u)
		if s.err != nil {
			continue
		}
		u.Name = s.service() + ".service"
		if strings.ContainsAny(u.Name, "/ \t") {
			u.Err = s.at("ServiceName", "%q is no unit's name", s.service())
			continue
		}
		if other := names[u.Name]; other != "" {
			u.Err = fmt.Errorf("%s: %s also becomes %s; give one a ServiceName=", s.path, other, u.Name)
			continue
		}
		names[u.Name] = s.path
		if p := g.byName[s.own.Last("Pod")]; s.kind == ".container" && p != nil {
			p.members = append(p.members, s)
		}
	}
	for i, s := range all {
		u := units[i]
		if u.Err != nil {
			continue
		}
		t := &translation{generator: g, source: s}
		u.Text, u.Err = t.translate()
		u.Warnings = t.warnings
		if u.Err == nil {
			u.Links = links(s, u.Name)
		}
	}
	return units, problems
}

// Write puts the units into systemd's directory.
func Write(dir string, units []*Unit) error {
	var failed []error
	for _, u := range units {
		if u.Err != nil {
			continue
		}
		// No reader looks before the generator has ended: systemd waits for it.
		if err := os.WriteFile(filepath.Join(dir, u.Name), []byte(u.Text), 0o644); err != nil {
			failed = append(failed, err)
			continue
		}
		for _, link := range sorted(u.Links) {
			path := filepath.Join(dir, link)
			err := os.MkdirAll(filepath.Dir(path), 0o755)
			if err == nil {
				err = os.Symlink(u.Links[link], path)
			}
			if err != nil && !errors.Is(err, os.ErrExist) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// links are what `systemctl enable` would make of [Install]; generated units
// cannot be enabled.
func links(s *source, service string) map[string]string {
	out := map[string]string{}
	install := s.file.Section("Install")
	plain := func(name string) bool { return name != "" && !strings.Contains(name, "/") }
	for _, name := range fields(install, "Alias") {
		if plain(name) && name != service {
			out[name] = service
		}
	}
	enabled := []string{service}
	if template, _, isTemplate := strings.Cut(service, "@."); isTemplate {
		enabled = nil
		if instance := install.Last("DefaultInstance"); plain(instance) {
			enabled = append(enabled, template+"@"+instance+".service")
		}
		for _, name := range s.instances {
			_, instance, _ := instanceOf(name)
			enabled = append(enabled, template+"@"+instance+".service")
			out[template+"@"+instance+".service"] = service
		}
	}
	for key, suffix := range map[string]string{"WantedBy": ".wants", "RequiredBy": ".requires", "UpheldBy": ".upholds"} {
		for _, target := range fields(install, key) {
			for _, name := range enabled {
				if plain(target) {
					out[target+suffix+"/"+name] = "../" + service
				}
			}
		}
	}
	return out
}

// fields are a key's values, parted by blanks.
func fields(s *unit.Section, key string) []string {
	var out []string
	for _, e := range s.All(key) {
		out = append(out, strings.Fields(e.Value)...)
	}
	return out
}

type generator struct {
	Options
	byName map[string]*source
}

// at is a mistake where the key stands last, or at the file's beginning.
func (s *source) at(key, format string, args ...any) error {
	where := unit.Position{File: s.path, Line: 1}
	if s.own != nil {
		where = s.own.Position
		if all := s.own.All(key); len(all) > 0 {
			where = all[len(all)-1].Position
		}
	}
	return &unit.Error{Position: where, Text: key + ": " + fmt.Sprintf(format, args...)}
}

// resource is the name of what the file's service makes: the container, the
// volume, the network or the image.
func (s *source) resource() string {
	key := map[string]string{".container": "ContainerName", ".volume": "VolumeName", ".network": "NetworkName", ".image": "ImageTag", ".build": "ImageTag", ".pod": "PodName"}[s.kind]
	if name := s.own.Last(key); name != "" {
		return name
	}
	switch s.kind {
	case ".image":
		return s.own.Last("Image")
	case ".build":
		return "localhost/" + s.stem()
	case ".container":
		if strings.Contains(s.stem(), "@") {
			// Two instances are two containers.
			return "systemd-%p_%i"
		}
		return "systemd-%N"
	}
	return "systemd-" + s.stem()
}
