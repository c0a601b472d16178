package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"skiff/storage/container/hook"
)

// itself is how the container is called when no host is named.
const itself = "localhost"

// mostNames bounds what is read of a file that the container may write to, in bytes.
const mostNames = 64 << 10

// loopback are the addresses of localhost: a server may have only one of them.
var loopback = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// dialer connects as a process of the container would: by the names that stand in the
// container's own files.
type dialer struct{ names string }

// dial is as http.Transport wants it.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	list, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var first error
	for _, ip := range list {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if host == itself {
		return loopback, nil
	}
	if list := known(d.read("hosts"), host); len(list) > 0 {
		return list, nil
	}
	servers := servers(d.read("resolv.conf"))
	if len(servers) == 0 {
		return nil, fmt.Errorf("lookup %s: the container has no name server", host)
	}
	// This machine's own resolv.conf says only how to ask, not whom.
	var asked atomic.Uint32 // for both families of addresses at once
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		server := servers[int(asked.Add(1)-1)%len(servers)]
		return (&net.Dialer{}).DialContext(ctx, network, server)
	}}
	return r.LookupNetIP(ctx, "ip", host)
}

// read returns the beginning of one of the container's files, nothing of what is none.
func (d *dialer) read(name string) []byte {
	if d.names == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(d.names, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, mostNames))
	return data
}

// known are a name's addresses in hosts(5).
func known(hosts []byte, name string) (list []netip.Addr) {
	for words := range lines(hosts) {
		ip, err := netip.ParseAddr(words[0])
		if err == nil && slices.ContainsFunc(words[1:], func(w string) bool { return strings.EqualFold(w, name) }) {
			list = append(list, ip)
		}
	}
	return list
}

// servers are the name servers of resolv.conf(5).
func servers(conf []byte) (list []string) {
	for words := range lines(conf) {
		if len(words) > 1 && words[0] == "nameserver" {
			if ip, err := netip.ParseAddr(words[1]); err == nil {
				list = append(list, netip.AddrPortFrom(ip, 53).String())
			}
		}
	}
	return list
}

// lines are the words of each line that has some, without comments.
func lines(data []byte) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			text, _, _ := strings.Cut(s.Text(), "#")
			if words := strings.Fields(text); len(words) > 0 && !yield(words) {
				return
			}
		}
	}
}

// connect succeeds when somebody listens.
func connect(ctx context.Context, d *dialer, s *hook.TCPSocket) error {
	conn, err := d.dial(ctx, "tcp", place(s.Host, s.Port))
	if err != nil {
		return plain(err)
	}
	return conn.Close()
}

// place is host and port, the container itself without a host.
func place(host string, port int) string {
	if host == "" {
		host = itself
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// plain words an error of the network without Go's names for what it did.
func plain(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" && op.Addr != nil {
		cause := op.Err
		if sys := (*os.SyscallError)(nil); errors.As(cause, &sys) {
			cause = sys.Err
		}
		return fmt.Errorf("connect to %s: %w", op.Addr, cause)
	}
	return err
}
