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
	for _, step := range []func() error{t.joinPod, t.notify, t.user, t.security, t.mounts, t.networks, t.environment, t.devices, t.health, t.life} {
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
	case "auto":
		if len(t.own.All("RemapUid"))+len(t.own.All("RemapGid")) > 0 {
			return t.at("RemapUsers", "RemapUsers=auto with RemapUid= or RemapGid= is not supported; say UIDMap= and GIDMap= instead")
		}
		if size := t.own.Last("RemapUidSize"); size != "" {
			remap += ":size=" + size
		}
		t.flag("userns", remap)
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
	for _, key := range []string{"Mask", "Unmask"} {
		if paths := t.own.Last(key); paths != "" {
			t.flag("security-opt", strings.ToLower(key)+"="+paths)
		}
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

// health translates what podman has beside a shell's line: none, which takes the other
// options with it, and a list of words in JSON, CMD, CMD-SHELL or NONE in front.
func (t *translation) health() error {
	for _, check := range []struct{ key, flag string }{{"HealthCmd", "health"}, {"HealthStartupCmd", "health-startup"}} {
		value := t.own.Last(check.key)
		list := checkWords(value)
		switch {
		case len(list) == 0:
			continue
		case list[0] == "NONE":
			t.flags = slices.DeleteFunc(t.flags, func(f string) bool { return strings.HasPrefix(f, "--"+check.flag+"-") })
			if check.flag == "health" {
				t.flags = append(t.flags, "--no-healthcheck")
				return nil
			}
			continue
		case list[0] == "CMD-SHELL" && len(list) == 2:
			t.flag(check.flag+"-cmd", list[1])
			continue
		case list[0] == "CMD":
			list = list[1:]
		}
		if len(list) == 0 || list[0] == "" {
			return t.at(check.key, "%s names no command", value)
		}
		data, err := json.Marshal(list)
		if err != nil {
			return err
		}
		t.flag(check.flag+"-probe", string(data))
	}
	return nil
}

// checkWords are a health check's words as docker keeps them, with CMD, CMD-SHELL or NONE
// in front; none for an empty value.
func checkWords(value string) (list []string) {
	switch {
	case value == "":
		return nil
	case value == "none":
		return []string{"NONE"}
	case json.Unmarshal([]byte(value), &list) != nil || len(list) == 0: // also what test(1) is called
		return []string{"CMD-SHELL", value}
	}
	return list
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
