package runtime

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/terminal"
	"skiff/runtime/bundle"
)

// execOptions are what the user asked for; empty is the container's own.
type execOptions struct {
	ID            string
	Args          []string
	File          string // a process.json; what else is given stands above it
	Cwd           string
	Env           []string
	Caps          []string
	User          *rspec.User
	AddGroups     []uint32
	Terminal      bool
	NoNewPrivs    bool
	AppArmor      string
	Detach        bool
	PIDFile       string
	ConsoleSocket string
}

func execCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "exec",
		Usage:     "Execute another process in a container",
		ArgsUsage: "[OPTIONS] ID [COMMAND [ARG...]]",
		Flags: []cli.Flag{
			&cli.UintFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "One more group"},
			&cli.StringFlag{Name: "apparmor", Usage: "AppArmor profile"},
			&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "One more capability"},
			&cli.StringFlag{Name: "console-socket", Usage: "Unix socket that gets the master of the process's terminal"},
			&cli.StringFlag{Name: "cwd", Usage: "Working directory in the container"},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "Do not wait"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "Set environment variables"},
			&cli.BoolFlag{Name: "no-new-privs", Usage: "Let no program gain privileges"},
			&cli.StringFlag{Name: "pid-file", Usage: "Write the process's id to this file"},
			&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "Read the process from this file (process.json)"},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "Give it a terminal"},
			&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: `User id ("<uid>[:<gid>]")`},
		},
		Action: action(e, 1, func(c *cli.Context, g *globals) error {
			o, err := parseExec(c)
			if err != nil {
				return err
			}
			return runExec(c.Context, e, g, o)
		}),
	}
}

func parseExec(c *cli.Context) (*execOptions, error) {
	o := &execOptions{
		ID: c.Args().First(), Args: c.Args().Tail(), File: c.String("process"), Cwd: c.String("cwd"),
		Env: c.StringSlice("env"), Caps: c.StringSlice("cap"), Terminal: c.Bool("tty"), NoNewPrivs: c.Bool("no-new-privs"),
		AppArmor: c.String("apparmor"), Detach: c.Bool("detach"), PIDFile: c.String("pid-file"),
		ConsoleSocket: c.String("console-socket"),
	}
	if c.IsSet("additional-gids") {
		o.AddGroups = []uint32{uint32(c.Uint("additional-gids"))}
	}
	for i, name := range o.Caps {
		name = "CAP_" + strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if !flags.KnownCapability(name) {
			return nil, &failure.Value{Flag: "cap", Value: o.Caps[i], Err: fmt.Errorf("unknown capability")}
		}
		o.Caps[i] = name
	}
	if len(o.Args) == 0 && o.File == "" {
		return nil, &failure.Count{Text: "requires at least 2 arguments"}
	}
	var err error
	if u := c.String("user"); u != "" {
		if o.User, err = parseUser(u); err != nil {
			return nil, &failure.Value{Flag: "user", Value: u, Err: err}
		}
	}
	return o, nil
}

// parseUser reads "uid" or "uid:gid", numbers as in a configuration.
func parseUser(s string) (*rspec.User, error) {
	uid, gid, hasGroup := strings.Cut(s, ":")
	u := &rspec.User{}
	n, err := strconv.ParseUint(uid, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("want a number: %q", uid)
	}
	u.UID = uint32(n)
	if !hasGroup {
		return u, nil
	}
	if n, err = strconv.ParseUint(gid, 10, 31); err != nil {
		return nil, fmt.Errorf("want a number: %q", gid)
	}
	u.GID = uint32(n)
	return u, nil
}

func runExec(ctx context.Context, e *env.Env, g *globals, o *execOptions) error {
	c, err := g.Root.Open(o.ID)
	if err != nil {
		return err
	}
	if err := c.EnterUser(); err != nil {
		return err
	}
	p, err := o.process(c)
	if err != nil {
		return err
	}
	if p.Terminal && o.Detach && o.ConsoleSocket == "" {
		return failure.Local("cannot allocate tty if runc will detach without setting console socket")
	}
	dir, err := cache(e, g)
	if err != nil {
		return err
	}
	options := &bundle.ExecOptions{Cache: dir, Stdio: [3]*os.File{os.Stdin, os.Stdout, os.Stderr}}
	if p.Terminal && o.ConsoleSocket == "" {
		options.Rows, options.Cols = env.Size(e.Out)
	}
	pid, console, err := c.Exec(p, options)
	if err != nil {
		return err
	}
	err = bundle.WritePIDFile(o.PIDFile, pid)
	if err == nil && console != nil && o.ConsoleSocket != "" {
		err = bundle.SendConsole(o.ConsoleSocket, console)
		console.Close()
		console = nil
	}
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it is ours and not yet waited for
		return err
	}
	if o.Detach {
		return nil
	}
	relay, err := newRelay(e, console)
	if err != nil {
		return err
	}
	defer relay.close()
	e.TakeSignals(ctx)
	defer terminal.ProxySignals(func(s syscall.Signal) { _ = syscall.Kill(pid, s) })()
	return ended(wait(pid))
}

// process is the container's own, or the one of the file, with what was asked
// for instead.
func (o *execOptions) process(c *bundle.Container) (p *rspec.Process, err error) {
	if o.File != "" {
		if p, err = bundle.ReadProcess(o.File); err != nil {
			return nil, err
		}
	} else {
		if p, err = c.Process(); err != nil {
			return nil, err
		}
		// Those are the first process's own.
		p.Terminal, p.OOMScoreAdj = false, nil
	}
	if len(o.Args) > 0 {
		p.Args = o.Args
	}
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	if o.User != nil {
		p.User.UID, p.User.GID = o.User.UID, o.User.GID
	}
	if o.AppArmor != "" {
		p.ApparmorProfile = o.AppArmor
	}
	p.User.AdditionalGids = append(p.User.AdditionalGids, o.AddGroups...)
	p.Env = flags.Merge(p.Env, o.Env)
	p.Terminal = p.Terminal || o.Terminal
	p.NoNewPrivileges = p.NoNewPrivileges || o.NoNewPrivs
	if len(o.Caps) > 0 {
		if p.Capabilities == nil {
			p.Capabilities = &rspec.LinuxCapabilities{}
		}
		s := p.Capabilities
		for _, set := range []*[]string{&s.Bounding, &s.Effective, &s.Permitted} {
			*set = append(*set, o.Caps...)
		}
	}
	return p, nil
}
