package flags

import (
	"fmt"
	"slices"
	"strings"

	"skiff/commands/env"
	"skiff/storage/courier/configuration"
)

// Proxies returns the variables that docker's config.json gives to containers
// and builds, without those that the user named in an option: NAME=value, or
// NAME alone. A file that cannot be read is told of and gives none, as docker
// does.
func Proxies(e *env.Env, named []string) []string {
	found, err := configuration.Proxies(e.Getenv)
	if err != nil {
		fmt.Fprintf(e.Err, "WARNING: Error %v\n", err)
	}
	return slices.DeleteFunc(found, func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.ContainsFunc(named, func(n string) bool {
			n, _, _ = strings.Cut(n, "=")
			return n == name
		})
	})
}
