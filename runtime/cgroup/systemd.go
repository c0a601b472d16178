package cgroup

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"skiff/rootless"
)

// socket is where the user's systemd answers calls without a bus between, "" when
// there is none.
func socket() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(rootless.UID())
	}
	path := filepath.Join(dir, "systemd/private")
	if info, err := os.Stat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return ""
	}
	return path
}

// UserSystemd reports whether a systemd of this user runs.
func UserSystemd() bool { return socket() != "" }

// startTransient has the user's systemd make a scope with a process in it, whose
// subtree is ours. One call of D-Bus, spoken here: a library for it costs every
// start of ours, and this one call is all that there is.
// https://dbus.freedesktop.org/doc/dbus-specification.html, org.freedesktop.systemd1(5)
func startTransient(name, slice string, pid int) error {
	_, err := call(transientCall(name, slice, pid))
	return err
}

// call sends one message to the user's systemd and returns the body of the
// answer.
func call(message []byte) ([]byte, error) {
	path := socket()
	if path == "" {
		return nil, errors.New("the user's systemd does not run")
	}
	conn, err := net.DialTimeout("unix", path, scopeWait)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(scopeWait)); err != nil {
		return nil, err
	}
	// The other side knows who we are from the socket; it wants to hear the same.
	uid := hex.EncodeToString([]byte(strconv.Itoa(rootless.UID())))
	if _, err := conn.Write([]byte("\x00AUTH EXTERNAL " + uid + "\r\n")); err != nil {
		return nil, err
	}
	line := make([]byte, 0, 64)
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")) && len(line) < 512; line = append(line, one[0]) {
		if _, err := io.ReadFull(conn, one); err != nil {
			return nil, err
		}
	}
	if !bytes.HasPrefix(line, []byte("OK ")) {
		return nil, fmt.Errorf("it refuses us: %s", bytes.TrimSpace(line))
	}
	if _, err := conn.Write(append([]byte("BEGIN\r\n"), message...)); err != nil {
		return nil, err
	}
	return awaitReply(conn)
}

// The types of messages.
const (
	methodCall   = 1
	methodReturn = 2
	methodError  = 3
)

// transientCall is the message that calls StartTransientUnit.
func transientCall(name, slice string, pid int) []byte {
	var body wire
	body.string(name)
	body.string("fail") // what to do when there is such a unit
	body.array(8, func() {
		body.property("Description", "s", func() { body.string("skiff container") })
		body.property("PIDs", "au", func() { body.array(4, func() { body.uint32(uint32(pid)) }) })
		body.property("Delegate", "b", func() { body.uint32(1) })
		// Nothing of it shall stay when it ends.
		body.property("CollectMode", "s", func() { body.string("inactive-or-failed") })
		if slice != "" {
			body.property("Slice", "s", func() { body.string(slice) })
		}
	})
	body.array(8, func() {}) // auxiliary units
	return methodMessage(&body, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))")
}

// askDelegated asks the user's systemd whether a unit's subtree is delegated. No
// answer is a no.
func askDelegated(unit string) bool {
	kind := "Service"
	if strings.HasSuffix(unit, ".scope") {
		kind = "Scope"
	}
	var body wire
	body.string("org.freedesktop.systemd1." + kind)
	body.string("Delegate")
	answer, err := call(methodMessage(&body, "/org/freedesktop/systemd1/unit/"+busName(unit), "org.freedesktop.DBus.Properties", "Get", "ss"))
	// A variant: the signature, padding, the value.
	return err == nil && len(answer) >= 8 && answer[0] == 1 && answer[1] == 'b' && answer[4] == 1
}

// busName escapes a unit's name as in its object's path: all but letters and
// digits as _xx (sd_bus_path_encode(3)).
func busName(unit string) string {
	var b strings.Builder
	for i := range len(unit) {
		c := unit[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// methodMessage is the message that calls a method of systemd's, with arguments
// of a signature.
func methodMessage(body *wire, object, iface, method, signature string) []byte {
	var m wire
	m.Write([]byte{'l', methodCall, 0, 1})
	m.uint32(uint32(body.Len()))
	m.uint32(1) // serial
	m.array(8, func() {
		for _, field := range []struct {
			code      byte
			signature string
			value     string
		}{
			{1, "o", object},
			{2, "s", iface},
			{3, "s", method},
			{6, "s", "org.freedesktop.systemd1"},
			{8, "g", signature},
		} {
			m.align(8)
			m.WriteByte(field.code)
			m.signature(field.signature)
			if field.signature == "g" {
				m.signature(field.value)
			} else {
				m.string(field.value)
			}
		}
	})
	m.align(8)
	return append(m.Bytes(), body.Bytes()...)
}

// wire builds a message in little endian.
type wire struct{ bytes.Buffer }

func (w *wire) align(n int) {
	for w.Len()%n != 0 {
		w.WriteByte(0)
	}
}

func (w *wire) uint32(v uint32) {
	w.align(4)
	w.Write(binary.LittleEndian.AppendUint32(nil, v))
}

func (w *wire) string(s string) {
	w.uint32(uint32(len(s)))
	w.WriteString(s)
	w.WriteByte(0)
}

func (w *wire) signature(s string) {
	w.WriteByte(byte(len(s)))
	w.WriteString(s)
	w.WriteByte(0)
}

// array writes what elements writes, whose alignment is n, with its length.
func (w *wire) array(n int, elements func()) {
	w.uint32(0)
	at := w.Len() - 4
	w.align(n)
	start := w.Len()
	elements()
	binary.LittleEndian.PutUint32(w.Bytes()[at:], uint32(w.Len()-start))
}

// property is an element of a(sv).
func (w *wire) property(name, signature string, value func()) {
	w.align(8)
	w.string(name)
	w.signature(signature)
	value()
}

// maxReply bounds what we read of an answer, in bytes.
const maxReply = 1 << 20

// awaitReply reads messages until the answer to our call, and returns its body.
func awaitReply(conn io.Reader) ([]byte, error) {
	for {
		var head [16]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return nil, err
		}
		size := binary.LittleEndian.Uint32(head[4:])
		fields := binary.LittleEndian.Uint32(head[12:])
		if head[0] != 'l' || size > maxReply || fields > maxReply {
			return nil, errors.New("an answer that makes no sense")
		}
		rest := make([]byte, (fields+7)/8*8+size)
		if _, err := io.ReadFull(conn, rest); err != nil {
			return nil, err
		}
		switch body := rest[(fields+7)/8*8:]; head[1] {
		case methodReturn:
			return body, nil
		case methodError:
			if len(body) > 4 {
				if n := binary.LittleEndian.Uint32(body); int(n) <= len(body)-5 {
					return nil, errors.New(string(body[4 : 4+n]))
				}
			}
			return nil, errors.New("it refuses")
		}
	}
}
