package quadlet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
				r, ok := rules[s.Name][e.Key]
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

func (t *translation) rule(key string) rule { return rules[sections[t.kind]][key] }

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

func (t *translation) container() error {
	image, err := t.imageName()
	rootfs := t.own.Last("Rootfs")
	if err != nil {
		return err
	}
	switch {
	case image == "" && rootfs == "":
		return &unit.Error{Position: t.own.Position, Text: "no Image= or Rootfs= in the section [Container]"}
	case image != "" && rootfs != "":
		return t.at("Rootfs", "Image= and Rootfs= exclude each other")
	case rootfs != "":
		image = t.absolute(rootfs)
		t.flags = append(t.flags, "--rootfs")
	}
	name := t.resource()
	own := []string{"--name=" + name, "--replace", "--rm"}
	mode := t.own.Last("CgroupsMode")
	if mode == "" {
		mode = "split"
	}
	own = append(own, "--cgroups="+mode)
	for _, step := range []func() error{t.joinPod, t.notify, t.user, t.security, t.mounts, t.networks, t.environment, t.devices, t.life} {
		if err := step(); err != nil {
			return err
		}
	}
	if label := t.own.Last("AutoUpdate"); label != "" {
		if label != "registry" && label != "local" {
			return t.at("AutoUpdate", "%q is neither registry nor local", label)
		}
		t.flag("label", "io.containers.autoupdate="+label)
	}
	exec, err := t.words("Exec")
	if err != nil {
		return err
	}
	if entry := t.own.Last("Entrypoint"); entry != "" {
		list := []string{entry}
		if strings.HasPrefix(entry, "[") {
			if err := json.Unmarshal([]byte(entry), &list); err != nil || len(list) == 0 {
				return t.at("Entrypoint", "%s is no list of words", entry)
			}
		}
		t.flag("entrypoint", list[0])
		exec = append(list[1:], exec...)
	}
	extra, err := t.words("PodmanArgs")
	if err != nil {
		return err
	}
	t.flags = append(append(own, t.flags...), extra...)
	args := append(append([]string{"run"}, t.flags...), image)
	if err := t.start("ExecStart", append(args, exec...)); err != nil {
		return err
	}
	// What a kill of every process leaves; run --rm has removed it otherwise.
	t.service = append(t.service, "ExecStopPost=-"+t.command("rm", "-f", "-v", name))
	t.service = append(t.service, "Delegate=yes")
	return t.serviceType(map[string]string{"Type": "notify", "KillMode": "mixed"})
}

// serviceType sets what the container's service needs, where the file does not
// say it; other values than those would lose processes.
func (t *translation) serviceType(defaults map[string]string) error {
	allowed := map[string][]string{"Type": {"notify", "oneshot", "exec", "simple"}, "KillMode": {"mixed", "control-group"}}
	own := t.file.Section("Service")
	for _, key := range []string{"Type", "KillMode", "Restart"} {
		got := own.Last(key)
		if got == "" && defaults[key] == "" {
			continue
		} else if got == "" {
			t.service = append(t.service, key+"="+defaults[key])
		} else if allowed[key] != nil && !slices.Contains(allowed[key], got) {
			all := own.All(key)
			return &unit.Error{Position: all[len(all)-1].Position, Text: fmt.Sprintf("%s=%s is not supported in [Service]: it must be one of %s", key, got, strings.Join(allowed[key], ", "))}
		}
	}
	return nil
}

func (t *translation) notify() error {
	switch value := t.own.Last("Notify"); {
	case value == "healthy":
		t.flag("sdnotify", "healthy")
	default:
		yes, err := t.is("Notify")
		if err != nil {
			return err
		}
		if yes {
			t.flag("sdnotify", "container")
		} else {
			t.flag("sdnotify", "conmon")
		}
	}
	return nil
}

