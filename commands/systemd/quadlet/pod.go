package quadlet

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/commands/systemd/unit"
)

// joinPod is Pod=: the container joins the pod that another file makes.
func (t *translation) joinPod() error {
	name := t.own.Last("Pod")
	if name == "" {
		if len(t.own.All("StartWithPod")) > 0 {
			return t.at("StartWithPod", "there is no Pod= to start with")
		}
		return nil
	}
	if !strings.HasSuffix(name, ".pod") {
		return t.at("Pod", "%q is no .pod file", name)
	}
	if _, err := t.startsWithPod(); err != nil {
		return err
	}
	pod, err := t.needs("Pod", name)
	if err != nil {
		return err
	}
	t.flag("pod", pod.resource())
	return nil
}

// startsWithPod reports whether the container is started with its pod.
func (s *source) startsWithPod() (bool, error) {
	all := s.own.All("StartWithPod")
	if len(all) == 0 {
		return true, nil
	}
	return truth(all[len(all)-1])
}

// pod is a service whose main process is attached to the pod's infra container.
// Each member has a service of its own, which ends with this one.
func (t *translation) pod() error {
	if strings.Contains(t.stem(), "@") {
		return &unit.Error{Position: t.own.Position, Text: "a .pod file cannot be a template: its containers could not name it"}
	}
	needed, err := t.wantMembers()
	if err != nil {
		return err
	}
	switch policy := t.own.Last("ExitPolicy"); policy {
	case "", "stop":
		if needed {
			// The last member's service ends, and with it what it needed.
			t.head = append(t.head, "StopWhenUnneeded=yes")
		}
	case "continue":
	default:
		return t.at("ExitPolicy", "%q is neither stop nor continue", policy)
	}
	if err := t.networks(); err != nil {
		return err
	}
	name := t.resource()
	if text := t.own.Last("StopTimeout"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 {
			return t.at("StopTimeout", "%q is no number of seconds", text)
		}
		t.service = append(t.service, "ExecStop=-"+t.command("pod", "stop", "--ignore", "--time="+text, name))
	}
	extra, err := t.words("PodmanArgs")
	if err != nil {
		return err
	}
	create := append([]string{"pod", "create", "--name=" + name, "--replace"}, t.flags...)
	if err := t.start("ExecStartPre", append(create, extra...)); err != nil {
		return err
	}
	if err := t.start("ExecStart", []string{"start", "--attach", name + "-infra"}); err != nil {
		return err
	}
	t.service = append(t.service, "ExecStopPost=-"+t.command("pod", "rm", "--force", "--ignore", name), "Delegate=yes")
	return t.serviceType(map[string]string{"Type": "notify", "KillMode": "mixed", "Restart": "on-failure"})
}

// wantMembers has the members' services started with the pod's, and after it,
// and reports whether there are any.
func (t *translation) wantMembers() (any bool, err error) {
	for _, m := range t.members {
		starts, err := m.startsWithPod()
		if err != nil {
			continue // that file's own mistake
		}
		service := m.service() + ".service"
		if strings.Contains(service, "@.") {
			continue // a template: its instances are started by who knows them
		}
		t.head = append(t.head, "Before="+service)
		if starts {
			any = true
			t.head = append(t.head, "Wants="+service)
		}
	}
	return any, nil
}

// kube is a service whose main process plays a manifest and waits for its pods.
func (t *translation) kube() error {
	var files []string
	for _, e := range t.own.All("Yaml") {
		files = append(files, t.absolute(e.Value))
	}
	switch len(files) {
	case 0:
		return &unit.Error{Position: t.own.Position, Text: "no Yaml= in the section [Kube]"}
	case 1:
	default:
		return t.at("Yaml", "skiff plays one file; put the documents into it, with --- between them")
	}
	for _, e := range t.own.All("ConfigMap") {
		t.flag("configmap", t.absolute(e.Value))
	}
	for _, e := range t.own.All("AutoUpdate") {
		container, policy, named := strings.Cut(e.Value, "/")
		key := "io.containers.autoupdate"
		if named {
			key += "/" + container
		} else {
			policy = e.Value
		}
		if policy != "registry" && policy != "local" {
			return &unit.Error{Position: e.Position, Text: fmt.Sprintf("AutoUpdate: %q is neither registry nor local", policy)}
		}
		t.flag("annotation", key+"="+policy)
	}
	switch how := t.own.Last("ExitCodePropagation"); how {
	case "":
	case "all", "any", "none":
		t.flag("service-exit-code-propagation", how)
	default:
		return t.at("ExitCodePropagation", "%q is none of all, any and none", how)
	}
	switch where := t.own.Last("SetWorkingDirectory"); where {
	case "":
	case "unit":
		t.service = append(t.service, "WorkingDirectory="+unit.Directory(filepath.Dir(t.path)))
	case "yaml":
		t.service = append(t.service, "WorkingDirectory="+unit.Directory(filepath.Dir(files[0])))
	default:
		return t.at("SetWorkingDirectory", "%q is neither unit nor yaml", where)
	}
	if err := t.networks(); err != nil {
		return err
	}
	force, err := t.is("KubeDownForce")
	if err != nil {
		return err
	}
	down := []string{"kube", "down"}
	if force {
		down = append(down, "--force")
	}
	extra, err := t.words("PodmanArgs")
	if err != nil {
		return err
	}
	play := append(append([]string{"kube", "play", "--replace", "--wait"}, t.flags...), extra...)
	if err := t.start("ExecStart", append(play, files[0])); err != nil {
		return err
	}
	// What a kill of every process leaves.
	t.service = append(t.service, "ExecStopPost=-"+t.command(append(down, files[0])...), "Delegate=yes")
	return t.serviceType(map[string]string{"Type": "notify", "KillMode": "mixed"})
}
