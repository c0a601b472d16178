// Package hook is what runs in a container after its start and before its stop:
// Kubernetes' lifecycle hooks, in Kubernetes' JSON. Standard library only, because
// the translator of Kubernetes' YAML links it.
// https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Lifecycle are a container's hooks, nil for none.
type Lifecycle struct {
	// PostStart begins with the container's process, and ends the container when it
	// fails; PreStop goes before the stop signal, within the grace time.
	PostStart *Handler `json:"postStart,omitempty"`
	PreStop   *Handler `json:"preStop,omitempty"`
}

// Handler is one of the three, the others nil.
type Handler struct {
	Exec    *Exec    `json:"exec,omitempty"`
	HTTPGet *HTTPGet `json:"httpGet,omitempty"`
	Sleep   *Sleep   `json:"sleep,omitempty"`
}

// Exec executes a command in the container, without a shell.
type Exec struct {
	Command []string `json:"command"`
}

// Sleep does nothing for some seconds.
type Sleep struct {
	Seconds int64 `json:"seconds"`
}

// HTTPGet is a request over HTTP from within the container's network. Host is an
// address, empty for 127.0.0.1; any answer will do.
type HTTPGet struct {
	Path    string   `json:"path,omitempty"`
	Port    int      `json:"port"`
	Host    string   `json:"host,omitempty"`
	Scheme  string   `json:"scheme,omitempty"` // HTTP, or empty for it
	Headers []Header `json:"httpHeaders,omitempty"`
}

// Header is one field of a request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// mostSleep bounds a Sleep, in seconds: a day.
const mostSleep = int64(24 * time.Hour / time.Second)

// Parse reads a hook as people type it: Kubernetes' JSON ({"exec": ...}), a
// list of words in JSON, else a line for /bin/sh.
func Parse(text string) (*Handler, error) {
	trimmed := strings.TrimSpace(text)
	h := &Handler{}
	switch {
	case trimmed == "":
		return nil, errors.New("it is empty")
	case trimmed[0] == '{':
		d := json.NewDecoder(strings.NewReader(trimmed))
		d.DisallowUnknownFields()
		if err := d.Decode(h); err != nil {
			return nil, err
		}
		if d.More() {
			return nil, errors.New("there is more behind the JSON")
		}
	case trimmed[0] == '[':
		h.Exec = &Exec{}
		if err := json.Unmarshal([]byte(trimmed), &h.Exec.Command); err != nil {
			return nil, err
		}
	default:
		h.Exec = &Exec{Command: []string{"/bin/sh", "-c", text}}
	}
	return h, h.check()
}

func (h *Handler) check() error {
	n := 0
	for _, there := range []bool{h.Exec != nil, h.HTTPGet != nil, h.Sleep != nil} {
		if there {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("it must have one of exec, httpGet and sleep")
	case h.Exec != nil && (len(h.Exec.Command) == 0 || h.Exec.Command[0] == ""):
		return errors.New("exec.command is empty")
	case h.Sleep != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > mostSleep):
		return fmt.Errorf("sleep.seconds must be between 0 and %d", mostSleep)
	case h.HTTPGet != nil:
		return h.HTTPGet.check()
	}
	return nil
}

func (g *HTTPGet) check() error {
	if g.Port < 1 || g.Port > math.MaxUint16 {
		return fmt.Errorf("httpGet.port %d is not between 1 and 65535", g.Port)
	}
	if g.Scheme != "" && g.Scheme != "HTTP" {
		return fmt.Errorf("httpGet.scheme %q is not supported: HTTP is", g.Scheme)
	}
	if _, err := g.Address(); err != nil {
		return fmt.Errorf("httpGet.host %q is not an address", g.Host)
	}
	unfit := func(s, more string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.ContainsAny(s, more)
	}
	if unfit(g.Path, " ") {
		return fmt.Errorf("httpGet.path %q has a blank or a control character", g.Path)
	}
	for _, f := range g.Headers {
		if f.Name == "" || unfit(f.Name, " :") || unfit(f.Value, "") {
			return fmt.Errorf("httpGet.httpHeaders: %q is no header", f.Name+": "+f.Value)
		}
	}
	return nil
}

// Address is whom the request goes to.
func (g *HTTPGet) Address() (netip.AddrPort, error) {
	host := g.Host
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(ip, uint16(g.Port)), err
}

// Request is what is said there (RFC 9112).
func (g *HTTPGet) Request() []byte {
	var b bytes.Buffer
	to, _ := g.Address() // checked when it was made
	fmt.Fprintf(&b, "GET /%s HTTP/1.1\r\n", strings.TrimPrefix(g.Path, "/"))
	is := func(name string) bool {
		return slices.ContainsFunc(g.Headers, func(f Header) bool { return strings.EqualFold(f.Name, name) })
	}
	if !is("Host") {
		fmt.Fprintf(&b, "Host: %s\r\n", to)
	}
	if !is("User-Agent") {
		b.WriteString("User-Agent: skiff\r\n")
	}
	if !is("Accept") {
		b.WriteString("Accept: */*\r\n")
	}
	for _, f := range g.Headers {
		if !strings.EqualFold(f.Name, "Connection") {
			fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
		}
	}
	b.WriteString("Connection: close\r\n\r\n")
	return b.Bytes()
}
