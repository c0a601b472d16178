package network

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/network"
)

// ConnectCommand puts a container on one more network.
func ConnectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "connect",
		Usage:     "Connect a container to a network",
		ArgsUsage: "[OPTIONS] NETWORK CONTAINER",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "alias", Usage: "Add network-scoped alias for the container"}, "strings"),
			flags.TypedList(&cli.StringSliceFlag{Name: "driver-opt", Usage: "driver options for the network"}, "strings"),
			&cli.IntFlag{Name: "gw-priority", Usage: "Highest gw-priority provides the default gateway. Accepts positive and negative values."},
			&cli.StringFlag{Name: "ip", Usage: `IPv4 address (e.g., "172.30.100.104")`},
			&cli.StringFlag{Name: "ip6", Usage: `IPv6 address (e.g., "2001:db8::33")`},
			&cli.StringSliceFlag{Name: "link", Usage: "Add link to another container"},
			flags.TypedList(&cli.StringSliceFlag{Name: "link-local-ip", Usage: "Add a link-local address for the container"}, "strings"),
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			want, warnings, err := parseConnect(c)
			if err != nil {
				return err
			}
			for _, w := range warnings {
				fmt.Fprintln(e.Err, "WARNING: "+w)
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			n, target, err := both(st, want.Network, c.Args().Get(1))
			if err != nil {
				return err
			}
			if n.Driver != "bridge" {
				return failure.Engine(nil, "cannot connect container to %s network - container must be created in %s network mode", n.Name, n.Name)
			}
			if n.Name == network.Bridge && len(want.Aliases) > 0 {
				return failure.Engine(nil, "network-scoped aliases are only supported for user-defined networks")
			}
			if err := lifecycle.Connect(c.Context, target, want); err != nil {
				return err
			}
			wired(st, n, target, "connect")
			return nil
		},
	}
}

func parseConnect(c *cli.Context) (want container.Endpoint, warnings []string, err error) {
	want = container.Endpoint{Network: c.Args().First(), GwPriority: c.Int("gw-priority")}
	for _, a := range c.StringSlice("link-local-ip") {
		if err := flags.AddLinkLocal(&want, a); err != nil {
			return want, nil, err
		}
	}
	for _, o := range c.StringSlice("driver-opt") {
		w, err := flags.AddDriverOption(&want, o)
		if err != nil {
			return want, nil, err
		}
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	for _, a := range c.StringSlice("alias") {
		if err := flags.AddAlias(&want, a); err != nil {
			return want, nil, err
		}
	}
	for _, f := range []struct {
		name string
		six  bool
	}{{"ip", false}, {"ip6", true}} {
		if !c.IsSet(f.name) {
			continue
		}
		if err := flags.SetEndpointAddress(&want, c.String(f.name), f.six); err != nil {
			return want, nil, err
		}
	}
	for _, l := range c.StringSlice("link") {
		if !strings.Contains(l, ":") {
			l += ":" + l
		}
		want.Links = append(want.Links, l)
	}
	return want, warnings, nil
}

// DisconnectCommand takes a container off a network.
func DisconnectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "disconnect",
		Usage:     "Disconnect a container from a network",
		ArgsUsage: "[OPTIONS] NETWORK CONTAINER",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "Force the container to disconnect from a network"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 2); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			n, target, err := both(st, c.Args().First(), c.Args().Get(1))
			if errors.Is(err, container.ErrNotFound) && c.Bool("force") {
				return failure.Engine(err, "endpoint %s not found", c.Args().Get(1))
			}
			if err != nil {
				return err
			}
			if err := lifecycle.Disconnect(c.Context, target, n); err != nil {
				return err
			}
			wired(st, n, target, "disconnect")
			return nil
		},
	}
}

// wired records that a running container came to a network or left it. Of one
// that does not run, its start and end tell.
func wired(st *storage.Store, n *network.Network, c *container.Container, action string) {
	if s, err := c.Status(); err == nil && s.Running() {
		happened(st, n, action, "container", c.Config.ID)
	}
}

// both finds a network and a container, with docker's words for what is absent.
func both(st *storage.Store, net, ref string) (*network.Network, *container.Container, error) {
	n, err := find(st, net)
	if err != nil {
		return nil, nil, err
	}
	c, err := container.Find(st, ref)
	if errors.Is(err, container.ErrNotFound) {
		return nil, nil, failure.Engine(err, "No such container: %s", ref)
	}
	return n, c, err
}
