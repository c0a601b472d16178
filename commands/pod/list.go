package pod

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/container"
)

// layout has podman's columns.
var layout = format.List{
	Headings: [][2]string{
		{"ID", "POD ID"},
		{"Id", "POD ID"},
		{"Name", "NAME"},
		{"Status", "STATUS"},
		{"Ready", "READY"},
		{"Created", "CREATED"},
		{"InfraID", "INFRA ID"},
		{"NumberOfContainers", "# OF CONTAINERS"},
		{"ContainerIds", "IDS"},
		{"ContainerNames", "NAMES"},
		{"ContainerStatuses", "STATUS"},
		{"Labels", "LABELS"},
		{"Networks", "NETWORKS"},
		{"Ports", "PORTS"},
	},
	Columns: []string{"ID", "Name", "Status", "Created", "InfraID", "NumberOfContainers"},
	Quiet:   "ID",
}

func listCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "ps", Aliases: []string{"ls", "list"}, Usage: "List pods", ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ctr-ids", Usage: "Also show the containers' IDs"},
			&cli.BoolFlag{Name: "ctr-names", Usage: "Also show the containers' names"},
			&cli.BoolFlag{Name: "ctr-status", Usage: "Also show what the containers do"},
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: `Provide filter values (e.g. "status=running")`}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "latest", Aliases: []string{"l"}, Usage: "Only the newest pod"},
			&cli.BoolFlag{Name: "no-trunc", Usage: "Do not truncate output"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Only display pod IDs"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			f, err := flags.ParseFilters(c.StringSlice("filter"), "id", "name", "label", "status", "ctr-ids", "ctr-names", "ctr-status", "ctr-number", "network")
			if err != nil {
				return err
			}
			return runList(c, e, f)
		},
	}
}

func runList(c *cli.Context, e *env.Env, f flags.Filters) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	all, broken := pods(st)
	var rows []format.Row
	for _, p := range all {
		if c.Bool("latest") && len(rows) > 0 {
			break
		}
		if p.shown(f) {
			rows = append(rows, p.row(e.Clock(), c.Bool("no-trunc")))
		}
	}
	l := layout
	for flag, column := range map[string]string{"ctr-ids": "ContainerIds", "ctr-names": "ContainerNames", "ctr-status": "ContainerStatuses"} {
		if c.Bool(flag) {
			l.Columns = append(slices.Clone(l.Columns), column)
		}
	}
	slices.Sort(l.Columns[len(layout.Columns):])
	return failure.Listed(l.Print(e.Out, c.String("format"), c.Bool("quiet"), rows), broken)
}

