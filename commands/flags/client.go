package flags

import (
	"fmt"

	"skiff/commands/env"
	"skiff/storage/courier/configuration"
)

// Layout is --format of a list, or if that was not given and -q was not, what
// docker's config.json has for such lists. A file that cannot be read is told of.
func Layout(e *env.Env, given string, quiet bool, of func(*configuration.Client) string) string {
	if given != "" || quiet {
		return given
	}
	return of(client(e))
}

// DetachKeys is --detach-keys, or if that was not given, what docker's config.json
// says; empty without either.
func DetachKeys(e *env.Env, given string) string {
	if given != "" {
		return given
	}
	return client(e).DetachKeys
}

func client(e *env.Env) *configuration.Client {
	c, err := configuration.ReadClient(e.Getenv)
	if err != nil {
		fmt.Fprintf(e.Err, "WARNING: Error %v\n", err)
		return &configuration.Client{}
	}
	return c
}
