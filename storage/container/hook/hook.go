// Package hook is what is done in or to a container while it runs: Kubernetes'
// lifecycle hooks and probes, in Kubernetes' JSON. Standard library only, because the
// translator of Kubernetes' YAML links it.
// https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
package hook

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Lifecycle are a container's hooks, nil for none.
type Lifecycle struct {
	// PostStart begins with the container's process, and ends the container when it
	// fails; PreStop goes before the stop signal, within the grace time.
	PostStart *Handler `json:"postStart,omitempty"`
	PreStop   *Handler `json:"preStop,omitempty"`
}

// Handler is one of the five, the others nil. GRPC is of probes only, Sleep of hooks.
type Handler struct {
	Exec      *Exec      `json:"exec,omitempty"`
	HTTPGet   *HTTPGet   `json:"httpGet,omitempty"`
	TCPSocket *TCPSocket `json:"tcpSocket,omitempty"`
	GRPC      *GRPC      `json:"grpc,omitempty"`
	Sleep     *Sleep     `json:"sleep,omitempty"`
}

// Exec executes a command in the container, without a shell.
type Exec struct {
	Command []string `json:"command"`
}

// Sleep does nothing for some seconds.
type Sleep struct {
	Seconds int64 `json:"seconds"`
}

// HTTPGet is a request from within the container's network. Host is a name or an
// address, empty for the container itself.
type HTTPGet struct {
	Path    string   `json:"path,omitempty"`
	Port    int      `json:"port"`
	Host    string   `json:"host,omitempty"`
	Scheme  string   `json:"scheme,omitempty"` // HTTP, or empty for it, or HTTPS
	Headers []Header `json:"httpHeaders,omitempty"`
}

// Header is one field of a request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocket is a connection from within the container's network; Host as HTTPGet's.
type TCPSocket struct {
	Port int    `json:"port"`
	Host string `json:"host,omitempty"`
}

// GRPC asks the container's own server for the health of a service, empty for all
// that it has. https://github.com/grpc/grpc/blob/master/doc/health-checking.md
type GRPC struct {
	Port    int    `json:"port"`
	Service string `json:"service,omitempty"`
}

// Call is what the program that asks over the network is told.
type Call struct {
	Handler
	// Hook says that it is one, for which any status of HTTP will do.
	Hook bool `json:"hook,omitempty"`
	// Names is the directory with the container's hosts and resolv.conf.
	Names string `json:"names,omitempty"`
}

// Asks reports whether h is done over the network, from outside the container.
func (h *Handler) Asks() bool { return h.HTTPGet != nil || h.TCPSocket != nil || h.GRPC != nil }

// mostSleep bounds a Sleep, in seconds: a day.
const mostSleep = int64(24 * time.Hour / time.Second)

// Parse reads a hook as people type it: Kubernetes' JSON ({"exec": ...}), a
// list of words in JSON, else a line for /bin/sh.
func Parse(text string) (*Handler, error) {
	h, err := parse(text)
	switch {
	case err != nil:
		return h, err
	case h == nil:
		h = &Handler{Exec: &Exec{Command: []string{"/bin/sh", "-c", text}}}
	case h.GRPC != nil:
		return nil, errors.New("grpc is for probes")
	}
	return h, h.check("exec, httpGet, tcpSocket and sleep")
}

// ParseProbe reads a probe as people type it: Kubernetes' JSON, a list of words in
// JSON, or where to ask: http://:8080/healthz, https://..., tcp://:5432,
// grpc://:50051/service.
func ParseProbe(text string) (*Handler, error) {
	h, err := parse(text)
	if err == nil && h == nil {
		h, err = parseURL(strings.TrimSpace(text))
	}
	switch {
	case err != nil:
		return nil, err
	case h.Sleep != nil:
		return nil, errors.New("sleep is for hooks")
	}
	return h, h.check("exec, httpGet, tcpSocket and grpc")
}

// parse reads JSON, and returns nil for what is none.
func parse(text string) (*Handler, error) {
	trimmed := strings.TrimSpace(text)
	h := &Handler{}
	switch {
	case trimmed == "":
		return nil, errors.New("it is empty")
	case !utf8.ValidString(text):
		return nil, errors.New("it is not UTF-8, and would be kept as something else")
	case trimmed[0] == '{':
		d := json.NewDecoder(strings.NewReader(trimmed))
		d.DisallowUnknownFields()
		if err := d.Decode(h); err != nil {
			return nil, err
		}
		if d.More() {
			return nil, errors.New("there is more behind the JSON")
		}
		return h, nil
	case trimmed[0] == '[':
		h.Exec = &Exec{}
		return h, json.Unmarshal([]byte(trimmed), &h.Exec.Command)
	}
	return nil, nil
}

func parseURL(text string) (*Handler, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q is neither JSON nor a URL such as http://:8080/healthz", text)
	}
	port, err := strconv.Atoi(u.Port())
	usual := map[string]int{"http": 80, "https": 443}[u.Scheme]
	if u.Port() == "" && usual != 0 {
		port, err = usual, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%q names no port", text)
	}
	switch u.Scheme {
	case "http", "https":
		g := &HTTPGet{Host: u.Hostname(), Port: port, Path: u.RequestURI()}
		if u.Scheme == "https" {
			g.Scheme = "HTTPS"
		}
		return &Handler{HTTPGet: g}, nil
	case "tcp":
		if u.Path == "" && u.RawQuery == "" {
			return &Handler{TCPSocket: &TCPSocket{Host: u.Hostname(), Port: port}}, nil
		}
	case "grpc":
		if u.Hostname() == "" && u.RawQuery == "" {
			return &Handler{GRPC: &GRPC{Port: port, Service: strings.TrimPrefix(u.Path, "/")}}, nil
		}
	}
	return nil, fmt.Errorf("%q is none of http://HOST:PORT/PATH, https://HOST:PORT/PATH, tcp://HOST:PORT and grpc://:PORT/SERVICE", text)
}

func (h *Handler) check(kinds string) error {
	n := 0
	for _, there := range []bool{h.Exec != nil, h.HTTPGet != nil, h.TCPSocket != nil, h.GRPC != nil, h.Sleep != nil} {
		if there {
			n++
		}
	}
	switch {
	case n != 1:
		return errors.New("it must have one of " + kinds)
	case h.Exec != nil && (len(h.Exec.Command) == 0 || h.Exec.Command[0] == ""):
		return errors.New("exec.command is empty")
	case h.Sleep != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > mostSleep):
		return fmt.Errorf("sleep.seconds must be between 0 and %d", mostSleep)
	case h.HTTPGet != nil:
		return h.HTTPGet.check()
	case h.TCPSocket != nil:
		return checkPlace("tcpSocket", h.TCPSocket.Host, h.TCPSocket.Port)
	case h.GRPC != nil:
		return checkPlace("grpc", "", h.GRPC.Port)
	}
	return nil
}

// checkPlace refuses what nobody could be reached at.
func checkPlace(field, host string, port int) error {
	if port < 1 || port > math.MaxUint16 {
		return fmt.Errorf("%s.port %d is not between 1 and 65535", field, port)
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return nil
	}
	for _, r := range host {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._", r) {
			return fmt.Errorf("%s.host %q is neither a name nor an address", field, host)
		}
	}
	return nil
}

func (g *HTTPGet) check() error {
	if err := checkPlace("httpGet", g.Host, g.Port); err != nil {
		return err
	}
	if g.Scheme != "" && g.Scheme != "HTTP" && g.Scheme != "HTTPS" {
		return fmt.Errorf("httpGet.scheme %q is neither HTTP nor HTTPS", g.Scheme)
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