func (p *pod) row(now time.Time, noTrunc bool) format.Row {
	short := format.ShortID
	if noTrunc {
		short = func(id string) string { return id }
	}
	ids, names, states := []string{short(p.id())}, []string{p.infra.Config.Name}, []string{p.state.State}
	for i, c := range p.members {
		ids, names, states = append(ids, short(c.Config.ID)), append(names, c.Config.Name), append(states, p.statuses[i].State)
	}
	row := format.Row{
		"ID": short(p.id()), "Id": short(p.id()), "Name": p.name(), "Status": p.status(), "Ready": p.ready(), "Created": format.Ago(now, p.infra.Config.Created),
		"InfraID": short(p.id()), "NumberOfContainers": strconv.Itoa(1 + len(p.members)),
		"ContainerIds": strings.Join(ids, ","), "ContainerNames": strings.Join(names, ","), "ContainerStatuses": strings.Join(states, ","),
		"Networks": strings.Join(p.networks(), ","), "Ports": ports(p.infra.Config),
	}
	var labels []string
	for k, v := range p.infra.Config.Config.Labels {
		row[format.LabelKey(k)] = v
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	row["Labels"] = strings.Join(labels, ",")
	return row
}

// ready is how many of the containers can do their work, as kubectl shows it: 2/3.
// The one that holds the namespaces is not counted.
func (p *pod) ready() string {
	n := 0
	for _, s := range p.statuses {
		if s.Ready() {
			n++
		}
	}
	return strconv.Itoa(n) + "/" + strconv.Itoa(len(p.members))
}

func (p *pod) networks() []string {
	names := []string{}
	for _, n := range p.infra.Config.Endpoints() {
		names = append(names, n.Network)
	}
	return names
}

// ports are the published ones, as they were asked for.
func ports(cfg *container.Config) string {
	var all []string
	for port, bindings := range cfg.Host.PortBindings {
		for _, b := range bindings {
			all = append(all, b.HostIP+":"+b.HostPort+"->"+port)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (p *pod) shown(f flags.Filters) bool {
	cfg := p.infra.Config
	any := func(test func(c *container.Container, s container.Status) bool) bool {
		if test(p.infra, p.state) {
			return true
		}
		for i, c := range p.members {
			if test(c, p.statuses[i]) {
				return true
			}
		}
		return false
	}
	return f.Any("id", func(v string) bool { return strings.HasPrefix(cfg.ID, v) }) &&
		f.Any("name", func(v string) bool { return strings.Contains(p.name(), v) }) &&
		f.Any("status", func(v string) bool { return strings.EqualFold(p.status(), v) }) &&
		f.Any("network", func(v string) bool { return slices.Contains(p.networks(), v) }) &&
		f.Any("ctr-number", func(v string) bool { return v == strconv.Itoa(1+len(p.members)) }) &&
		f.Any("ctr-ids", func(v string) bool {
			return any(func(c *container.Container, _ container.Status) bool { return strings.HasPrefix(c.Config.ID, v) })
		}) &&
		f.Any("ctr-names", func(v string) bool {
			return any(func(c *container.Container, _ container.Status) bool { return strings.Contains(c.Config.Name, v) })
		}) &&
		f.Any("ctr-status", func(v string) bool {
			return any(func(_ *container.Container, s container.Status) bool { return s.State == v })
		}) &&
		f.Labels(cfg.Config.Labels)
}

// inspection is podman's document of a pod.
type inspection struct {
	ID               string            `json:"Id"`
	Name             string            `json:"Name"`
	Created          time.Time         `json:"Created"`
	State            string            `json:"State"`
	Hostname         string            `json:"Hostname"`
	Labels           map[string]string `json:"Labels"`
	CreateInfra      bool              `json:"CreateInfra"`
	InfraContainerID string            `json:"InfraContainerID"`
	InfraConfig      infraConfig       `json:"InfraConfig"`
	SharedNamespaces []string          `json:"SharedNamespaces"`
	NumContainers    int               `json:"NumContainers"`
	Containers       []member          `json:"Containers"`
}

type infraConfig struct {
	PortBindings map[string][]container.PortBinding `json:"PortBindings"`
	HostNetwork  bool                               `json:"HostNetwork"`
	StaticIP     string                             `json:"StaticIP"`
	StaticMAC    string                             `json:"StaticMAC"`
	DNSServer    []string                           `json:"DNSServer"`
	DNSSearch    []string                           `json:"DNSSearch"`
	DNSOption    []string                           `json:"DNSOption"`
	HostAdd      []string                           `json:"HostAdd"`
	Networks     []string                           `json:"Networks"`
}

type member struct {
	ID    string `json:"Id"`
	Name  string `json:"Name"`
	State string `json:"State"`
	// Ready is not podman's.
	Ready bool `json:"Ready"`
}

func inspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "Display detailed information on one or more pods", ArgsUsage: "[OPTIONS] POD [POD...]",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage}},
		Action: func(c *cli.Context) error {
			if err := flags.MinArgs(c, 1); err != nil {
				return err
			}
			st, err := e.Store()
			if err != nil {
				return err
			}
			return document.Print(e, c.String("format"), c.Args().Slice(), func(ref string) (any, error) {
				p, err := find(st, ref)
				if err != nil {
					return nil, err
				}
				return p.inspect(), nil
			})
		},
	}
}

func (p *pod) inspect() *inspection {
	cfg := p.infra.Config
	doc := &inspection{
		ID: cfg.ID, Name: p.name(), Created: cfg.Created, State: p.status(), Hostname: cfg.Config.Hostname, Labels: cfg.Config.Labels,
		CreateInfra: true, InfraContainerID: cfg.ID, SharedNamespaces: cfg.Infra.Share, NumContainers: 1 + len(p.members),
		InfraConfig: infraConfig{
			PortBindings: cfg.Host.PortBindings, HostNetwork: cfg.Host.NetworkMode == "host", DNSServer: cfg.Host.DNS,
			DNSSearch: cfg.Host.DNSSearch, DNSOption: cfg.Host.DNSOptions, HostAdd: cfg.Host.ExtraHosts, Networks: p.networks(),
		},
		Containers: []member{{cfg.ID, cfg.Name, p.state.State, p.state.Ready()}},
	}
	for _, n := range cfg.Networks {
		doc.InfraConfig.StaticIP, doc.InfraConfig.StaticMAC = n.IPv4, n.MAC
	}
	for i, c := range p.members {
		doc.Containers = append(doc.Containers, member{c.Config.ID, c.Config.Name, p.statuses[i].State, p.statuses[i].Ready()})
	}
	return doc
}

// one is the only pod that a command is about.
func one(c *cli.Context, e *env.Env) (*pod, error) {
	if c.Args().Len() == 0 {
		return nil, flags.MinArgs(c, 1)
	}
	st, err := e.Store()
	if err != nil {
		return nil, err
	}
	return find(st, c.Args().First())
}

// member returns the container of the pod that ref means.
func (p *pod) member(ref string) (*container.Container, error) {
	for _, c := range p.all() {
		if c.Config.Name == ref || strings.HasPrefix(c.Config.ID, ref) {
			return c, nil
		}
	}
	return nil, failure.Engine(container.ErrNotFound, "container %s is not in pod %s", ref, p.name())
}
