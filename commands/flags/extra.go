package flags

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// ExtraFlags are those that podman has and docker has not.
func ExtraFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "gidmap", Usage: "Map of group ids (inside:outside:count, outside being of the user's own ids: 0 the user, 1 the first subordinate)"},
		&cli.StringSliceFlag{Name: "requires", Usage: "Containers to start before this one"},
		&cli.StringSliceFlag{Name: "secret", Usage: "Secret to give to the container (name[,type=mount|env][,target=][,uid=][,gid=][,mode=])"},
		&cli.StringFlag{Name: "sdnotify", Value: "conmon", Usage: "When to tell the service manager at NOTIFY_SOCKET that the container is ready (conmon: once it has started; container: when it says so itself; healthy; ignore)"},
		&cli.StringFlag{Name: "systemd", Value: "false", Usage: "Prepare the container for systemd as its init (true, where the command is one; false; always)"},
		&cli.StringFlag{Name: "tz", Usage: "Time zone of the container (an area such as Europe/Madrid, or local)"},
		&cli.StringSliceFlag{Name: "uidmap", Usage: "Map of user ids (inside:outside:count, outside being of the user's own ids: 0 the user, 1 the first subordinate)"},
		&cli.StringFlag{Name: "umask", Usage: "Umask of the process, in octal (default 0022)"},
	}
}

// Extra fills what p and h say about podman's additions.
func Extra(c *cli.Context, p *container.Process, h *container.Host) error {
	if p.Umask = c.String("umask"); p.Umask != "" {
		if n, err := strconv.ParseUint(p.Umask, 8, 32); err != nil || n > 0o777 {
			return &failure.Value{Flag: "umask", Value: p.Umask, Err: errors.New("must be an octal number up to 0777")}
		}
	}
	if p.Timezone = c.String("tz"); p.Timezone != "" {
		if _, err := lifecycle.ReadZone(p.Timezone); err != nil {
			return &failure.Value{Flag: "tz", Value: p.Timezone, Err: err}
		}
	}
	for _, s := range c.StringSlice("secret") {
		use, err := ParseSecret(s)
		if err != nil {
			return &failure.Value{Flag: "secret", Value: s, Err: err}
		}
		h.Secrets = append(h.Secrets, use)
	}
	h.Requires = slices.Clone(c.StringSlice("requires"))
	switch h.SdNotify = c.String("sdnotify"); h.SdNotify {
	case "container", "healthy", "ignore":
	case "conmon":
		h.SdNotify = ""
	default:
		return &failure.Value{Flag: "sdnotify", Value: h.SdNotify, Err: errors.New("must be one of conmon, container, healthy and ignore")}
	}
	if h.SdNotify == "healthy" && p.ReadyCheck == nil && (p.Healthcheck != nil && slices.Equal(p.Healthcheck.Test, []string{"NONE"})) {
		return errors.New("conflicting options: --sdnotify=healthy and --no-healthcheck")
	}
	switch h.Systemd = c.String("systemd"); h.Systemd {
	case "true", "always":
	case "false":
		h.Systemd = ""
	default:
		return &failure.Value{Flag: "systemd", Value: h.Systemd, Err: errors.New("must be one of true, false and always")}
	}
	uids, gids := c.StringSlice("uidmap"), c.StringSlice("gidmap")
	if len(uids)+len(gids) == 0 {
		return nil
	}
	if h.UsernsMode != "" {
		return errors.New("conflicting options: --userns and --uidmap or --gidmap")
	}
	// One of them alone stands for both.
	if len(uids) == 0 {
		uids = gids
	}
	if len(gids) == 0 {
		gids = uids
	}
	m := &container.IDMappings{}
	for _, list := range []struct {
		flag string
		from []string
		to   *[]container.IDMapping
	}{{"uidmap", uids, &m.UIDs}, {"gidmap", gids, &m.GIDs}} {
		for _, s := range list.from {
			one, err := ParseIDMapping(s)
			if err != nil {
				return &failure.Value{Flag: list.flag, Value: s, Err: err}
			}
			*list.to = append(*list.to, one)
		}
		if err := checkIDMappings(*list.to); err != nil {
			return fmt.Errorf("--%s: %w", list.flag, err)
		}
	}
	h.IDMappings, h.UsernsMode = m, "private"
	return nil
}

// ParseSecret reads the value of --secret.
func ParseSecret(s string) (use container.SecretUse, err error) {
	parts := strings.Split(s, ",")
	use = container.SecretUse{Mode: 0o444}
	env := false
	for i, part := range parts {
		key, value, ok := strings.Cut(part, "=")
		if !ok && i == 0 {
			key, value = "source", part
		}
		switch key {
		case "source":
			use.Name = value
		case "type":
			if env = value == "env"; !env && value != "mount" {
				return use, fmt.Errorf("type %q is neither mount nor env", value)
			}
		case "target":
			use.Target = value
		case "uid", "gid":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return use, fmt.Errorf("%s %q is not a number of an id", key, value)
			}
			if key == "uid" {
				use.UID = int(n)
			} else {
				use.GID = int(n)
			}
		case "mode":
			n, err := strconv.ParseUint(value, 8, 32)
			if err != nil || n > 0o777 {
				return use, fmt.Errorf("mode %q is not an octal number up to 0777", value)
			}
			use.Mode = uint32(n)
		default:
			return use, fmt.Errorf("unknown option %q", key)
		}
	}
	if use.Name == "" {
		return use, errors.New("no secret is named")
	}
	if env {
		use.Variable, use.Target, use.Mode = cmp.Or(use.Target, use.Name), "", 0
		return use, nil
	}
	use.Target = cmp.Or(use.Target, use.Name)
	if !path.IsAbs(use.Target) {
		use.Target = "/run/secrets/" + use.Target
	}
	use.Target = path.Clean(use.Target)
	return use, nil
}

// ParseIDMapping reads inside:outside[:count].
func ParseIDMapping(s string) (m container.IDMapping, err error) {
	parts := strings.Split(s, ":")
	if len(parts) == 2 {
		parts = append(parts, "1")
	}
	if len(parts) != 3 {
		return m, errors.New("must be inside:outside:count")
	}
	for i, to := range []*uint32{&m.Container, &m.Host, &m.Size} {
		n, err := strconv.ParseUint(parts[i], 10, 32)
		if err != nil {
			return m, fmt.Errorf("%q is not a number of an id", parts[i])
		}
		*to = uint32(n)
	}
	if m.Size == 0 || uint64(m.Container)+uint64(m.Size) > 1<<32-1 || uint64(m.Host)+uint64(m.Size) > 1<<32-1 {
		return m, errors.New("the range is empty or exceeds 32 bits")
	}
	return m, nil
}

// checkIDMappings refuses what the kernel would refuse without a word, and a map
// without the root that sets up the container.
func checkIDMappings(list []container.IDMapping) error {
	root := false
	for i, a := range list {
		root = root || a.Container == 0
		for _, b := range list[:i] {
			if overlap(a.Container, b.Container, a.Size, b.Size) || overlap(a.Host, b.Host, a.Size, b.Size) {
				return fmt.Errorf("%d:%d:%d and %d:%d:%d overlap", b.Container, b.Host, b.Size, a.Container, a.Host, a.Size)
			}
		}
	}
	if !root {
		return errors.New("id 0 of the container must be mapped: it sets the container up")
	}
	return nil
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}
