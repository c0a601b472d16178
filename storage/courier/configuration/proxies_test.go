package configuration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProxies(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no proxies", `{"auths":{}}`, ""},
		{"an empty file", " ", ""},
		{
			"all of them", `{"proxies":{"default":{"httpProxy":"h","httpsProxy":"s","noProxy":"n","ftpProxy":"f","allProxy":"a"}}}`,
			"HTTP_PROXY=h http_proxy=h HTTPS_PROXY=s https_proxy=s NO_PROXY=n no_proxy=n FTP_PROXY=f ftp_proxy=f ALL_PROXY=a all_proxy=a",
		},
		{"of another engine", `{"proxies":{"tcp://far:2375":{"httpProxy":"far"}}}`, ""},
		{"of docker's engine", `{"proxies":{"default":{"ftpProxy":"f"},"unix:///var/run/docker.sock":{"httpProxy":"h"}}}`, "HTTP_PROXY=h http_proxy=h"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Proxies(func(name string) string { return map[string]string{"DOCKER_CONFIG": dir}[name] })
		if strings.Join(got, " ") != tt.want || err != nil {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
	}
	if got, err := Proxies(func(string) string { return t.TempDir() }); got != nil || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
}
