// Package registry reads the specifications of the Container Device Interface. Their
// fields, versions and names are checked by that project's own library; which files
// are read, and how much of them, is decided here: a file that is no specification is
// left out and named, and never waited for.
// https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	library "tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
	specs "tags.cncf.io/container-device-interface/specs-go"

	"skiff/runtime/cdi/message"
)

// maxSpec bounds a specification, in bytes: NVIDIA's for a machine of eight GPUs has
// some 100 KB.
const maxSpec = 4 << 20

// Main answers one message.Question on in. It returns an exit code.
func Main(in io.Reader, out io.Writer) int {
	var q message.Question
	err := json.NewDecoder(in).Decode(&q)
	if err == nil {
		err = json.NewEncoder(out).Encode(Answer(q))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Answer reads the directories of the question and finds what it asks for.
func Answer(q message.Question) *message.Answer {
	r := read(q.Dirs)
	a := &message.Answer{Devices: slices.Sorted(maps.Keys(r.devices)), Problems: r.problems}
	if len(q.Requests) > 0 {
		r.find(q.Requests, a)
	}
	return a
}

// file is one specification.
type file struct {
	path     string
	priority int // the place of its directory: a later one wins
	spec     *specs.Spec
}

// entry is a device in its file.
type entry struct {
	file   *file
	device *specs.Device
}

// registry is all devices by their qualified names.
type registry struct {
	devices  map[string]entry
	problems []string
}

func (r *registry) complain(path string, err error) {
	r.problems = append(r.problems, path+": "+strings.Join(strings.Fields(err.Error()), " "))
}

// read takes in all directories. A device that two files of one directory describe is
// nobody's (SPEC.md and the library's documentation: a conflict), unless a later
// directory has it too.
func read(dirs []string) *registry {
	r := &registry{devices: map[string]entry{}}
	conflicts := map[string]int{} // the priority at which a name is a conflict
	for priority, dir := range dirs {
		for _, path := range r.files(dir) {
			spec, err := load(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it went between two looks
			}
			if err != nil {
				r.complain(path, err)
				continue
			}
			f := &file{path, priority, spec}
			for i := range spec.Devices {
				name := spec.Kind + "=" + spec.Devices[i].Name
				if old, ok := r.devices[name]; ok && old.file.priority == priority {
					conflicts[name] = priority
					r.complain(path, fmt.Errorf("conflicting device %q, which %s has too", name, old.file.path))
					continue
				}
				delete(conflicts, name)
				r.devices[name] = entry{f, &spec.Devices[i]}
			}
		}
	}
	for name := range conflicts {
		delete(r.devices, name)
	}
	return r
}

// files lists what may be specifications in a directory, sorted.
func (r *registry) files(dir string) (paths []string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.complain(dir, err)
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".json" || ext == ".yaml") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// load reads and checks one specification.
func load(path string) (*specs.Spec, error) {
	data, err := contents(path)
	if err != nil {
		return nil, err
	}
	spec, err := library.ParseSpec(data)
	if err != nil {
		return nil, err
	}
	if spec == nil {
		return nil, errors.New("there is nothing in it")
	}
	return spec, check(spec)
}

// contents reads a file that must be an ordinary one of a sensible size.
func contents(path string) ([]byte, error) {
	// A FIFO would make us wait for whoever writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSpec+1))
	if err == nil && len(data) > maxSpec {
		err = fmt.Errorf("it is larger than %d bytes", maxSpec)
	}
	return data, bare(err)
}

// bare leaves out the path, which is said otherwise.
func bare(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// check is the library's own (pkg/cdi, newSpec), which it does not offer without
// reading the file itself, and what SPEC.md demands beyond it.
func check(spec *specs.Spec) error {
	if err := checkEntries(&spec.ContainerEdits); err != nil {
		return err
	}
	for i := range spec.Devices {
		if err := checkEntries(&spec.Devices[i].ContainerEdits); err != nil {
			return fmt.Errorf("device %q: %w", spec.Devices[i].Name, err)
		}
	}
	if err := specs.ValidateVersion(spec); err != nil {
		return err
	}
	vendor, class := parser.ParseQualifier(spec.Kind)
	if err := parser.ValidateVendorName(vendor); err != nil {
		return fmt.Errorf("kind %q: %w", spec.Kind, err)
	}
	if err := parser.ValidateClassName(class); err != nil {
		return fmt.Errorf("kind %q: %w", spec.Kind, err)
	}
	if err := checkEdits(&spec.ContainerEdits); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i := range spec.Devices {
		d := &spec.Devices[i]
		if err := parser.ValidateDeviceName(d.Name); err != nil {
			return err
		}
		if seen[d.Name] {
			return fmt.Errorf("multiple device %q", d.Name)
		}
		seen[d.Name] = true
		if err := checkEdits(&d.ContainerEdits); err != nil {
			return fmt.Errorf("device %q: %w", d.Name, err)
		}
		if none(&d.ContainerEdits) {
			return fmt.Errorf("device %q: empty device edits", d.Name)
		}
	}
	if len(seen) == 0 {
		return errors.New("no devices")
	}
	return nil
}

// checkEntries refuses null in a list, which the library does not expect.
func checkEntries(e *specs.ContainerEdits) error {
	if slices.Contains(e.DeviceNodes, nil) || slices.Contains(e.NetDevices, nil) || slices.Contains(e.Hooks, nil) || slices.Contains(e.Mounts, nil) {
		return errors.New("null is no entry of containerEdits")
	}
	return nil
}

func checkEdits(e *specs.ContainerEdits) error {
	if err := (&library.ContainerEdits{ContainerEdits: e}).Validate(); err != nil {
		return err
	}
	for _, h := range e.Hooks {
		if !filepath.IsAbs(h.Path) {
			return fmt.Errorf("hook %s: its path must be absolute: %q", h.HookName, h.Path)
		}
		if h.Timeout != nil && *h.Timeout <= 0 {
			return fmt.Errorf("hook %s: its timeout must be greater than zero", h.HookName)
		}
	}
	for _, d := range e.DeviceNodes {
		if !filepath.IsAbs(d.Path) || d.HostPath != "" && !filepath.IsAbs(d.HostPath) {
			return fmt.Errorf("device %q: its paths must be absolute", d.Path)
		}
	}
	for _, m := range e.Mounts {
		if !filepath.IsAbs(m.ContainerPath) {
			return fmt.Errorf("mount %q: its path must be absolute", m.ContainerPath)
		}
	}
	return nil
}

func none(e *specs.ContainerEdits) bool {
	return len(e.Env)+len(e.DeviceNodes)+len(e.NetDevices)+len(e.Hooks)+len(e.Mounts)+len(e.AdditionalGIDs) == 0 && e.IntelRdt == nil
}
