package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
)

// passed are the flags that a pod's infra container gets as they are.
var passed = []string{
	"add-host", "dns", "dns-option", "dns-search", "domainname", "gidmap", "ip", "ip6", "label", "label-file", "mac-address", "network",
	"network-alias", "publish", "security-opt", "shm-size", "sysctl", "uidmap", "userns",
}

// Takes reports whether pod create has a flag of create, of this name.
func Takes(flag string) bool { return flag == "hostname" || slices.Contains(passed, flag) }

func createFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "gidmap", Usage: "Map of group ids"},
		&cli.BoolFlag{Name: "infra", Value: true, Hidden: true, Usage: "Every pod has an infra container; it needs no image"},
		&cli.StringFlag{Name: "infra-name", Hidden: true, Usage: "Refused: the name is the pod's with -infra behind"},
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "Set metadata on the pod"},
		&cli.StringSliceFlag{Name: "label-file", Usage: "Read in a line delimited file of labels"},
		&cli.StringFlag{Name: "name", Aliases: []string{"n"}, Usage: "Assign a name to the pod"},
		&cli.StringFlag{Name: "pod-id-file", Usage: "Write the pod ID to the file"},
		&cli.BoolFlag{Name: "replace", Usage: "Remove a pod of the same name first"},
		&cli.StringSliceFlag{Name: "security-opt", Usage: "Security Options"},
		&cli.StringFlag{Name: "share", Value: "ipc,net,uts", Usage: `Namespaces that the containers share ("ipc", "net", "pid", "uts"; "none"; with + in front beside those by default)`},
		&cli.StringFlag{Name: "shm-size", Usage: "Size of /dev/shm"},
		&cli.StringSliceFlag{Name: "sysctl", Usage: "Sysctl options"},
		&cli.StringSliceFlag{Name: "uidmap", Usage: "Map of user ids"},
		&cli.StringFlag{Name: "userns", Usage: "User namespaces of the containers (host, keep-id[:uid=UID,gid=GID], nomap, auto[:size=N])"},
	}, networkFlags()...)
}

// networkFlags are those of containers that make sense for a pod.
func networkFlags() []cli.Flag {
	return slices.DeleteFunc(flags.NetworkFlags(), func(f cli.Flag) bool {
		return f.Names()[0] != "hostname" && !slices.Contains(passed, f.Names()[0])
	})
}

func createCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "Create a new empty pod", ArgsUsage: "[OPTIONS] [NAME]", Flags: createFlags(),
		Action: func(c *cli.Context) error {
			name, args, err := parseCreate(c)
			if err != nil {
				return err
			}
			infra := &container.Infra{Name: name}
			if infra.Share, err = parseShare(c.String("share")); err != nil {
				return err
			}
			return runCreate(c.Context, e, infra, args, c.Bool("replace"), c.String("pod-id-file"))
		},
	}
}

// parseCreate returns the name and the flags for the infra container.
func parseCreate(c *cli.Context) (name string, args []string, err error) {
	if c.Args().Len() > 1 {
		return "", nil, failure.Local("pod create accepts at most one name")
	}
	if !c.Bool("infra") || c.IsSet("infra-name") {
		return "", nil, failure.Local("--infra=false and --infra-name are not supported: a pod is its infra container")
	}
	name = c.String("name")
	if typed := c.Args().First(); typed != "" {
		if name != "" {
			return "", nil, failure.Local("the name of the pod is given twice: as --name and as an argument")
		}
		name = typed
	}
	if name == "" {
		name = ccontainer.RandomName()
	}
	for _, flag := range passed {
		for _, value := range values(c, flag) {
			args = append(args, "--"+flag+"="+value)
		}
	}
	hostname := c.String("hostname")
	if mode := c.String("network"); hostname == "" && mode != "host" && flags.ValidHostname(name) {
		hostname = name
	}
	if hostname != "" {
		args = append(args, "--hostname="+hostname)
	}
	return name, args, nil
}

// values are what was given for a flag, once or several times.
func values(c *cli.Context, flag string) []string {
	switch v := c.Value(flag).(type) {
	case cli.StringSlice:
		return v.Value()
	case []string:
		return v
	case string:
		if v != "" {
			return []string{v}
		}
	}
	return nil
}

// parseShare reads --share.
func parseShare(text string) ([]string, error) {
	var share []string
	more, added := strings.CutPrefix(text, "+")
	if added {
		share, text = []string{"ipc", "net", "uts"}, more
	}
	for _, ns := range strings.Split(text, ",") {
		switch ns = strings.TrimSpace(ns); ns {
		case "", "none":
		case "ipc", "net", "pid", "uts":
			if !slices.Contains(share, ns) {
				share = append(share, ns)
			}
		case "cgroup":
			return nil, failure.Local("sharing the cgroup namespace is not supported: containers have control groups of their own")
		default:
			return nil, failure.Local("invalid kernel namespace to share: %s. Options are: ipc, net, pid, uts or none", ns)
		}
	}
	slices.Sort(share)
	return share, nil
}

func runCreate(ctx context.Context, e *env.Env, infra *container.Infra, args []string, replace bool, idFile string) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	if idFile != "" {
		if _, err := os.Lstat(idFile); err == nil {
			return failure.Local("pod ID file exists. Ensure another pod is not using it or delete %s", idFile)
		}
	}
	made, err := Create(ctx, e, st, infra, args, replace)
	if err != nil {
		return err
	}
	if idFile != "" {
		if err := os.WriteFile(idFile, []byte(made.Config.ID), 0o644); err != nil {
			return errors.Join(fmt.Errorf("write the pod ID file: %w", err), remove(ctx, &pod{infra: made}, true))
		}
	}
	_, err = fmt.Fprintln(e.Out, made.Config.ID)
	return err
}

// Create makes a pod; args are flags of `create` for its infra container. With
// replace a pod of that name gives way.
func Create(ctx context.Context, e *env.Env, st *storage.Store, infra *container.Infra, args []string, replace bool) (*container.Container, error) {
	if replace {
		old, err := find(st, infra.Name)
		if err == nil {
			err = remove(ctx, old, true)
		}
		if err != nil && !errors.Is(err, container.ErrNotFound) {
			return nil, err
		}
	}
	made, err := ccontainer.MakePod(ctx, e, infra, args)
	if errors.Is(err, container.ErrNameTaken) {
		return nil, failure.Engine(err, "name %q is in use: pod already exists", infra.Name)
	}
	return made, err
}
