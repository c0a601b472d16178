package quadlet

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"skiff/commands/systemd/unit"
)

// translation is the work on one file.
type translation struct {
	*generator
	*source
	flags    []string // of the command
	head     []string // lines of [Unit] that come first
	service  []string // lines of [Service] that come last
	warnings []error
}

// unitKeys are keys of [Unit] whose values name units.
var unitKeys = []string{
	"After", "Before", "BindsTo", "Conflicts", "OnFailure", "OnSuccess", "PartOf", "PropagatesReloadTo", "PropagatesStopTo",
	"ReloadPropagatedFrom", "Requires", "Requisite", "StopPropagatedFrom", "Upholds", "Wants",
}

func (t *translation) translate() (string, error) {
	if err := t.checkKeys(); err != nil {
		return "", err
	}
	if !t.isFalse("Quadlet", "DefaultDependencies") && !t.User {
		// A user's systemd has no such target.
		t.head = append(t.head, "Wants=network-online.target", "After=network-online.target")
	}
	t.head = append(t.head, "SourcePath="+strings.ReplaceAll(t.path, "%", "%%"))
	if t.Store != "" {
		t.head = append(t.head, "RequiresMountsFor="+unit.Quote(unit.Directory(t.Store)))
	}
	t.service = append(t.service, "Environment=PODMAN_SYSTEMD_UNIT=%n", "SyslogIdentifier=%N")
	err := t.plainFlags()
	if err == nil {
		switch t.kind {
		case ".container":
			err = t.container()
		case ".volume":
			err = t.volume()
		case ".network":
			err = t.network()
		case ".image":
			err = t.image()
		case ".build":
			err = t.build()
		case ".pod":
			err = t.pod()
		case ".kube":
			err = t.kube()
		}
	}
	if err != nil {
		return "", err
	}
	return t.text()
}

// checkKeys refuses what the kind of file does not know.
func (t *translation) checkKeys() error {
	for _, s := range t.file.Sections {
		switch s.Name {
		case sections[t.kind], "Quadlet":
			for _, e := range s.Entries {
				r, ok := rules()[s.Name][e.Key]
				switch {
				case !ok:
					return &unit.Error{Position: e.Position, Text: fmt.Sprintf("unsupported key %q in the section [%s]", e.Key, s.Name)}
				case r.how == refused && e.Value != "" && !isNo(e.Value):
					return &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s= is not supported: %s", e.Key, r.why)}
				case r.how == warned:
					t.warn(e, r.why)
				}
			}
		case "Unit", "Service", "Install":
		default:
			if !strings.HasPrefix(s.Name, "X-") {
				return &unit.Error{Position: s.Position, Text: fmt.Sprintf("unknown section [%s] in a %s file", s.Name, t.kind)}
			}
		}
	}
	return nil
}

func (t *translation) warn(e unit.Entry, why string) {
	t.warnings = append(t.warnings, &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s= has no effect: %s", e.Key, why)})
}

// plainFlags are the keys that are a flag each, in the order of the file.
func (t *translation) plainFlags() error {
	done := map[string]bool{}
	for _, e := range t.own.Entries {
		r := t.rule(e.Key)
		all := t.own.All(e.Key)
		if r.flag == "" || done[e.Key] || len(all) == 0 {
			continue
		}
		done[e.Key] = true
		last := all[len(all)-1]
		switch r.how {
		case each:
			for _, e := range all {
				if err := t.check(r.flag, e); err != nil {
					return err
				}
				t.flag(r.flag, e.Value)
			}
		case words:
			list, err := t.words(e.Key)
			if err != nil {
				return err
			}
			for _, w := range list {
				t.flag(r.flag, w)
			}
		case once:
			if err := t.check(r.flag, last); err != nil {
				return err
			}
			t.flag(r.flag, last.Value)
		case boolean:
			yes, err := truth(last)
			if err != nil {
				return err
			}
			if yes {
				t.flags = append(t.flags, "--"+r.flag)
			} else {
				t.flags = append(t.flags, "--"+r.flag+"=false")
			}
		}
	}
	return nil
}

func (t *translation) rule(key string) rule { return rules()[sections[t.kind]][key] }

// flag adds --name value. Both are one word, so that no value can be taken for
// a flag.
func (t *translation) flag(name, value string) { t.flags = append(t.flags, "--"+name+"="+value) }

func (t *translation) words(key string) ([]string, error) {
	var out []string
	for _, e := range t.own.All(key) {
		list, err := unit.Split(e.Value)
		if err != nil {
			return nil, &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s: %v", key, err)}
		}
		out = append(out, list...)
	}
	return out, nil
}

// truth reads a boolean of systemd's.
func truth(e unit.Entry) (bool, error) {
	switch strings.ToLower(e.Value) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	}
	if isNo(e.Value) {
		return false, nil
	}
	return false, &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s: %q is neither true nor false", e.Key, e.Value)}
}

func isNo(s string) bool {
	return slices.Contains([]string{"0", "no", "n", "false", "f", "off"}, strings.ToLower(s))
}

// is reads a boolean of the own section.
func (t *translation) is(key string) (bool, error) {
	all := t.own.All(key)
	if len(all) == 0 {
		return false, nil
	}
	return truth(all[len(all)-1])
}

