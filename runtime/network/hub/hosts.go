package hub

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage/network"
)

// writeHosts puts the container's own addresses into its /etc/hosts, in place:
// the file is bind-mounted. Lines that it had with addresses of its last start
// go; all others are the container's.
func (m *member) writeHosts() error {
	// The container may have put a link there, were it able to write its
	// directory; it is not, and we do not follow one.
	f, err := os.OpenFile(filepath.Join(m.wish.Dir, "hosts"), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the container has a file of its own there
	}
	if err != nil {
		return fmt.Errorf("write hosts: %w", err)
	}
	defer f.Close()
	old, err := os.ReadFile(f.Name())
	if err != nil {
		return fmt.Errorf("write hosts: %w", err)
	}
	last, err := network.ReadAttachment(m.wish.Dir)
	if err != nil {
		last = network.Attachment{}
	}
	text := hostsText(string(old), last.Endpoints, m.attachment.Endpoints, m.names())
	if text == string(old) {
		return nil
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("write hosts: %w", err)
	}
	return f.Truncate(int64(len(text)))
}

// names are what the container calls itself.
func (m *member) names() string {
	name := m.wish.Hostname
	if d := m.wish.Domainname; d != "" {
		name = name + "." + d + " " + name
	}
	return name
}

func hostsText(old string, last, now []network.Endpoint, names string) string {
	var gone []string
	for _, e := range last {
		for _, p := range []netip.Prefix{e.Address, e.Address6} {
			if p.IsValid() {
				gone = append(gone, p.Addr().String()+"\t"+names)
			}
		}
	}
	var b strings.Builder
	for line := range strings.Lines(old) {
		if !slices.Contains(gone, strings.TrimSuffix(line, "\n")) {
			b.WriteString(line)
		}
	}
	if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
	if names == "" {
		return b.String()
	}
	for _, e := range now {
		for _, p := range []netip.Prefix{e.Address, e.Address6} {
			if p.IsValid() {
				fmt.Fprintf(&b, "%s\t%s\n", p.Addr(), names)
			}
		}
	}
	return b.String()
}
