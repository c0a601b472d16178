package configuration

import "strings"

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
	file, err := ReadClient(getenv)
	if err != nil {
		return nil, err
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
