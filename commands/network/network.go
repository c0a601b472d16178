// Package network is the commands about networks.
package network

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/confirm"
	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	runtime "skiff/runtime/network"
	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/event"
	"skiff/storage/network"
)

// Commands are the members of the management group `network`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{
		ConnectCommand(e), CreateCommand(e), DisconnectCommand(e), InspectCommand(e), ListCommand(e), PruneCommand(e), RemoveCommand(e),
	}
}

// InspectCommand describes networks in docker's documents.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display detailed information on one or more networks",
		ArgsUsage: "[OPTIONS] NETWORK [NETWORK...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "Verbose output for diagnostics; there is nothing more to tell"},
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
				return Document(st, ref)
			})
		},
	}
}

// Document returns docker's document of a network. Its errors are in docker's
// words; errors.Is finds network.ErrNotFound.
func Document(st *storage.Store, ref string) (*document.Network, error) {
	n, err := find(st, ref)
	if err != nil {
		return nil, err
	}
	users, err := runtime.Users(st)
	// A container that cannot be read is `ps`'s to complain of: the network is well.
	if err != nil && !atomicfile.IsUnreadable(err) {
		return nil, err
	}
	d := document.OfNetwork(n, users[n.ID])
	return &d, nil
}

func find(st *storage.Store, ref string) (*network.Network, error) {
	n, err := network.Find(st, ref)
	return n, inWords(err, ref)
}

// inWords gives docker's words to what the layers below say about the network
// that the user called ref.
func inWords(err error, ref string) error {
	switch {
	case errors.Is(err, network.ErrNotFound):
		return failure.Engine(err, "network %s not found", ref)
	case errors.Is(err, network.ErrAmbiguous):
		return failure.Engine(err, "network %s is ambiguous (2 matches found based on ID prefix)", ref)
	}
	return err
}

// RemoveCommand removes networks that no running container is on.
func RemoveCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "rm",
		Aliases:   []string{"remove"},
		Usage:     "Remove one or more networks",
		ArgsUsage: "NETWORK [NETWORK...]",
		Flags:     []cli.Flag{&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not error if the network does not exist"}},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			return runRemove(c.Context, e, c.Args().Slice(), c.Bool("force"))
		},
	}
}

func runRemove(ctx context.Context, e *env.Env, refs []string, force bool) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	var failed failure.Several
	for _, ref := range refs {
		n, err := runtime.Remove(ctx, st, ref)
		if err != nil {
			if !force || !errors.Is(err, network.ErrNotFound) {
				failed = append(failed, inWords(err, ref))
			}
			continue
		}
		happened(st, n, "destroy")
		if _, err := fmt.Fprintln(e.Out, ref); err != nil {
			return err
		}
	}
	if len(failed) > 0 && e.Docker() {
		failed = append(failed, &failure.Error{Text: "exit status 1", Code: 1, Local: true})
	}
	return failed.Err()
}

// happened records what was done to a network, with docker's attributes and
// extra, which are pairs of key and value.
func happened(st *storage.Store, n *network.Network, action string, extra ...string) {
	attributes := map[string]string{"name": n.Name, "type": n.Driver}
	for i := 0; i+1 < len(extra); i += 2 {
		attributes[extra[i]] = extra[i+1]
	}
	event.Append(st.Events(), event.Event{Type: event.Network, Action: action, ID: n.ID, Attributes: attributes})
}

// PruneCommand removes the networks that no running container is on.
func PruneCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "prune",
		Usage:     "Remove all unused networks",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Usage: `Provide filter values (e.g. "until=<timestamp>")`}, "filter"),
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Do not prompt for confirmation"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "label", "label!", "until")
			if err != nil {
				return err
			}
			if !c.Bool("force") && !confirm.Ask(e, "WARNING! This will remove all custom networks not used by at least one container.") {
				return nil
			}
			return runPrune(c.Context, e, f)
		},
	}
}

func runPrune(ctx context.Context, e *env.Env, f flags.Filters) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	names, err := Prune(ctx, e, st, f)
	if len(names) > 0 {
		fmt.Fprintf(e.Out, "Deleted Networks:\n%s\n\n", strings.Join(names, "\n"))
	}
	return err
}

// Prune removes the networks of the user's own that no running container is on
// and that f lets go, and returns their names. It goes on after a failure, which
// it returns.
func Prune(ctx context.Context, e *env.Env, st *storage.Store, f flags.Filters) (names []string, err error) {
	until, err := f.Until(e.Clock())
	if err != nil {
		return nil, failure.Engine(err, "%v", err)
	}
	all, failed := network.List(st)
	for _, n := range all {
		if network.Builtin(n.Name) || !until.IsZero() && n.Created.After(until) || !f.Labels(n.Labels) || f.Spares(n.Labels) {
			continue
		}
		_, err := runtime.Remove(ctx, st, n.ID)
		var used *runtime.InUseError
		switch {
		case err == nil:
			happened(st, n, "destroy")
			names = append(names, n.Name)
		case !errors.As(err, &used) && !errors.Is(err, network.ErrNotFound):
			failed = errors.Join(failed, err)
		}
	}
	event.Append(st.Events(), event.Pruned(event.Network, 0))
	return names, failed
}
