package runtime

import (
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"strconv"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/runtime/bundle"
)

// state is the document of state and list: the specification's, and the owner's
// name as runc tells it.
type state struct {
	bundle.State
	Owner string `json:"owner"`
}

func stateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "state",
		Usage:     "Print the state of a container",
		ArgsUsage: "ID",
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			ctr, err := g.Root.Open(c.Args().First())
			if err != nil {
				return err
			}
			s, err := ctr.State()
			if err != nil {
				return err
			}
			return printState(e.Out, s)
		}),
	}
}

func printState(w io.Writer, s bundle.State) error {
	data, err := json.MarshalIndent(withOwner(s), "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(data))
	return err
}

func withOwner(s bundle.State) state {
	id := strconv.Itoa(s.Owner)
	if u, err := user.LookupId(id); err == nil {
		return state{s, u.Username}
	}
	return state{s, id}
}