func (t *translation) user() error {
	user, group := t.own.Last("User"), t.own.Last("Group")
	switch {
	case user == "" && group != "":
		return t.at("Group", "Group= needs User=")
	case group != "":
		user += ":" + group
		fallthrough
	case user != "":
		t.flag("user", user)
	}
	// Deprecated ways to say UserNS=.
	switch remap := t.own.Last("RemapUsers"); remap {
	case "":
		for _, key := range []string{"RemapUid", "RemapGid", "RemapUidSize"} {
			if len(t.own.All(key)) > 0 {
				return t.at(key, "it needs RemapUsers=; say UserNS= instead")
			}
		}
	case "keep-id":
		uid, gid, mode := t.own.Last("RemapUid"), t.own.Last("RemapGid"), "keep-id"
		var options []string
		if uid != "" {
			options = append(options, "uid="+uid)
		}
		if gid != "" {
			options = append(options, "gid="+gid)
		}
		if len(options) > 0 {
			mode += ":" + strings.Join(options, ",")
		}
		t.flag("userns", mode)
	default:
		return t.at("RemapUsers", "RemapUsers=%s is not supported; say UserNS=, UIDMap= and GIDMap= instead", remap)
	}
	return nil
}

func (t *translation) security() error {
	none, err := t.is("NoNewPrivileges")
	if err != nil {
		return err
	}
	if none {
		t.flag("security-opt", "no-new-privileges")
	}
	if none, err = t.is("SecurityLabelDisable"); err != nil {
		return err
	} else if none {
		t.flag("security-opt", "label=disable")
	}
	if profile := t.own.Last("SeccompProfile"); profile == "unconfined" {
		t.flag("security-opt", "seccomp=unconfined")
	} else if profile != "" {
		t.flag("security-opt", "seccomp="+t.absolute(profile))
	}
	switch unmask := t.own.Last("Unmask"); unmask {
	case "":
	case "ALL":
		t.flag("security-opt", "systempaths=unconfined")
	default:
		return t.at("Unmask", "skiff unmasks all paths (ALL) or none")
	}
	return nil
}

// mounts are Volume=, Mount= and what is written in memory.
func (t *translation) mounts() error {
	taken := map[string]bool{}
	for _, e := range t.own.All("Volume") {
		if err := t.volumeOf(t.source, e, taken); err != nil {
			return err
		}
	}
	if p := t.byName[t.own.Last("Pod")]; p != nil {
		for _, e := range p.own.All("Volume") {
			if err := t.volumeOf(p, e, taken); err != nil {
				return err
			}
		}
	}
	for _, e := range t.own.All("Mount") {
		fields := strings.Split(e.Value, ",")
		for i, f := range fields {
			key, value, _ := strings.Cut(f, "=")
			if key != "source" && key != "src" {
				continue
			}
			switch filepath.Ext(value) {
			case ".volume", ".image", ".build":
				s, err := t.needs("Mount", value)
				if err != nil {
					return err
				}
				fields[i] = key + "=" + s.resource()
			default:
				if strings.HasPrefix(value, ".") {
					fields[i] = key + "=" + t.absolute(value)
				}
			}
		}
		t.flag("mount", strings.Join(fields, ","))
	}
	for _, e := range t.own.All("Tmpfs") {
		destination, _, _ := strings.Cut(e.Value, ":")
		taken[destination] = true
	}
	volatile, err := t.is("VolatileTmp")
	if err != nil {
		return err
	}
	readOnly, err := t.is("ReadOnly")
	if err != nil {
		return err
	}
	// As podman does it: what programs expect to write is memory.
	if all := t.own.All("ReadOnlyTmpfs"); len(all) > 0 {
		yes, err := truth(all[len(all)-1])
		if err != nil {
			return err
		}
		readOnly = readOnly && yes
	}
	for _, dir := range []string{"/run", "/tmp", "/var/tmp"} {
		if !taken[dir] && (readOnly || volatile && dir == "/tmp") {
			t.flag("tmpfs", dir)
		}
	}
	return nil
}

