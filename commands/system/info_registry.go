package system

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/commands/env"
	courier "skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
)

// registryConfig is how registries are talked to, in docker's shape.
type registryConfig struct {
	InsecureRegistryCIDRs []string
	IndexConfigs          map[string]indexConfig
	Mirrors               []string
}

// indexConfig is that of one registry.
type indexConfig struct {
	Name     string
	Mirrors  []string
	Secure   bool
	Official bool
}

// loopbacks are the networks whose registries may speak plain http anyway.
var loopbacks = []string{"::1/128", "127.0.0.0/8"}

// registries fills in how registries are talked to. A daemon.json that cannot be
// understood is an error: nothing could be pulled either.
func (i *info) registries(ctx context.Context, e *env.Env) error {
	r, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	mirrors := append([]string{}, r.Mirrors...)
	if hasRegistriesConf(e) {
		more, err := courier.Mirrors(ctx)
		if err != nil {
			return err
		}
		for _, m := range more {
			if !slices.Contains(mirrors, m) {
				mirrors = append(mirrors, m)
			}
		}
	}
	i.RegistryConfig = registryConfig{
		InsecureRegistryCIDRs: slices.Clone(loopbacks), Mirrors: mirrors,
		IndexConfigs: map[string]indexConfig{"docker.io": {Name: "docker.io", Mirrors: mirrors, Secure: true, Official: true}},
	}
	for _, insecure := range r.Insecure {
		if _, _, err := net.ParseCIDR(insecure); err == nil {
			i.RegistryConfig.InsecureRegistryCIDRs = append(i.RegistryConfig.InsecureRegistryCIDRs, insecure)
			continue
		}
		i.RegistryConfig.IndexConfigs[insecure] = indexConfig{Name: insecure, Mirrors: []string{}}
	}
	return nil
}

// hasRegistriesConf reports whether there is a registries.conf(5), which only the
// courier understands. Most machines have none, and `info` is asked often.
func hasRegistriesConf(e *env.Env) bool {
	for _, path := range []string{
		filepath.Join(e.Getenv("HOME"), ".config/containers/registries.conf"), "/etc/containers/registries.conf",
		filepath.Join(e.Getenv("HOME"), ".config/containers/registries.conf.d"), "/etc/containers/registries.conf.d",
	} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// text is docker's lines about registries.
func (r registryConfig) text() string {
	var b strings.Builder
	b.WriteString(" Insecure Registries:\n")
	var names []string
	for name, index := range r.IndexConfigs {
		if !index.Secure {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range append(names, r.InsecureRegistryCIDRs...) {
		b.WriteString("  " + name + "\n")
	}
	if len(r.Mirrors) > 0 {
		b.WriteString(" Registry Mirrors:\n")
		for _, m := range r.Mirrors {
			b.WriteString("  " + m + "\n")
		}
	}
	return b.String()
}
