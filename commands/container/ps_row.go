package container

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"skiff/commands/env"
	"skiff/commands/format"
	"skiff/runtime/network"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/usage"
)

var psLayout = format.List{
	Ahead: true,
	Headings: [][2]string{
		{"ID", "CONTAINER ID"},
		{"Image", "IMAGE"},
		{"Command", "COMMAND"},
		{"CreatedAt", "CREATED AT"},
		{"RunningFor", "CREATED"},
		{"Ports", "PORTS"},
		{"State", "STATE"},
		{"Status", "STATUS"},
		{"Size", "SIZE"},
		{"Names", "NAMES"},
		{"Labels", "LABELS"},
		{"Mounts", "MOUNTS"},
		{"LocalVolumes", "LOCAL VOLUMES"},
		{"Networks", "NETWORKS"},
		{"Platform", "PLATFORM"},
		{"HealthStatus", "HEALTH"},
		{"Readiness", "READINESS"},
		{"Pod", "POD ID"},
		{"PodName", "PODNAME"},
	},
	Columns: []string{"ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"},
	Quiet:   "ID",
	Raw: [][2]string{
		{"ID", "container_id"},
		{"Image", "image"},
		{"Command", "command"},
		{"CreatedAt", "created_at"},
		{"State", "state"},
		{"Status", "status"},
		{"Names", "names"},
		{"Labels", "labels"},
		{"Ports", "ports"},
	},
}

// psRow is a container as docker's list describes it.
func psRow(e *env.Env, images *imageNames, o psOptions, c *container.Container, s container.Status) format.Row {
	cfg, now := c.Config, e.Clock()
	command := commandText(cfg.Path, cfg.Args)
	id := cfg.ID
	if !o.NoTrunc {
		id, command = format.ShortID(id), format.Ellipsis(command, 20)
	}
	row := format.Row{
		"ID":           id,
		"Image":        images.shown(cfg, o.NoTrunc),
		"Command":      strconv.Quote(command),
		"CreatedAt":    cfg.Created.Local().String(),
		"RunningFor":   format.Ago(now, cfg.Created),
		"Ports":        portsText(cfg, network.Attachment(c, s).Ports, s),
		"State":        s.State,
		"Status":       statusText(s, now),
		"Size":         "0B",
		"Names":        cfg.Name,
		"Labels":       labelText(cfg.Config.Labels),
		"Mounts":       mountText(cfg.Mounts, o.NoTrunc),
		"LocalVolumes": strconv.Itoa(localVolumes(cfg.Mounts)),
		"Networks":     strings.Join(networkNames(cfg), ","),
		"Platform":     cfg.ImagePlatform,
		"HealthStatus": healthText(s),
		"Readiness":    readyText(s),
	}
	if cfg.Pod != "" {
		row["Pod"], row["PodName"] = format.ShortID(cfg.Pod), podName(c.Store, cfg.Pod)
	}
	for k, v := range cfg.Config.Labels {
		row[format.LabelKey(k)] = v
	}
	if o.Size {
		rw := usage.Below(filepath.Join(c.Dir(), container.UpperDir))
		row["Size"] = fmt.Sprintf("%s (virtual %s)", format.Size(rw), format.Size(rw+images.size(cfg)))
	}
	return row
}

// commandText is a command line as docker lists it: an argument with a space in
// it stands in single quotes, the path never does.
func commandText(path string, args []string) string {
	words := []string{path}
	for _, a := range args {
		if strings.Contains(a, " ") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// imageNames tells which image a name means now. It reads the records once,
// when the first container asks.
type imageNames struct {
	st    *storage.Store
	read  bool
	ids   map[string]string // normalized name -> id
	sizes map[string]int64
}

func (n *imageNames) load() {
	if n.read {
		return
	}
	n.read, n.ids, n.sizes = true, map[string]string{}, map[string]int64{}
	// Without records every image is shown by its id: the list must not fail.
	all, _ := image.List(n.st)
	for _, img := range all {
		n.sizes[img.ID] = img.Size
		for _, name := range img.Names {
			n.ids[name] = img.ID
		}
	}
}

// shown is the name that the user gave, or the id where the name has moved to
// another image or is gone.
func (n *imageNames) shown(cfg *container.Config, noTrunc bool) string {
	typed, id := cfg.Config.Image, strings.TrimPrefix(cfg.ImageID, "sha256:")
	if cfg.Rootfs != "" {
		return typed
	}
	n.load()
	if strings.HasPrefix(id, strings.TrimPrefix(typed, "sha256:")) || strings.Contains(typed, "@") {
		return typed
	}
	if ref, err := image.ParseReference(typed); err == nil && n.ids[ref.WithDefaultTag().String()] == id {
		return typed
	}
	if noTrunc {
		return cfg.ImageID
	}
	return format.ShortID(id)
}

func (n *imageNames) size(cfg *container.Config) int64 {
	n.load()
	return n.sizes[strings.TrimPrefix(cfg.ImageID, "sha256:")]
}

func labelText(labels map[string]string) string {
	words := make([]string, 0, len(labels))
	for k, v := range labels {
		words = append(words, k+"="+v)
	}
	slices.Sort(words)
	return strings.Join(words, ",")
}

func mountText(mounts []container.Mount, noTrunc bool) string {
	words := make([]string, 0, len(mounts))
	for _, m := range mounts {
		word := m.Name
		if word == "" {
			word = m.Source
		}
		if !noTrunc {
			word = format.Ellipsis(word, 15)
		}
		words = append(words, word)
	}
	return strings.Join(words, ",")
}

func localVolumes(mounts []container.Mount) (n int) {
	for _, m := range mounts {
		if m.Driver == "local" {
			n++
		}
	}
	return n
}

// networkNames are the networks that docker would show for a container.
func networkNames(cfg *container.Config) []string {
	var names []string
	for _, e := range cfg.Endpoints() {
		names = append(names, e.Network)
	}
	if mode := cfg.Host.NetworkMode; len(names) == 0 && !strings.Contains(mode, ":") {
		names = []string{mode}
	}
	slices.Sort(names)
	return names
}
