package quadlet

import (
	"path/filepath"
	"strings"

	"skiff/commands/systemd/unit"
)

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
