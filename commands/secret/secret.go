// Package secret is the commands about secrets, with podman's results: docker
// has them for swarms only.
package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/courier/configuration"
	"skiff/storage/secret"
)

// Commands are the members of the management group `secret`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{CreateCommand(e), ExistsCommand(e), InspectCommand(e), ListCommand(e), RemoveCommand(e)}
}

// CreateCommand keeps a file's contents as a secret.
func CreateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "create",
		Usage:     "Create a secret from a file or STDIN as content",
		ArgsUsage: "[OPTIONS] SECRET FILE|-",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "Secret labels"},
			&cli.BoolFlag{Name: "replace", Usage: "Overwrite a secret of the same name"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			labels, err := flags.Labels(nil, c.StringSlice("label"))
			if err != nil {
				return err
			}
			return runCreate(e, c.Args().Get(0), c.Args().Get(1), labels, c.Bool("replace"))
		},
	}
}

func runCreate(e *env.Env, name, from string, labels map[string]string, replace bool) error {
	if err := secret.CheckName(name); err != nil {
		return err
	}
	in := e.In
	if from != "-" {
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, secret.MaxSize+1))
	if err != nil {
		return fmt.Errorf("read secret from %s: %w", from, err)
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	s, err := secret.Create(st, name, data, labels, replace)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.Out, s.ID)
	return err
}

// ExistsCommand tells by its exit code whether there is a secret.
func ExistsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "exists",
		Usage:     "Tell by the exit code whether a secret exists: 0 or 1",
		ArgsUsage: "SECRET",
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			_, err = secret.Find(st, c.Args().First())
			if errors.Is(err, secret.ErrNotFound) {
				return failure.Status(1)
			}
			return err
		},
	}
}

// described is the document of inspect.
type described struct {
	ID        string
	CreatedAt time.Time
	UpdatedAt time.Time
	Spec      spec
	// SecretData is there when it was asked for.
	SecretData string `json:",omitempty"`
}

type spec struct {
	Name   string
	Driver driver
	Labels map[string]string
}

type driver struct {
	Name    string
	Options map[string]string
}

// InspectCommand describes secrets; what they say only on demand.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display detailed information on one or more secrets",
		ArgsUsage: "[OPTIONS] SECRET [SECRET...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage},
			&cli.BoolFlag{Name: "showsecret", Usage: "Display the secret itself too"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			return document.Print(e, c.String("format"), c.Args().Slice(), func(ref string) (any, error) {
				s, err := secret.Find(st, ref)
				if err != nil {
					return nil, err
				}
				d := &described{
					ID: s.ID, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
					Spec: spec{Name: s.Name, Driver: driver{"file", map[string]string{}}, Labels: s.Labels},
				}
				if d.Spec.Labels == nil {
					d.Spec.Labels = map[string]string{}
				}
				if c.Bool("showsecret") {
					d.SecretData = string(s.Data)
				}
				return d, nil
			})
		},
	}
}

var layout = format.List{
	Headings: [][2]string{{"ID", "ID"}, {"Name", "NAME"}, {"Driver", "DRIVER"}, {"CreatedAt", "CREATED"}, {"UpdatedAt", "UPDATED"}},
	Columns:  []string{"ID", "Name", "Driver", "CreatedAt", "UpdatedAt"},
	Quiet:    "ID",
}

// ListCommand lists secrets.
func ListCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "ls",
		Aliases:   []string{"list"},
		Usage:     "List secrets",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: `Provide filter values (e.g. "name=key")`}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display IDs"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "id", "label", "name")
			if err != nil {
				return err
			}
			return runList(e, f, flags.Layout(e, c.String("format"), c.Bool("quiet"), func(c *configuration.Client) string { return c.SecretFormat }), c.Bool("quiet"))
		},
	}
}

func runList(e *env.Env, f flags.Filters, template string, quiet bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	all, broken := secret.List(st)
	var rows []format.Row
	for _, s := range all {
		if !f.Labels(s.Labels) || !f.Any("name", func(n string) bool { return n == s.Name }) || !f.Any("id", func(id string) bool { return id == s.ID }) {
			continue
		}
		rows = append(rows, format.Row{
			"ID": s.ID, "Name": s.Name, "Driver": "file",
			"CreatedAt": ago(e, s.CreatedAt), "UpdatedAt": ago(e, s.UpdatedAt),
		})
	}
	return failure.Listed(layout.Print(e.Out, template, quiet, rows), broken)
}

func ago(e *env.Env, t time.Time) string { return format.Ago(e.Clock(), t) }

// RemoveCommand removes secrets. Containers that have one keep it until they
// start again.
func RemoveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "Remove one or more secrets",
		ArgsUsage: "[OPTIONS] SECRET [SECRET...]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "Remove all secrets"},
			&cli.BoolFlag{Name: "ignore", Aliases: []string{"i"}, Usage: "Do not mind a secret that is not there"},
		},
		Action: func(c *cli.Context) error {
			if !c.Bool("all") {
				if err := flags.MinArgs(c, 1); err != nil {
					return err
				}
			}
			return runRemove(e, c.Args().Slice(), c.Bool("all"), c.Bool("ignore"))
		},
	}
}

func runRemove(e *env.Env, refs []string, all, ignore bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	if all {
		list, err := secret.List(st)
		if err != nil {
			return err
		}
		for _, s := range list {
			refs = append(refs, s.Name)
		}
	}
	var failed failure.Several
	for _, ref := range refs {
		err := secret.Remove(st, ref)
		if ignore && errors.Is(err, secret.ErrNotFound) {
			continue
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if _, err := fmt.Fprintln(e.Out, ref); err != nil {
			return err
		}
	}
	return failed.Err()
}
