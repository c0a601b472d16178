package build

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
)

// parseOutput reads --output: nil means an image of the store.
func parseOutput(e *env.Env, list []string) (*build.Export, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > 1 {
		return nil, failure.Local("several outputs of one build are not supported yet")
	}
	text := list[0]
	kind, dest := "", ""
	if !strings.Contains(text, "=") {
		if kind, dest = "local", text; text == "-" {
			kind = "tar"
		}
	} else {
		for _, f := range strings.Split(text, ",") {
			key, value, _ := strings.Cut(f, "=")
			switch strings.ToLower(strings.TrimSpace(key)) {
			case "type":
				kind = value
			case "dest":
				dest = value
			default:
				return nil, failure.Local("output option %q is not supported", f)
			}
		}
	}
	switch {
	case kind == "":
		return nil, failure.Local("type is required for output")
	case (kind == "docker" || kind == "image") && dest == "":
		return nil, nil
	case kind == "local" && dest == "":
		return nil, failure.Local("dest is required for local output")
	case kind == "local":
		dir, err := filepath.Abs(dest)
		return &build.Export{Dir: dir}, err
	case kind == "tar" && (dest == "" || dest == "-"):
		if env.Terminal(e.Out) {
			return nil, failure.Local("dest file is required for tar exporter. refusing to write to console")
		}
		return &build.Export{Tar: e.Out}, nil
	case kind == "tar":
		return &build.Export{Tar: &lateFile{name: dest}}, nil
	}
	return nil, failure.Local("output type %q is not supported yet: build with -t, then `skiff save` or `skiff push`", text)
}

// lateFile makes its file when there is something to write: a build that fails
// leaves none.
type lateFile struct {
	name string
	f    *os.File
}

func (l *lateFile) Write(data []byte) (int, error) {
	if l.f == nil {
		var err error
		if l.f, err = os.Create(l.name); err != nil {
			return 0, err
		}
	}
	return l.f.Write(data)
}

// foreignFlags are docker's that are not done here. What would change the image
// or where it goes is refused, what is only about speed or about docker's own
// engine gets a warning.
func foreignFlags() []cli.Flag {
	var out []cli.Flag
	for _, f := range refusedFlags {
		out = append(out, &cli.StringSliceFlag{Name: f, Hidden: true, Usage: "Not supported yet; refused"})
	}
	for _, f := range refusedSwitches {
		out = append(out, &cli.BoolFlag{Name: f, Hidden: true, Usage: "Not supported yet; refused"})
	}
	for _, f := range ignoredFlags {
		out = append(out, &cli.StringSliceFlag{Name: f, Hidden: true, Usage: "Not supported yet; ignored with a warning"})
	}
	return out
}

var (
	refusedFlags    = []string{"allow", "annotation", "attest", "cache-to", "call", "policy", "provenance", "sbom", "security-opt"}
	refusedSwitches = []string{"check", "push", "squash"}
	ignoredFlags    = []string{
		"cache-from", "cgroup-parent", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "isolation", "memory",
		"memory-swap", "resource", "ulimit",
	}
)

func (o *options) foreign(c *cli.Context) error {
	for _, f := range refusedFlags {
		for _, value := range c.StringSlice(f) {
			if (f == "provenance" || f == "sbom") && (value == "false" || value == "0") || f == "call" && value == "build" {
				continue
			}
			return failure.Local("--%s is not supported yet", f)
		}
	}
	for _, f := range refusedSwitches {
		if !c.Bool(f) {
			continue
		}
		hint := ""
		if f == "push" {
			hint = ": build with -t, then `skiff push`"
		}
		return failure.Local("--%s is not supported yet%s", f, hint)
	}
	for _, f := range ignoredFlags {
		if c.IsSet(f) {
			o.Warnings = append(o.Warnings, "--"+f+" is not supported yet and has no effect")
		}
	}
	return nil
}
