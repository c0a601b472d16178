package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"skiff/storage"
	"skiff/storage/lock"
	"skiff/storage/network"
)

// findRuins looks for what a killed program left: containers that run and were
// connected, and a descriptor of the namespace with their bridges, -1 without.
// Their monitors hold that open.
func findRuins(st *storage.Store) (int, map[string]network.Attachment) {
	ruins := map[string]network.Attachment{}
	fd := -1
	entries, err := os.ReadDir(st.Running())
	if err != nil {
		return fd, ruins
	}
	for _, e := range entries {
		dir := filepath.Join(st.Containers(), e.Name())
		pid, err := lock.RunHolder(filepath.Join(dir, "lock"))
		if err != nil || pid <= 0 {
			continue
		}
		a, err := network.ReadAttachment(dir)
		if err != nil || a.Hub == 0 {
			continue
		}
		if fd < 0 {
			fd = openNamespace(pid, a.Hub)
		}
		if fd >= 0 && inode(fd) == a.Hub {
			ruins[e.Name()] = a
		}
	}
	return fd, ruins
}

// openNamespace opens the namespace with this inode that a process holds open.
func openNamespace(pid int, ino uint64) int {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return -1
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if target, err := os.Readlink(path); err != nil || !strings.HasPrefix(target, "net:[") {
			continue
		}
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if inode(fd) == ino {
			return fd
		}
		unix.Close(fd)
	}
	return -1
}

// restore puts back what rules and bridges the ruins need, until their monitors
// connect anew.
func (h *Hub) restore() error {
	for id := range h.ruins {
		r := h.ruins[id]
		for i := range r.Endpoints {
			e := &r.Endpoints[i]
			n, err := network.Find(h.store, e.NetworkID)
			if err != nil {
				continue // removed by hand; the bridge stays as it is
			}
			b, err := h.useBridge(n)
			if err == nil {
				err = h.firewall.addOwner(e)
			}
			if err != nil {
				return err
			}
			b.used++
		}
	}
	return nil
}
