package systemd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/pod"
	"skiff/commands/system"
	"skiff/commands/systemd/unit"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/atomicfile"
	"skiff/storage/container"
)

// generateOptions are podman's.
type generateOptions struct {
	Ref                                   string
	New, Files, ByName, NoHeader          bool
	JSON                                  bool
	ContainerPrefix, PodPrefix, Separator string
	Restart                               string // empty: on-failure, or with New what the container says
	RestartSec, StartTimeout              int    // seconds, 0 leaves them out
	StopTimeout                           int    // seconds, -1 the container's
	After, Requires, Wants, Env           []string
}

// GenerateCommand is `generate systemd`.
func GenerateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "systemd", Usage: "Print systemd units for a container or a pod", ArgsUsage: "[OPTIONS] CONTAINER|POD",
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "after", Usage: "Add dependencies order to the generated unit file"},
			&cli.StringFlag{Name: "container-prefix", Value: "container", Usage: "Systemd unit name prefix for containers"},
			&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "Set environment variables to the systemd unit files"},
			&cli.BoolFlag{Name: "files", Aliases: []string{"f"}, Usage: "Generate .service files instead of printing to stdout"},
			&cli.StringFlag{Name: "format", Usage: "Print the created units in specified format (json)"},
			&cli.BoolFlag{Name: "name", Aliases: []string{"n"}, Usage: "Use container/pod names instead of IDs"},
			&cli.BoolFlag{Name: "new", Usage: "Create a new container or pod instead of starting an existing one"},
			&cli.BoolFlag{Name: "no-header", Usage: "Skip header generation"},
			&cli.StringFlag{Name: "pod-prefix", Value: "pod", Usage: "Systemd unit name prefix for pods"},
			&cli.StringSliceFlag{Name: "requires", Usage: "Similar to wants, but declares stronger requirement dependencies"},
			&cli.StringFlag{Name: "restart-policy", Value: "on-failure", Usage: "Systemd restart-policy"},
			&cli.IntFlag{Name: "restart-sec", Usage: "Systemd restart-sec"},
			&cli.StringFlag{Name: "separator", Value: "-", Usage: "Systemd unit name separator between name/id and prefix"},
			&cli.IntFlag{Name: "start-timeout", Usage: "Start timeout override"},
			&cli.IntFlag{Name: "stop-timeout", Aliases: []string{"time", "t"}, Value: -1, Usage: "Stop timeout override (default: the container's)"},
			&cli.StringSliceFlag{Name: "wants", Usage: "Add (weak) requirement dependencies to the generated unit file"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseGenerate(c)
			if err != nil {
				return err
			}
			return runGenerate(e, o)
		},
	}
}

// restartPolicies are those of systemd.service(5).
var restartPolicies = []string{"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"}

func parseGenerate(c *cli.Context) (o generateOptions, err error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return o, err
	}
	o = generateOptions{
		Ref: c.Args().First(), New: c.Bool("new"), Files: c.Bool("files"), ByName: c.Bool("name"), NoHeader: c.Bool("no-header"),
		ContainerPrefix: c.String("container-prefix"), PodPrefix: c.String("pod-prefix"), Separator: c.String("separator"),
		RestartSec: c.Int("restart-sec"), StartTimeout: c.Int("start-timeout"), StopTimeout: c.Int("stop-timeout"),
		After: c.StringSlice("after"), Requires: c.StringSlice("requires"), Wants: c.StringSlice("wants"), Env: c.StringSlice("env"),
	}
	if c.IsSet("restart-policy") {
		if o.Restart = c.String("restart-policy"); !slices.Contains(restartPolicies, o.Restart) {
			return o, failure.Local("%s is not a valid restart policy", o.Restart)
		}
	}
	switch format := c.String("format"); format {
	case "":
	case "json":
		o.JSON = true
	default:
		return o, failure.Local("unsupported format %q: json is supported", format)
	}
	for _, e := range o.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsAny(e, "\n\x00") {
			return o, &failure.Value{Flag: "env", Value: e, Err: errors.New("must be formatted as key=value")}
		}
	}
	for flag, names := range map[string][]string{
		"after": o.After, "requires": o.Requires, "wants": o.Wants, "separator": {o.Separator},
		"container-prefix": {o.ContainerPrefix}, "pod-prefix": {o.PodPrefix},
	} {
		for _, name := range names {
			if strings.ContainsAny(name, "/ \t\n\x00") {
				return o, &failure.Value{Flag: flag, Value: name, Err: errors.New("no unit's name has that in it")}
			}
		}
	}
	if o.RestartSec < 0 || o.StartTimeout < 0 {
		return o, failure.Local("--restart-sec and --start-timeout are numbers of seconds")
	}
	return o, nil
}

