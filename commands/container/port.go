package container

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/container"
)

// PortCommand tells where a running container's ports are published.
func PortCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "port",
		Usage:     "List port mappings or a specific mapping for the container",
		ArgsUsage: "CONTAINER [PRIVATE_PORT[/PROTO]]",
		Action: func(c *cli.Context) error {
			if err := flags.RangeArgs(c, 1, 2); err != nil {
				return err
			}
			return runPort(e, c.Args().Get(0), c.Args().Get(1))
		},
	}
}

func runPort(e *env.Env, ref, port string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, ref)
	if err != nil {
		return err
	}
	published := published(c)
	if port == "" {
		var lines []string
		for p, bindings := range published {
			for _, b := range bindings {
				lines = append(lines, p+" -> "+net.JoinHostPort(b.HostIP, b.HostPort))
			}
		}
		slices.Sort(lines)
		for _, l := range lines {
			if _, err := fmt.Fprintln(e.Out, l); err != nil {
				return err
			}
		}
		return nil
	}
	bindings := published[withProto(strings.ToLower(port))]
	if len(bindings) == 0 {
		return failure.Local("Error: No public port '%s' published for %s", withProto(port), ref)
	}
	for _, b := range bindings {
		if _, err := fmt.Fprintln(e.Out, net.JoinHostPort(b.HostIP, b.HostPort)); err != nil {
			return err
		}
	}
	return nil
}

// published are the ports that somebody forwards: none yet, publishing comes
// with networks of our own.
func published(*container.Container) map[string][]container.PortBinding { return nil }
