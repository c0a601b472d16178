package container

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
)

var filterKeys = []string{
	"id", "name", "label", "exited", "status", "ancestor", "before", "since", "volume",
	"network", "publish", "expose", "health", "is-task", "isolation", "pod",
}

// matcher decides which containers a list shows.
type matcher struct {
	st        *storage.Store
	filters   flags.Filters
	names     []*regexp.Regexp
	before    time.Time // zero: no limit
	since     time.Time
	ancestors []*image.Image
}

func newMatcher(st *storage.Store, f flags.Filters) (*matcher, error) {
	m := &matcher{st: st, filters: f}
	for _, name := range f["name"] {
		re, err := regexp.Compile(name)
		if err != nil {
			return nil, failure.Engine(err, "invalid filter 'name=%s': %v", name, err)
		}
		m.names = append(m.names, re)
	}
	for _, s := range f["status"] {
		switch s {
		case "created", "restarting", "running", "removing", "paused", "exited", "dead":
		default:
			return nil, failure.Engine(nil, "invalid filter 'status=%s'", s)
		}
	}
	for _, code := range f["exited"] {
		if _, err := strconv.Atoi(code); err != nil {
			return nil, failure.Engine(err, "invalid filter 'exited=%s'", code)
		}
	}
	for _, v := range f["health"] {
		switch v {
		case "none", "starting", "healthy", "unhealthy":
		default:
			return nil, failure.Engine(nil, "Unrecognised filter value for health: %s", v)
		}
	}
	for _, v := range f["is-task"] {
		if _, err := strconv.ParseBool(v); err != nil {
			return nil, failure.Engine(err, "invalid filter 'is-task=%s'", v)
		}
	}
	for _, limit := range []struct {
		key string
		to  *time.Time
	}{{"before", &m.before}, {"since", &m.since}} {
		for _, ref := range f[limit.key] {
			c, err := find(st, ref)
			if err != nil {
				return nil, err
			}
			*limit.to = c.Config.Created
		}
	}
	for _, ref := range f["ancestor"] {
		img, err := image.Find(st, ref)
		if err != nil && !errors.Is(err, image.ErrNotFound) {
			return nil, err
		}
		if img != nil {
			m.ancestors = append(m.ancestors, img)
		}
	}
	return m, nil
}

// shows reports whether the container passes every filter.
func (m *matcher) shows(c *container.Container, s container.Status) bool {
	cfg, f := c.Config, m.filters
	created := cfg.Created
	return f.Any("id", func(id string) bool { return strings.HasPrefix(cfg.ID, id) }) &&
		(len(m.names) == 0 || slices.ContainsFunc(m.names, func(re *regexp.Regexp) bool {
			return re.MatchString(cfg.Name) || re.MatchString("/"+cfg.Name)
		})) &&
		f.Labels(cfg.Config.Labels) &&
		f.Any("status", func(want string) bool { return want == s.State }) &&
		f.Any("exited", func(code string) bool {
			return s.State == "exited" && code == strconv.Itoa(s.Recorded.ExitCode)
		}) &&
		(m.before.IsZero() || created.Before(m.before)) && (m.since.IsZero() || created.After(m.since)) &&
		f.Any("ancestor", func(string) bool { return m.descends(cfg) }) &&
		f.Any("volume", func(v string) bool {
			return slices.ContainsFunc(cfg.Mounts, func(mt container.Mount) bool {
				return mt.Name == v || mt.Destination == v || mt.Source == v
			})
		}) &&
		f.Any("network", func(n string) bool { return n == cfg.Host.NetworkMode || slices.Contains(networkNames(cfg), n) }) &&
		f.Any("publish", func(p string) bool { _, ok := cfg.Host.PortBindings[withProto(p)]; return ok }) &&
		f.Any("expose", func(p string) bool { _, ok := cfg.Config.ExposedPorts[withProto(p)]; return ok && hasPorts(cfg) }) &&
		f.Any("health", func(h string) bool { return h == healthText(s) }) &&
		f.Any("is-task", func(v string) bool { return v == "false" || v == "0" }) &&
		f.Any("pod", func(ref string) bool { return inPod(m.st, cfg, ref) }) &&
		f.Any("isolation", func(v string) bool { return v == "default" || v == "" })
}

// descends reports whether the container's image is one of the ancestors or was
// built on one: its layers end with theirs.
func (m *matcher) descends(cfg *container.Config) bool {
	for _, img := range m.ancestors {
		n := len(cfg.Layers) - len(img.Layers)
		if cfg.ImageID == "sha256:"+img.ID || n >= 0 && len(img.Layers) > 0 && slices.Equal(cfg.Layers[n:], img.Layers) {
			return true
		}
	}
	return false
}

func withProto(port string) string {
	if strings.Contains(port, "/") {
		return port
	}
	return fmt.Sprintf("%s/tcp", port)
}
