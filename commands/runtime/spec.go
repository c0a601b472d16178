package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/rootless"
	"skiff/runtime/bundle"
)

func specCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "spec",
		Usage:     "Write a config.json to begin a bundle with",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Value: ".", Usage: "Directory of the bundle"},
			&cli.BoolFlag{Name: "rootless", Usage: "With a user namespace for the ordinary user"},
		},
		Action: action(e, 0, func(c *cli.Context, _ *globals) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runSpec(c.String("bundle"), c.Bool("rootless"))
		}),
	}
}

func runSpec(dir string, withUser bool) error {
	s := bundle.Template()
	if withUser {
		bundle.Rootless(s, rootless.UID(), rootless.GID())
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	// A file that is there is the user's work.
	f, err := os.OpenFile(filepath.Join(dir, "config.json"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
