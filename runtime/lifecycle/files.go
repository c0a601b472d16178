package lifecycle

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strings"

	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
)

const hostsHead = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
fe00::	ip6-localnet
ff00::	ip6-mcastprefix
ff02::1	ip6-allnodes
ff02::2	ip6-allrouters
`

// writeFiles makes the files that a container finds in /etc and that are this
// start's own, and says where to bind them. One that exists is kept: the
// container may have written to it. They are bound, so that they are written in
// place.
func writeFiles(c *container.Container, n network, facts *spec.Facts) ([]message.File, error) {
	var files []message.File
	var other *container.Container // whose network it is
	for _, f := range []struct {
		path string
		make func() ([]byte, error)
	}{
		{"/etc/hostname", func() ([]byte, error) { return []byte(c.Config.Config.Hostname + "\n"), nil }},
		{"/etc/hosts", func() ([]byte, error) { return hosts(c, n) }},
		{"/etc/resolv.conf", func() ([]byte, error) { return resolvConf(&c.Config.Host, n) }},
	} {
		if overmounted(c.Config, f.path) {
			continue
		}
		source := filepath.Join(c.Dir(), path.Base(f.path))
		if shared, ok := strings.CutPrefix(c.Config.Host.NetworkMode, "container:"); ok {
			// The names of a shared network are shared too.
			if other == nil {
				found, err := container.Find(c.Store, shared)
				if err != nil {
					return nil, err
				}
				other = found
			}
			source = filepath.Join(other.Dir(), path.Base(f.path))
		} else if _, err := os.Lstat(source); errors.Is(err, os.ErrNotExist) {
			data, err := f.make()
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(source, data, 0o644); err != nil {
				return nil, fmt.Errorf("write %s: %w", f.path, err)
			}
			if unowned(facts) {
				if err := own(facts, source); err != nil {
					return nil, fmt.Errorf("write %s: %w", f.path, err)
				}
			}
		}
		files = append(files, message.File{Path: f.path, Source: source})
	}
	if zone := c.Config.Config.Timezone; zone != "" && !overmounted(c.Config, "/etc/localtime") {
		source, err := zoneFile(c, zone)
		if err != nil {
			return nil, err
		}
		files = append(files, message.File{Path: "/etc/localtime", Source: source})
	}
	return files, nil
}

// zoneInfo is where this machine keeps its time zones (tzfile(5)).
const zoneInfo = "/usr/share/zoneinfo"

// ReadZone returns the rules of a time zone of this machine: an area such as
// Europe/Madrid, or local.
func ReadZone(zone string) ([]byte, error) {
	from := "/etc/localtime"
	if zone != "local" {
		if !filepath.IsLocal(zone) {
			return nil, fmt.Errorf("time zone %q: not an area of %s", zone, zoneInfo)
		}
		from = filepath.Join(zoneInfo, zone)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: %w", zone, err)
	}
	return data, nil
}

// zoneFile copies the rules of a time zone, so that the container has a file of
// its own, which it may change.
func zoneFile(c *container.Container, zone string) (string, error) {
	source := filepath.Join(c.Dir(), "localtime")
	if _, err := os.Lstat(source); err == nil {
		return source, nil
	}
	data, err := ReadZone(zone)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(source, data, 0o644); err != nil {
		return "", fmt.Errorf("time zone %q: %w", zone, err)
	}
	return source, nil
}

func overmounted(cfg *container.Config, file string) bool {
	for _, m := range cfg.Mounts {
		if path.Clean(m.Destination) == file {
			return true
		}
	}
	return false
}

func hosts(c *container.Container, n network) ([]byte, error) {
	var b strings.Builder
	if c.Config.Host.NetworkMode == "host" {
		data, err := os.ReadFile("/etc/hosts")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("read hosts: %w", err)
		}
		b.Write(data)
	} else {
		b.WriteString(hostsHead)
		if name := c.Config.Config.Hostname; name != "" && c.Config.Host.NetworkMode != "none" {
			if d := c.Config.Config.Domainname; d != "" {
				name = name + "." + d + " " + name
			}
			// Its own addresses come with the networks that we give them; elsewhere
			// it shall find itself.
			if !n.addressed {
				fmt.Fprintf(&b, "127.0.1.1\t%s\n", name)
			}
		}
	}
	for _, extra := range c.Config.Host.ExtraHosts {
		name, addr, ok := strings.Cut(extra, ":")
		if addr == "host-gateway" {
			var err error
			if addr, err = hostAddress(); err != nil {
				return nil, err
			}
		}
		ip, err := netip.ParseAddr(strings.Trim(addr, "[]"))
		if !ok || err != nil {
			return nil, fmt.Errorf("invalid IP address in add-host: %q", addr)
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, name)
	}
	return []byte(b.String()), nil
}

// resolvConf is the host's, with what the user asked for in its place and
// servers that the container cannot reach left out.
func resolvConf(h *container.Host, n network) ([]byte, error) {
	data, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read resolv.conf: %w", err)
	}
	var b strings.Builder
	servers := h.DNS
	for _, line := range strings.Split(string(data), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			ip, err := netip.ParseAddr(f[1])
			if len(h.DNS) == 0 && err == nil && (n.hostNetwork || !ip.IsLoopback()) {
				servers = append(servers, f[1])
			}
		case "search", "domain":
			if len(h.DNSSearch) == 0 {
				fmt.Fprintln(&b, strings.Join(f, " "))
			}
		case "options":
			if len(h.DNSOptions) == 0 {
				fmt.Fprintln(&b, strings.Join(f, " "))
			}
		}
	}
	if n.resolver != "" && (len(h.DNS) == 0 || n.asksFor) {
		servers = []string{n.resolver}
	}
	if len(h.DNSSearch) > 0 && h.DNSSearch[0] != "." {
		fmt.Fprintln(&b, "search", strings.Join(h.DNSSearch, " "))
	}
	for _, s := range servers {
		fmt.Fprintln(&b, "nameserver", s)
	}
	if len(h.DNSOptions) > 0 {
		fmt.Fprintln(&b, "options", strings.Join(h.DNSOptions, " "))
	}
	return []byte(b.String()), nil
}
