package configuration

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Client is what docker's config.json says of the command line, credentials left
// out (storage/courier/credential).
// https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties
type Client struct {
	Proxies        map[string]proxies `json:"proxies"`
	DetachKeys     string             `json:"detachKeys"`
	CurrentContext string             `json:"currentContext"`
	// Formats of lists, for where --format is not given.
	PsFormat       string `json:"psFormat"`
	ImagesFormat   string `json:"imagesFormat"`
	NetworksFormat string `json:"networksFormat"`
	VolumesFormat  string `json:"volumesFormat"`
	StatsFormat    string `json:"statsFormat"`
	SecretFormat   string `json:"secretFormat"`
}

type proxies struct {
	HTTP  string `json:"httpProxy"`
	HTTPS string `json:"httpsProxy"`
	No    string `json:"noProxy"`
	FTP   string `json:"ftpProxy"`
	All   string `json:"allProxy"`
}

// ReadClient reads config.json. An absent or empty file says nothing.
func ReadClient(getenv func(string) string) (*Client, error) {
	c := &Client{}
	path := filepath.Join(DockerConfig(getenv), "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(strings.TrimSpace(string(data))) == 0 {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, c)
	}
	if err != nil {
		return nil, fmt.Errorf("loading config file: %s: %w", path, err)
	}
	return c, nil
}

// Elsewhere returns where docker's client would send a command that is given
// neither --host nor --context, if that is another machine: the value of
// DOCKER_HOST, or the context that DOCKER_CONTEXT or config.json names. A socket
// of this machine is not elsewhere, and neither is what nobody can find out.
func Elsewhere(getenv func(string) string) string {
	if host := getenv("DOCKER_HOST"); host != "" {
		if isLocal(host) {
			return ""
		}
		return "DOCKER_HOST=" + host
	}
	name, from := getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		c, err := ReadClient(getenv)
		if err != nil {
			return "" // who needs more of the file says what is wrong with it
		}
		name, from = c.CurrentContext, "currentContext"
	}
	if !IsRemoteContext(getenv, name) {
		return ""
	}
	return from + "=" + name
}

// IsRemoteContext reports whether the context of docker's client is one of another
// machine.
func IsRemoteContext(getenv func(string) string, name string) bool {
	if name == "" || name == "default" {
		return false
	}
	var meta struct {
		Endpoints map[string]struct{ Host string }
	}
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	data, err := os.ReadFile(filepath.Join(DockerConfig(getenv), "contexts", "meta", id, "meta.json"))
	if err != nil || json.Unmarshal(data, &meta) != nil {
		return true // not known to be here
	}
	return !isLocal(meta.Endpoints["docker"].Host)
}

// isLocal reports whether a docker host is a socket of this machine.
func isLocal(host string) bool {
	return host == "" || strings.HasPrefix(host, "unix://") || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "fd://")
}
