package configuration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// The keys of docker's proxies in config.json: the one for its engine where no
// address is given, and the one for all others.
const (
	proxiesOfEngine = "unix:///var/run/docker.sock"
	proxiesDefault  = "default"
)

// Proxies returns the variables, NAME=value, that the proxies of docker's
// config.json give to containers and builds: each name in capitals and in small
// letters. An absent file gives none.
// https://docs.docker.com/engine/cli/proxy/
func Proxies(getenv func(string) string) ([]string, error) {
	path := filepath.Join(DockerConfig(getenv), "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(strings.TrimSpace(string(data))) == 0 {
		return nil, nil
	}
	type proxies struct {
		HTTP  string `json:"httpProxy"`
		HTTPS string `json:"httpsProxy"`
		No    string `json:"noProxy"`
		FTP   string `json:"ftpProxy"`
		All   string `json:"allProxy"`
	}
	var file struct {
		Proxies map[string]proxies `json:"proxies"`
	}
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("loading config file: %s: %w", path, err)
	}
	want, ok := file.Proxies[proxiesOfEngine]
	if !ok {
		want = file.Proxies[proxiesDefault]
	}
	var env []string
	for _, v := range [][2]string{{"HTTP_PROXY", want.HTTP}, {"HTTPS_PROXY", want.HTTPS}, {"NO_PROXY", want.No}, {"FTP_PROXY", want.FTP}, {"ALL_PROXY", want.All}} {
		if name, value := v[0], v[1]; value != "" {
			env = append(env, name+"="+value, strings.ToLower(name)+"="+value)
		}
	}
	return env, nil
}
