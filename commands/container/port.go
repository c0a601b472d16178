package container

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/network"
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
	status, err := c.Status()
	if err != nil {
		return err
	}
	a := network.Attachment(c, status)
	published := network.Published(&a)
	if port == "" {
		return printPorts(e, published)
	}
	if _, err := flags.ParsePort(port); err != nil {
		number, _, _ := strings.Cut(port, "/")
		if _, bad := strconv.ParseUint(number, 10, 16); bad != nil {
			err = bad
		}
		return failure.Local("Error: invalid port (%s): %v", port, err)
	}
	bindings := published[withProto(strings.ToLower(port))]
	if len(bindings) == 0 {
		text := "no public port '%s' published for %s"
		if e.Docker() {
			text = "Error: No public port '%s' published for %s"
		}
		return failure.Local(text, port, ref)
	}
	for _, b := range bindings {
		if _, err := fmt.Fprintln(e.Out, net.JoinHostPort(b.HostIP, b.HostPort)); err != nil {
			return err
		}
	}
	return nil
}

// printPorts lists all published ports, by number.
func printPorts(e *env.Env, published map[string][]container.PortBinding) error {
	for _, p := range slices.SortedFunc(maps.Keys(published), network.ComparePorts) {
		for _, b := range published[p] {
			if _, err := fmt.Fprintf(e.Out, "%s -> %s\n", p, net.JoinHostPort(b.HostIP, b.HostPort)); err != nil {
				return err
			}
		}
	}
	return nil
}
