package quadlet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"skiff/commands/systemd/unit"
)

// sections are the sections that give a file its meaning, by its extension.
var sections = map[string]string{
	".container": "Container", ".volume": "Volume", ".network": "Network", ".image": "Image", ".build": "Build",
	".pod": "Pod", ".kube": "Kube",
}

// Dirs are where files are looked for, the first wins (podman-systemd.unit(5)).
// uid 0 stands for the machine's. QUADLET_UNIT_DIRS replaces them all.
func Dirs(getenv func(string) string, user bool, uid int) []string {
	if dirs := getenv("QUADLET_UNIT_DIRS"); dirs != "" {
		return filepath.SplitList(dirs)
	}
	if !user {
		return []string{"/run/containers/systemd", "/etc/containers/systemd", "/usr/share/containers/systemd"}
	}
	var dirs []string
	if run := getenv("XDG_RUNTIME_DIR"); run != "" {
		dirs = append(dirs, filepath.Join(run, "containers/systemd"))
	}
	if own := UserDir(getenv); own != "" {
		dirs = append(dirs, own)
	}
	return append(dirs, filepath.Join("/etc/containers/systemd/users", strconv.Itoa(uid)),
		"/etc/containers/systemd/users", "/usr/share/containers/systemd/users")
}

// UserDir is the directory of a user's own files, empty where there is no home.
func UserDir(getenv func(string) string) string {
	config := getenv("XDG_CONFIG_HOME")
	if config == "" {
		home := getenv("HOME")
		if home == "" {
			return ""
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "containers/systemd")
}

// source is one Quadlet file with its drop-ins.
type source struct {
	path string
	name string // file name: web@.container
	kind string // extension
	file unit.File
	own  *unit.Section // [Container] or what the kind has
	err  error
	// instances are the names of links to a template: web@one.container.
	instances []string
	// members are the .container files that name this .pod file as theirs.
	members []*source
}

// stem is the name without its extension.
func (s *source) stem() string { return strings.TrimSuffix(s.name, s.kind) }

// service is the name of the unit that is made, without .service.
func (s *source) service() string {
	if name := s.own.Last("ServiceName"); name != "" {
		return name
	}
	stem, instance, isTemplate := strings.Cut(s.stem(), "@")
	if suffix := s.kind[1:]; suffix != "container" && suffix != "kube" {
		stem += "-" + suffix
	}
	if isTemplate {
		stem += "@" + instance
	}
	return stem
}

// find reads all Quadlet files in dirs and below them.
func find(dirs []string) (all []*source, problems []error) {
	byName := map[string]*source{}
	seen := map[string]bool{}
	var links []string
	var walk func(dir, top string)
	walk = func(dir, top string) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil || seen[real] {
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, err)
			}
			return
		}
		seen[real] = true
		entries, err := os.ReadDir(dir)
		if err != nil {
			problems = append(problems, fmt.Errorf("read Quadlet files: %w", err))
			return
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			info, err := os.Stat(path)
			if err != nil {
				if !errors.Is(err, fs.ErrNotExist) || sections[filepath.Ext(path)] != "" {
					problems = append(problems, fmt.Errorf("read Quadlet files: %w", err))
				}
				continue
			}
			if info.IsDir() {
				// Users' files are not the machine's, nor another user's.
				if strings.HasSuffix(path, ".d") || dir == top && entry.Name() == "users" && strings.HasSuffix(top, "containers/systemd") ||
					filepath.Base(top) == "users" && isNumber(entry.Name()) {
					continue
				}
				walk(path, top)
				continue
			}
			name := entry.Name()
			if strings.ContainsFunc(path, unicode.IsControl) {
				// It would end a line of the unit.
				problems = append(problems, fmt.Errorf("read Quadlet files: %q: a control character in a name", path))
				continue
			}
			if sections[filepath.Ext(name)] == "" || !info.Mode().IsRegular() || byName[name] != nil {
				continue
			}
			if template, _, ok := instanceOf(name); ok && entry.Type()&fs.ModeSymlink != 0 {
				if to, err := os.Readlink(path); err == nil && filepath.Base(to) == template {
					links = append(links, name)
					continue
				}
			}
			s := &source{path: path, name: name, kind: filepath.Ext(name)}
			byName[name] = s
			all = append(all, s)
		}
	}
	for _, dir := range dirs {
		if filepath.IsAbs(dir) {
			walk(filepath.Clean(dir), filepath.Clean(dir))
		} else {
			problems = append(problems, fmt.Errorf("directory %q of Quadlet files is not absolute", dir))
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].name < all[j].name })
	for _, name := range links {
		template, _, _ := instanceOf(name)
		if s := byName[template]; s != nil {
			s.instances = append(s.instances, name)
		}
	}
	for _, s := range all {
		s.err = s.read(dirs)
	}
	return all, problems
}

func isNumber(s string) bool { _, err := strconv.Atoi(s); return err == nil }

// instanceOf takes web@one.container apart: web@.container and one.
func instanceOf(name string) (template, instance string, ok bool) {
	ext := filepath.Ext(name)
	stem, instance, ok := strings.Cut(strings.TrimSuffix(name, ext), "@")
	return stem + "@" + ext, instance, ok && instance != ""
}

// read parses the file and its drop-ins: x.container.d/*.conf, those of its
// template, of the names it begins with (a-.container.d for a-b.container) and
// of its kind (container.d).
func (s *source) read(dirs []string) error {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	if err := s.file.Add(s.path, data); err != nil {
		return err
	}
	names := []string{s.name + ".d"}
	if template, _, ok := instanceOf(s.name); ok {
		names = append(names, template+".d")
	}
	stem := s.stem()
	for i := len(stem) - 1; i > 0; i-- {
		if stem[i-1] == '-' {
			names = append(names, stem[:i]+s.kind+".d")
		}
	}
	names = append(names, s.kind[1:]+".d")
	dropIns := map[string]string{} // a name is read once, the most special wins
	for _, name := range names {
		for _, dir := range append([]string{filepath.Dir(s.path)}, dirs...) {
			entries, err := os.ReadDir(filepath.Join(dir, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), ".conf") && dropIns[e.Name()] == "" {
					dropIns[e.Name()] = filepath.Join(dir, name, e.Name())
				}
			}
		}
	}
	order := make([]string, 0, len(dropIns))
	for name := range dropIns {
		order = append(order, name)
	}
	sort.Strings(order)
	for _, name := range order {
		data, err := os.ReadFile(dropIns[name])
		if err != nil {
			return err
		}
		if err := s.file.Add(dropIns[name], data); err != nil {
			return err
		}
	}
	want := sections[s.kind]
	if s.own = s.file.Section(want); s.own == nil {
		return &unit.Error{Position: unit.Position{File: s.path, Line: 1}, Text: fmt.Sprintf("the section [%s] is missing", want)}
	}
	return nil
}

// Is reports whether a file of this name is a Quadlet file that skiff translates.
func Is(name string) bool {
	return sections[filepath.Ext(name)] != "" && strings.TrimSuffix(name, filepath.Ext(name)) != ""
}
