package registry

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/credential"
)

// LogoutCommand forgets the credentials for a registry.
func LogoutCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "logout",
		Usage:     "Log out from a registry",
		ArgsUsage: "[SERVER]",
		Category:  "Common",
		Action: func(c *cli.Context) error {
			if err := flags.MaxArgs(c, 1); err != nil {
				return err
			}
			file, err := credential.Load(configuration.DockerConfig(e.Getenv))
			if err != nil {
				return err
			}
			name := host(c.Args().First())
			// docker says so whether there is anything to remove or not.
			fmt.Fprintf(e.Out, "Removing login credentials for %s\n", format.Escape(credential.Key(name)))
			_, err = file.Erase(c.Context, name)
			return err
		},
	}
}
