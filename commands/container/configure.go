package container

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"skiff/storage/container"
	"skiff/storage/image"
)

const (
	defaultShmSize = 64 << 20
)

// errNoCommand is docker's.
var errNoCommand = errors.New("no command specified")

// configure merges what the user asked for with what the image says, by docker's
// rules, into the configuration of a container without mounts. hostname is this
// machine's.
func configure(o createOptions, img *image.Image, hostname string) (*container.Config, error) {
	cfg := &container.Config{
		ID: container.NewID(), Name: o.Name, Created: o.Created,
		ImageID: imageID(img), ImagePlatform: img.Platform(), Layers: img.Layers,
		Config: o.Process, Host: o.Host, Networks: o.Networks,
		Pod: o.Pod, Infra: o.Infra,
	}
	if o.Infra != nil {
		cfg.Pod = cfg.ID
	}
	p, from := &cfg.Config, img.Config.Config
	mergeCommand(p, from, o)
	if len(p.Entrypoint)+len(p.Cmd) == 0 {
		return nil, errNoCommand
	}
	command := append(append([]string{}, p.Entrypoint...), p.Cmd...)
	cfg.Path, cfg.Args = command[0], command[1:]

	p.Env = mergeEnv(from.Env, p.Env)
	if p.User == "" {
		p.User = from.User
	}
	if p.WorkingDir == "" {
		p.WorkingDir = from.WorkingDir
	}
	if p.WorkingDir != "" && !path.IsAbs(p.WorkingDir) {
		return nil, fmt.Errorf("the working directory '%s' is invalid, it needs to be an absolute path", p.WorkingDir)
	}
	if p.WorkingDir != "" {
		p.WorkingDir = path.Clean(p.WorkingDir)
	}
	if p.StopSignal == "" {
		p.StopSignal = from.StopSignal
	}
	if p.StopSignal == "" && cfg.ForSystemd() {
		p.StopSignal = "SIGRTMIN+3" // halts it; SIGTERM would make it read its units again
	}
	if p.StopTimeout == nil {
		p.StopTimeout = from.StopTimeout
	}
	labels := map[string]string{}
	maps.Copy(labels, from.Labels)
	maps.Copy(labels, p.Labels)
	p.Labels = labels
	if len(from.ExposedPorts) > 0 && p.ExposedPorts == nil {
		p.ExposedPorts = map[string]struct{}{}
	}
	maps.Copy(p.ExposedPorts, from.ExposedPorts)
	p.Healthcheck = mergeHealth(p.Healthcheck, from.Healthcheck)

	if p.Hostname == "" && !strings.HasPrefix(cfg.Host.NetworkMode, "container:") {
		p.Hostname = cfg.ID[:12]
		if cfg.Host.NetworkMode == "host" || cfg.Host.UTSMode == "host" {
			p.Hostname = hostname
		}
	}
	if cfg.Host.ShmSize == 0 {
		cfg.Host.ShmSize = defaultShmSize
	}
	if cfg.Host.IpcMode == "" {
		cfg.Host.IpcMode = "private"
	}
	if cfg.Host.CgroupnsMode == "" {
		cfg.Host.CgroupnsMode = "private"
	}
	cfg.Host.ContainerIDFile = o.CIDFile
	return cfg, nil
}

// imageID is the digest of the image's config, empty where there is no image.
func imageID(img *image.Image) string {
	if img.ID == "" {
		return ""
	}
	return "sha256:" + img.ID
}

// mergeCommand: an entrypoint of the user's own takes the image's command away
// with its entrypoint; an empty one takes both and puts nothing in their place.
func mergeCommand(p *container.Process, from container.Process, o createOptions) {
	if len(o.Args) > 0 {
		p.Cmd = o.Args
	}
	if o.Entrypoint != nil {
		if o.Entrypoint[0] != "" {
			p.Entrypoint = o.Entrypoint
		}
		return
	}
	p.Entrypoint = from.Entrypoint
	if len(p.Cmd) == 0 {
		p.Cmd = from.Cmd
	}
}

// mergeEnv puts the user's variables over the image's. An entry of the image
// without "=" is dropped: it must never be taken for a wish to copy the
// caller's variable (CVE-2026-57231).
func mergeEnv(from, own []string) []string {
	var base []string
	for _, e := range from {
		name, _, ok := strings.Cut(e, "=")
		if !ok || name == "" || strings.ContainsRune(e, 0) {
			continue
		}
		base = append(base, e)
	}
	// As docker: the user's first, then what the image has beside them.
	merged := slices.Clone(own)
	for _, e := range base {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			merged = append(merged, e)
		}
	}
	return merged
}

func mergeHealth(own, from *container.Healthcheck) *container.Healthcheck {
	if own == nil || from == nil {
		if own == nil {
			return from
		}
		return own
	}
	merged := *own
	if len(merged.Test) == 0 {
		merged.Test = from.Test
	}
	if merged.Interval == 0 {
		merged.Interval = from.Interval
	}
	if merged.Timeout == 0 {
		merged.Timeout = from.Timeout
	}
	if merged.StartPeriod == 0 {
		merged.StartPeriod = from.StartPeriod
	}
	if merged.StartInterval == 0 {
		merged.StartInterval = from.StartInterval
	}
	if merged.Retries == 0 {
		merged.Retries = from.Retries
	}
	return &merged
}