// volumeOf is a Volume= of the file from, which is this one or its pod's. What is
// mounted already stays.
func (t *translation) volumeOf(from *source, e unit.Entry, taken map[string]bool) error {
	source, rest, ok := strings.Cut(e.Value, ":")
	if !ok {
		t.flag("volume", e.Value)
		return nil
	}
	destination, _, _ := strings.Cut(rest, ":")
	if taken[destination] && from != t.source {
		return nil
	}
	taken[destination] = true
	switch {
	case filepath.Ext(source) == ".volume":
		s, err := t.needs("Volume", source)
		if err != nil {
			return err
		}
		source = s.resource()
	case source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../"):
		source = from.absolute(source)
	}
	if strings.HasPrefix(source, "/") {
		t.head = append(t.head, "RequiresMountsFor="+unit.Quote(source))
	}
	t.flag("volume", source+":"+rest)
	return nil
}

// networks translates podman's name:option=value,... to docker's.
func (t *translation) networks() error {
	for _, e := range t.own.All("Network") {
		name, options, has := strings.Cut(e.Value, ":")
		switch filepath.Ext(name) {
		case ".network":
			s, err := t.needs("Network", name)
			if err != nil {
				return err
			}
			name = s.resource()
		case ".container":
			s, err := t.needs("Network", name)
			if err != nil {
				return err
			}
			t.flag("network", "container:"+strings.ReplaceAll(s.resource(), "%N", s.service()))
			continue
		}
		switch {
		case !has:
			t.flag("network", name)
		case name == "container" || name == "ns":
			t.flag("network", e.Value)
		case name == "pasta" || name == "slirp4netns":
			t.warnings = append(t.warnings, &unit.Error{Position: e.Position, Text: "Network=" + name + ": its options have no effect: skiff chooses them"})
			t.flag("network", "default")
		default:
			t.flag("network", "name="+name+","+options)
		}
	}
	return nil
}

func (t *translation) environment() error {
	for _, e := range t.own.All("EnvironmentFile") {
		if strings.HasPrefix(e.Value, "-") {
			return &unit.Error{Position: e.Position, Text: "EnvironmentFile: a file that may be missing (-) is not supported here; put it into [Service] and name the variables with Environment="}
		}
		t.flag("env-file", t.absolute(e.Value))
	}
	return nil
}

func (t *translation) devices() error {
	list, err := t.words("AddDevice")
	for _, device := range list {
		if bare, optional := strings.CutPrefix(device, "-"); optional {
			path, _, _ := strings.Cut(bare, ":")
			if _, err := os.Stat(path); err != nil {
				continue
			}
			device = bare
		}
		t.flag("device", device)
	}
	return err
}