func (t *translation) isFalse(section, key string) bool {
	return isNo(t.file.Section(section).Last(key))
}

// needs says that another file's unit comes first, and returns that file.
func (t *translation) needs(key, name string) (*source, error) {
	s := t.byName[name]
	if s == nil {
		return nil, t.at(key, "there is no file %s", name)
	}
	if s.err != nil {
		return nil, t.at(key, "%s has a mistake", s.path)
	}
	if t.leadsTo(s, map[string]bool{}) {
		return nil, t.at(key, "%s needs this file itself, in the end", name)
	}
	binding := "Requires="
	if s.kind == ".pod" {
		binding = "BindsTo=" // its namespaces are gone when it ends
	}
	for _, line := range []string{binding + s.service() + ".service", "After=" + s.service() + ".service"} {
		if !slices.Contains(t.head, line) {
			t.head = append(t.head, line)
		}
	}
	return s, nil
}

// leadsTo reports whether from needs t's file.
func (t *translation) leadsTo(from *source, seen map[string]bool) bool {
	if from.name == t.name {
		return true
	}
	if seen[from.name] || from.own == nil {
		return false
	}
	seen[from.name] = true
	for _, e := range from.own.Entries {
		for _, name := range strings.FieldsFunc(e.Value, func(r rune) bool { return strings.ContainsRune(":, =", r) }) {
			if s := t.byName[name]; s != nil && slices.Contains([]string{"Image", "Network", "Volume", "Mount", "Pod"}, e.Key) && t.leadsTo(s, seen) {
				return true
			}
		}
	}
	return false
}

// imageName is what Image= names: a reference, or another file's image.
func (t *translation) imageName() (string, error) {
	name := t.own.Last("Image")
	if ext := filepath.Ext(name); ext == ".image" || ext == ".build" {
		s, err := t.needs("Image", name)
		if err != nil {
			return "", err
		}
		return s.resource(), nil
	}
	if strings.HasPrefix(name, "-") {
		return "", t.at("Image", "%q is no image's name", name)
	}
	return name, nil
}

// absolute is a path as the file means it: relative to the file.
func (s *source) absolute(path string) string {
	if filepath.IsAbs(path) || strings.HasPrefix(path, "%") {
		return path
	}
	return filepath.Join(filepath.Dir(s.path), path)
}

// command is a command line of skiff's.
func (t *translation) command(args ...string) string {
	return unit.QuoteAll(append([]string{unit.Literal(t.Program)}, args...))
}

// start adds the main command, with GlobalArgs in front.
func (t *translation) start(key string, args []string) error {
	global, err := t.words("GlobalArgs")
	if err != nil {
		return err
	}
	t.service = append(t.service, key+"="+t.command(append(global, args...)...))
	return nil
}

// make is a service that makes something and then is done.
func (t *translation) make(args ...string) error {
	extra, err := t.words("PodmanArgs")
	if err != nil {
		return err
	}
	verb, operands := args[:2], args[2:]
	if args[0] == "pull" || args[0] == "build" {
		verb, operands = args[:1], args[1:]
	}
	all := append(append(slices.Clone(verb), t.flags...), extra...)
	own := t.file.Section("Service")
	for key, value := range map[string]string{"Type": "oneshot", "RemainAfterExit": "yes"} {
		if own.Last(key) == "" {
			t.service = append(t.service, key+"="+value)
		}
	}
	slices.Sort(t.service)
	if own.Last("TimeoutStartSec") == "" && verb[0] != "volume" && verb[0] != "network" {
		// A transfer takes the time that it takes.
		t.service = append(t.service, "TimeoutStartSec=infinity")
	}
	return t.start("ExecStart", append(all, operands...))
}

// text is the service unit: the file's own sections, ours of its kind kept for
// `systemctl cat` under a name that systemd passes over.
func (t *translation) text() (string, error) {
	var b strings.Builder
	b.WriteString("# Made by skiff of " + t.path + "\n[Unit]\n")
	for _, line := range t.head {
		b.WriteString(line + "\n")
	}
	if s := t.file.Section("Unit"); s != nil {
		for _, e := range s.Entries {
			value := e.Value
			if slices.Contains(unitKeys, e.Key) {
				list := strings.Fields(value)
				for i, name := range list {
					other := t.byName[name]
					if other == nil && sections[filepath.Ext(name)] != "" {
						return "", &unit.Error{Position: e.Position, Text: fmt.Sprintf("%s: there is no file %s", e.Key, name)}
					}
					if other != nil && other.own != nil {
						list[i] = other.service() + ".service"
					}
				}
				value = strings.Join(list, " ")
			}
			fmt.Fprintf(&b, "%s=%s\n", e.Key, value)
		}
	}
	for _, s := range t.file.Sections {
		name := s.Name
		switch name {
		case "Unit", "Service":
			continue
		case sections[t.kind], "Quadlet":
			name = "X-" + name
		}
		fmt.Fprintf(&b, "\n[%s]\n", name)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "%s=%s\n", e.Key, e.Value)
		}
	}
	b.WriteString("\n[Service]\n")
	if s := t.file.Section("Service"); s != nil {
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "%s=%s\n", e.Key, e.Value)
		}
	}
	for _, line := range t.service {
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}