// service is a unit that is generated.
type service struct {
	name string // without .service
	text string
}

func runGenerate(e *env.Env, o generateOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	g := &unitMaker{world: e, generateOptions: o, st: st, program: program()}
	var services []service
	if infra, err := ccontainer.FindPod(st, o.Ref); err == nil {
		services, err = g.pod(infra)
		if err != nil {
			return err
		}
	} else {
		c, err := container.Find(st, o.Ref)
		switch {
		case errors.Is(err, container.ErrNotFound):
			return failure.Engine(err, "no container or pod with name or ID %q found", o.Ref)
		case err != nil:
			return err
		case c.Config.Infra != nil:
			return failure.Engine(nil, "container %s is what pod %s is made of: generate that", o.Ref, c.Config.Infra.Name)
		}
		services = []service{g.container(c, "")}
	}
	return g.print(services)
}

// program is what units call.
func program() string {
	if path, err := os.Executable(); err == nil {
		return path
	}
	return "/usr/local/bin/skiff"
}

// print shows the units, or writes them here.
func (g *unitMaker) print(services []service) error {
	texts := map[string]string{}
	for i, s := range services {
		file := s.name + ".service"
		if g.Files {
			dir, err := os.Getwd()
			if err != nil {
				return err
			}
			path := filepath.Join(dir, file)
			if err := atomicfile.Write(path, []byte(s.text), 0o644, atomicfile.Durable); err != nil {
				return failure.Local("%v", err)
			}
			s.text = path
			if !g.JSON {
				s.text += "\n"
			}
		} else if i > 0 && !g.JSON {
			s.text = "\n" + s.text
		}
		texts[s.name] = s.text
		if g.JSON {
			continue
		}
		if _, err := fmt.Fprint(g.world.Out, s.text); err != nil {
			return err
		}
	}
	if !g.JSON {
		return nil
	}
	text, err := json.MarshalIndent(texts, "", " ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.world.Out, string(text))
	return err
}

// unitMaker writes units about containers that exist.
type unitMaker struct {
	generateOptions
	world   *env.Env
	st      *storage.Store
	program string
}

// command is a command line of skiff's in which nothing is expanded.
func (g *unitMaker) command(args ...string) string {
	words := []string{unit.Literal(g.program)}
	for _, a := range args {
		words = append(words, unit.Literal(a))
	}
	return unit.QuoteAll(words)
}

func (g *unitMaker) serviceName(prefix string, cfg *container.Config) (name, ref string) {
	ref = cfg.ID
	if g.ByName {
		ref = cfg.Name
	}
	if cfg.Infra != nil && g.ByName {
		ref = cfg.Infra.Name
	}
	if prefix == "" {
		return ref, ref
	}
	return prefix + g.Separator + ref, ref
}

// container is the unit of one container; bound is the service of its pod.
func (g *unitMaker) container(c *container.Container, bound string) service {
	cfg := c.Config
	name, ref := g.serviceName(g.ContainerPrefix, cfg)
	u := &unitText{name: name}
	u.unit = append(u.unit, g.order(cfg)...)
	if bound != "" {
		u.unit = append(u.unit, "BindsTo="+bound+".service", "After="+bound+".service")
	}
	timeout := cmp.Or(g.stopTimeout(cfg), 0)
	restart := "on-failure"
	line := ccontainer.LineOf(g.st, cfg)
	if p := cfg.Host.RestartPolicy; g.New {
		for _, lost := range line.Lost {
			fmt.Fprintf(g.world.Err, "WARNING: %s is not in the unit: %s\n", cfg.Name, lost)
		}
		args, more := runFlags(line)
		for _, note := range more {
			fmt.Fprintf(g.world.Err, "WARNING: %s: %s\n", cfg.Name, note)
		}
		restart = cmp.Or(serviceRestart(p), restart)
		if p.MaximumRetryCount > 0 {
			u.unit = append(u.unit, "StartLimitBurst="+strconv.Itoa(p.MaximumRetryCount))
		}
		args = append([]string{"run", "--name=" + cfg.Name, "--replace", "--rm", "--cgroups=split"}, args...)
		u.service = append(u.service, "ExecStart="+g.command(append(append(args, line.Image), line.Args...)...))
		u.service = append(u.service, "ExecStop=-"+g.command("stop", "-t", strconv.Itoa(timeout), cfg.Name),
			"ExecStopPost=-"+g.command("rm", "-f", "-v", cfg.Name))
	} else {
		if p.Name != "" && p.Name != "no" {
			fmt.Fprintf(g.world.Err, "WARNING: container %s has the restart policy %s, which is beside systemd's: run `skiff update --restart no %s`\n", cfg.Name, p.Name, cfg.Name)
		}
		u.service = append(u.service, "ExecStart="+g.command("start", "--attach", ref),
			"ExecStop=-"+g.command("stop", "-t", strconv.Itoa(timeout), ref),
			"ExecStopPost=-"+g.command("stop", "-t", strconv.Itoa(timeout), ref))
	}
	return service{name, g.finish(u, cmp.Or(g.Restart, restart), timeout)}
}

// unitFlags are the flags of a container in a unit, which is replaced and removed by
// itself, restarted by systemd and waited for; notes say what that changes.
func unitFlags(line ccontainer.Line) (list []ccontainer.Flag, notes []string) {
	tty := slices.ContainsFunc(line.Flags, func(f ccontainer.Flag) bool { return f.Name == "tty" })
	for _, f := range line.Flags {
		switch f.Name {
		case "restart", "rm":
			continue
		case "cgroups":
			if f.Value != "disabled" {
				continue // a group of its own below the unit's
			}
		case "sdnotify":
			if f.Value == "ignore" {
				continue // a service must know when it has started
			}
		case "interactive":
			notes = append(notes, "its standard input is at its end from the start: nobody types into a unit")
			if tty {
				continue // it would ask for a terminal
			}
		}
		list = append(list, f)
	}
	return list, notes
}

func runFlags(line ccontainer.Line) (args, notes []string) {
	list, notes := unitFlags(line)
	for _, f := range list {
		args = append(args, f.String())
	}
	return args, notes
}

// storeEnvironment is where the store is, for a unit that does not see the user's
// variables.
func storeEnvironment(e *env.Env) []string {
	if dir := e.Getenv("XDG_DATA_HOME"); dir != "" {
		return []string{"XDG_DATA_HOME=" + dir}
	}
	return nil
}

// serviceRestart is a policy in systemd's words.
func serviceRestart(p container.RestartPolicy) string {
	switch p.Name {
	case "always", "unless-stopped":
		return "always"
	case "on-failure":
		return "on-failure"
	}
	return ""
}

func (g *unitMaker) stopTimeout(cfg *container.Config) int {
	switch own := cfg.Config.StopTimeout; {
	case g.StopTimeout >= 0:
		return g.StopTimeout
	case own != nil:
		return *own
	}
	return 10
}

// order are the lines about what comes before.
func (g *unitMaker) order(cfg *container.Config) (lines []string) {
	for _, d := range []struct {
		key   string
		names []string
	}{{"Wants", g.Wants}, {"After", g.After}, {"Requires", g.Requires}} {
		if len(d.names) > 0 {
			lines = append(lines, d.key+"="+strings.Join(d.names, " "))
		}
	}
	lines = append(lines, "RequiresMountsFor="+unit.Quote(unit.Directory(g.st.Dir)))
	for _, m := range cfg.Mounts {
		if m.Type == "bind" {
			lines = append(lines, "RequiresMountsFor="+unit.Quote(unit.Directory(m.Source)))
		}
	}
	return lines
}

// pod is the unit of a pod and those of its containers.
func (g *unitMaker) pod(infra *container.Container) ([]service, error) {
	cfg := infra.Config
	members, err := pod.Members(g.st, cfg.Infra.Name)
	if err != nil {
		return nil, err
	}
	name, ref := g.serviceName(g.PodPrefix, cfg)
	u := &unitText{name: name}
	u.unit = g.order(cfg)
	var services []service
	for _, m := range members {
		s := g.container(m, name)
		services = append(services, s)
		u.unit = append(u.unit, "Wants="+s.name+".service", "Before="+s.name+".service")
	}
	timeout := g.stopTimeout(cfg)
	attach := ref
	if g.ByName {
		attach = cfg.Name
	}
	stop := func(key string, args ...string) {
		u.service = append(u.service, key+"=-"+g.command(append([]string{"pod"}, args...)...))
	}
	if g.New {
		line := ccontainer.LineOf(g.st, cfg)
		share := strings.Join(cfg.Infra.Share, ",")
		args := []string{"pod", "create", "--name=" + cfg.Infra.Name, "--replace", "--share=" + cmp.Or(share, "none")}
		for _, f := range line.Flags {
			if !pod.Takes(f.Name) {
				line.Lost = append(line.Lost, f.String())
				continue
			}
			args = append(args, f.String())
		}
		for _, lost := range line.Lost {
			fmt.Fprintf(g.world.Err, "WARNING: pod %s is not in the unit: %s\n", cfg.Infra.Name, lost)
		}
		u.service = append(u.service, "ExecStartPre="+g.command(args...), "ExecStart="+g.command("start", "--attach", cfg.Name))
		stop("ExecStop", "stop", "--ignore", "-t", strconv.Itoa(timeout), cfg.Infra.Name)
		stop("ExecStopPost", "rm", "--ignore", "-f", cfg.Infra.Name)
	} else {
		u.service = append(u.service, "ExecStart="+g.command("start", "--attach", attach))
		stop("ExecStop", "stop", "--ignore", "-t", strconv.Itoa(timeout), ref)
		stop("ExecStopPost", "stop", "--ignore", "-t", strconv.Itoa(timeout), ref)
	}
	return append([]service{{name, g.finish(u, cmp.Or(g.Restart, "on-failure"), timeout)}}, services...), nil
}

// unitText is a unit on its way: lines of its sections.
type unitText struct {
	name          string
	unit, service []string
}

// stopReserve is podman's: systemd's patience beyond the container's grace time.
const stopReserve = 60

func (g *unitMaker) finish(u *unitText, restart string, timeout int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s.service\n", u.name)
	if !g.NoHeader {
		fmt.Fprintf(&b, "# autogenerated by skiff %s\n# %s\n", system.Version, g.world.Clock().Format(time.UnixDate))
	}
	b.WriteString("\n[Unit]\n")
	fmt.Fprintf(&b, "Description=Skiff %s.service\n", unit.Directory(u.name))
	if !rootless.Rootless() {
		b.WriteString("Wants=network-online.target\nAfter=network-online.target\n")
	}
	for _, line := range u.unit {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n[Service]\nEnvironment=" + ccontainer.UnitLabel + "=%n\n")
	for _, e := range append(storeEnvironment(g.world), g.Env...) {
		b.WriteString("Environment=" + unit.Quote(unit.Directory(e)) + "\n")
	}
	b.WriteString("Restart=" + restart + "\n")
	if g.RestartSec > 0 {
		fmt.Fprintf(&b, "RestartSec=%d\n", g.RestartSec)
	}
	if g.StartTimeout > 0 {
		fmt.Fprintf(&b, "TimeoutStartSec=%d\n", g.StartTimeout)
	}
	if timeout >= 0 {
		fmt.Fprintf(&b, "TimeoutStopSec=%d\n", timeout+stopReserve)
	} else {
		b.WriteString("TimeoutStopSec=infinity\n")
	}
	for _, line := range u.service {
		b.WriteString(line + "\n")
	}
	b.WriteString("Type=notify\n")
	b.WriteString("KillMode=mixed\nDelegate=yes\n\n[Install]\nWantedBy=default.target\n")
	return b.String()
}