// life is about reloads and the time to stop.
func (t *translation) life() error {
	command, err := t.words("ReloadCmd")
	if err != nil {
		return err
	}
	signal := t.own.Last("ReloadSignal")
	switch {
	case len(command) > 0 && signal != "":
		return t.at("ReloadSignal", "ReloadCmd= and ReloadSignal= exclude each other")
	case len(command) > 0:
		t.service = append(t.service, "ExecReload="+t.command(append([]string{"exec", t.resource()}, command...)...))
	case signal != "":
		t.service = append(t.service, "ExecReload="+t.command("kill", "--signal="+signal, t.resource()))
	}
	// systemd must not lose its patience before the container's time is over.
	if seconds, err := strconv.Atoi(t.own.Last("StopTimeout")); err == nil && seconds > 60 && t.file.Section("Service").Last("TimeoutStopSec") == "" {
		t.service = append(t.service, "TimeoutStopSec="+strconv.Itoa(seconds+30))
	}
	return nil
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

func (t *translation) volume() error {
	var options []string
	for _, o := range []struct{ key, option string }{{"Type", "type"}, {"Device", "device"}} {
		if value := t.own.Last(o.key); value != "" {
			t.flag("opt", o.option+"="+value)
		}
	}
	if value := t.own.Last("Options"); value != "" {
		options = append(options, value)
	}
	for _, o := range []struct{ key, option string }{{"User", "uid"}, {"Group", "gid"}} {
		if value := t.own.Last(o.key); value != "" {
			options = append(options, o.option+"="+value)
		}
	}
	if len(options) > 0 {
		t.flag("opt", "o="+strings.Join(options, ","))
	}
	if driver := t.own.Last("Driver"); driver != "" {
		t.flag("driver", driver)
	}
	if all := t.own.All("Copy"); len(all) > 0 {
		yes, err := truth(all[len(all)-1])
		if err != nil {
			return err
		}
		if !yes {
			return t.at("Copy", "a volume takes the image's files at its first mount; mount it with the option nocopy instead")
		}
	}
	return t.make("volume", "create", t.resource())
}

func (t *translation) network() error {
	gone, err := t.is("NetworkDeleteOnStop")
	if err != nil {
		return err
	}
	name := t.resource()
	if gone {
		t.service = append(t.service, "ExecStopPost="+t.command("network", "rm", name))
	}
	// The network of an earlier boot stays as it is.
	t.flags = append(t.flags, "--ignore")
	return t.make("network", "create", name)
}

// platform is what OS=, Arch= and Variant= say together.
func (t *translation) platform() {
	system, arch, variant := t.own.Last("OS"), t.own.Last("Arch"), t.own.Last("Variant")
	if system+arch+variant == "" {
		return
	}
	if system == "" {
		system = "linux"
	}
	if variant != "" {
		arch += "/" + variant
	}
	t.flag("platform", strings.TrimSuffix(system+"/"+arch, "/"))
}

// registry is AuthFile= and TLSVerify=, which are files of the machine's here.
func (t *translation) registry() error {
	if file := t.own.Last("AuthFile"); file != "" {
		t.service = append(t.service, "Environment="+unit.Quote("REGISTRY_AUTH_FILE="+t.absolute(file)))
	}
	if t.isFalse(sections[t.kind], "TLSVerify") {
		return t.at("TLSVerify", "say it of the registry, in registries.conf: insecure = true")
	}
	return nil
}

func (t *translation) image() error {
	image := t.own.Last("Image")
	if image == "" {
		return &unit.Error{Position: t.own.Position, Text: "no Image= in the section [Image]"}
	}
	t.platform()
	if err := t.registry(); err != nil {
		return err
	}
	return t.make("pull", image)
}

func (t *translation) build() error {
	if t.own.Last("ImageTag") == "" {
		return &unit.Error{Position: t.own.Position, Text: "no ImageTag= in the section [Build]"}
	}
	t.platform()
	if err := t.registry(); err != nil {
		return err
	}
	for _, e := range t.own.All("Network") {
		name := e.Value
		if filepath.Ext(name) == ".network" {
			s, err := t.needs("Network", name)
			if err != nil {
				return err
			}
			name = s.resource()
		}
		t.flag("network", name)
	}
	switch pull := t.own.Last("Pull"); pull {
	case "", "missing":
	case "always", "newer", "true":
		t.flags = append(t.flags, "--pull")
	default:
		return t.at("Pull", "%q is neither always nor missing", pull)
	}
	context, file := "", t.own.Last("File")
	switch where := t.own.Last("SetWorkingDirectory"); where {
	case "":
	case "unit":
		context = filepath.Dir(t.path)
	case "file":
		if file == "" {
			return t.at("SetWorkingDirectory", "file needs File=")
		}
		context = filepath.Dir(t.absolute(file))
	default:
		context = where
		if !strings.Contains(where, "://") && !strings.HasPrefix(where, "github.com/") {
			context = t.absolute(where)
		}
	}
	if file != "" {
		if context == "" {
			context = filepath.Dir(t.absolute(file))
		}
		if strings.Contains(context, "://") {
			t.flag("file", file)
		} else {
			t.flag("file", t.absolute(file))
		}
	}
	if context == "" {
		return &unit.Error{Position: t.own.Position, Text: "neither File= nor SetWorkingDirectory= in the section [Build]"}
	}
	return t.make("build", context)
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
