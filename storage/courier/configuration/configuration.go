// Package configuration reads what docker's daemon.json says about registries and
// devices, the machine's and the user's. Standard library and ours only, because the front
// reads it. https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
package configuration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/rootless"
	"skiff/storage/courier/message"
)

// machineFile is the machine's daemon.json, and machineCerts the directory of
// its registries' certificates.
const (
	machineFile  = "/etc/docker/daemon.json"
	machineCerts = "/etc/docker/certs.d"
)

// Read returns how the user's registries are to be talked to. getenv gives HOME,
// XDG_CONFIG_HOME and DOCKER_CONFIG. A file that cannot be understood is an
// error that names the place in it.
func Read(getenv func(string) string) (message.Registries, error) {
	r := message.Registries{DockerConfig: DockerConfig(getenv), HelpersOutside: rootless.Outside() > 0}
	config := Home(getenv)
	r.CertDirs = []string{machineCerts, filepath.Join(config, "docker/certs.d")}
	// The user's mirrors are asked first.
	for _, path := range []string{filepath.Join(config, "docker/daemon.json"), machineFile} {
		if err := add(&r, path); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Home is the directory of the user's configuration files, of all programs.
func Home(getenv func(string) string) string {
	if config := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(config) {
		return config
	}
	return filepath.Join(getenv("HOME"), ".config")
}

// DeviceDirs returns the "cdi-spec-dirs" of the user's daemon.json, or of the
// machine's, in that order; nil where neither has any.
func DeviceDirs(getenv func(string) string) ([]string, error) {
	for _, path := range []string{filepath.Join(Home(getenv), "docker/daemon.json"), machineFile} {
		file, _, err := read(path)
		if err != nil || file.DeviceDirs != nil {
			return file.DeviceDirs, err
		}
	}
	return nil, nil
}

// DockerConfig is the directory of docker's config.json, which holds the user's
// credentials.
func DockerConfig(getenv func(string) string) string {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir
	}
	return filepath.Join(getenv("HOME"), ".docker")
}

// daemonFile is what is read of a daemon.json.
type daemonFile struct {
	Mirrors    []string `json:"registry-mirrors"`
	Insecure   []string `json:"insecure-registries"`
	DeviceDirs []string `json:"cdi-spec-dirs"`
}

// read returns a daemon.json and its text; an absent or empty one says nothing.
func read(path string) (file daemonFile, data []byte, err error) {
	data, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return file, nil, nil
	}
	if err != nil {
		return file, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return file, data, nil
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return file, data, &FileError{Path: path, Place: place(data, err), Err: err}
	}
	return file, data, nil
}

// add takes in one daemon.json.
func add(r *message.Registries, path string) error {
	file, data, err := read(path)
	if err != nil {
		return err
	}
	for _, mirror := range file.Mirrors {
		clean, err := checkMirror(mirror)
		if err != nil {
			return &FileError{Path: path, Place: find(data, mirror), Err: err}
		}
		if !slices.Contains(r.Mirrors, clean) {
			r.Mirrors = append(r.Mirrors, clean)
		}
	}
	for _, insecure := range file.Insecure {
		clean, err := checkInsecure(insecure)
		if err != nil {
			return &FileError{Path: path, Place: find(data, insecure), Err: err}
		}
		if !slices.Contains(r.Insecure, clean) {
			r.Insecure = append(r.Insecure, clean)
		}
	}
	return nil
}

// FileError says what is wrong in a file, and where.
type FileError struct {
	Path  string
	Place Place
	Err   error
}

// Place is a position in a file, counted from 1.
type Place struct{ Line, Column int }

func (e *FileError) Error() string {
	return fmt.Sprintf("unable to configure skiff with file %s: line %d, column %d: %v", e.Path, e.Place.Line, e.Place.Column, e.Err)
}
func (e *FileError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *FileError) Hint() string { return "correct the file, or move it away" }

// place finds where decoding failed.
func place(data []byte, err error) Place {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(len(data))
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	return at(data, int(offset)-1)
}

// find finds where a value stands.
func find(data []byte, value string) Place {
	quoted, err := json.Marshal(value)
	if err != nil {
		return Place{1, 1}
	}
	return at(data, max(0, strings.Index(string(data), string(quoted))))
}

func at(data []byte, offset int) Place {
	before := string(data[:min(max(offset, 0), len(data))])
	line := strings.Count(before, "\n")
	return Place{line + 1, len(before) - (strings.LastIndex(before, "\n") + 1) + 1}
}

// checkMirror returns a mirror's address with a slash at its end, as docker
// shows it.
func checkMirror(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("invalid mirror: %q is not a valid URI: %w", text, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("invalid mirror: unsupported scheme %q in %q", u.Scheme, text)
	case u.Host == "":
		return "", fmt.Errorf("invalid mirror: no host in %q", text)
	case u.User != nil:
		return "", fmt.Errorf("invalid mirror: username/password not allowed in URI %q", u.Redacted())
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("invalid mirror: path, query, or fragment at end of the URI %q", text)
	}
	return u.Scheme + "://" + u.Host + "/", nil
}

// checkInsecure returns host[:port] or a network in CIDR notation.
func checkInsecure(text string) (string, error) {
	if _, _, err := net.ParseCIDR(text); err == nil {
		return text, nil
	}
	clean := strings.TrimPrefix(strings.TrimPrefix(text, "http://"), "https://")
	if clean == "" || strings.Contains(clean, "/") || strings.ContainsAny(clean, " \t\n") {
		return "", fmt.Errorf("insecure registry %q is not a host with an optional port, nor a network", text)
	}
	return clean, nil
}
