package build

import (
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage/image"
)

// outputs is where the result of a build goes.
type outputs struct {
	exports []*build.Export
	// store says that the store gets the image, push that the registries do that
	// its names say.
	store, push bool
	names       []string // beside those of -t
	commits     []func() error
	closes      []func() error
}

// parseOutputs reads --output, --load and --push.
func parseOutputs(e *env.Env, c *cli.Context, tags []string) (*outputs, error) {
	o := &outputs{store: c.Bool("load") || c.Bool("push"), push: c.Bool("push")}
	for _, text := range c.StringSlice("output") {
		if err := o.add(e, text, tags); err != nil {
			return nil, err
		}
	}
	if len(o.exports) == 0 {
		o.store = true
	}
	if o.push && len(tags)+len(o.names) == 0 {
		return nil, failure.Local("tag is needed when pushing to registry")
	}
	return o, nil
}

// output is one --output.
type output struct {
	kind, dest string
	push       bool
	names      []string
}

func (o *outputs) add(e *env.Env, text string, tags []string) error {
	one, err := parseOutput(text)
	if err != nil {
		return err
	}
	switch one.kind {
	case "":
		return failure.Local("type is required for output")
	case "local":
		if one.dest == "" {
			return failure.Local("dest is required for local output")
		}
		dir, err := filepath.Abs(one.dest)
		o.exports = append(o.exports, &build.Export{Dir: dir})
		return err
	case "tar":
		if one.dest == "" || one.dest == "-" {
			if env.Terminal(e.Out) {
				return failure.Local("dest file is required for tar exporter. refusing to write to console")
			}
			o.exports = append(o.exports, &build.Export{Tar: e.Out})
			return nil
		}
		o.exports = append(o.exports, &build.Export{Tar: &lateFile{name: one.dest}})
	case "image", "registry":
		o.store = true
		o.push = o.push || one.push || one.kind == "registry"
		o.names = append(o.names, one.names...)
	case "docker", "oci":
		if one.dest == "" && one.kind == "docker" {
			o.store = true
			o.names = append(o.names, one.names...)
			return nil
		}
		if one.dest == "-" {
			one.dest = ""
		}
		if one.dest == "" && env.Terminal(e.Out) {
			return failure.Local("dest file is required for %s exporter. refusing to write to console", one.kind)
		}
		names := one.names
		if len(names) == 0 {
			names = tags
		}
		kind := map[string]string{"docker": "docker", "oci": "OCI"}[one.kind]
		o.exports = append(o.exports, &build.Export{Kind: kind, Names: names, Archive: o.archive(e, one.dest)})
	default:
		return failure.Local("output type %q is not supported", one.kind)
	}
	return nil
}

// archive opens the file for an archive when the build comes to it. It gets its
// name when everything has been done.
func (o *outputs) archive(e *env.Env, dest string) func() (*os.File, error) {
	return func() (*os.File, error) {
		out, err := e.Output(dest)
		if err != nil {
			return nil, err
		}
		o.commits, o.closes = append(o.commits, out.Commit), append(o.closes, out.Close)
		f, ok := out.Writer.(*os.File)
		if !ok {
			return nil, errors.New("standard output is not a file")
		}
		return f, nil
	}
}

// commit gives the archives their names; close lets go of them.
func (o *outputs) commit() error {
	var err error
	for _, f := range o.commits {
		err = errors.Join(err, f())
	}
	return err
}

func (o *outputs) close() error {
	var err error
	for _, f := range o.closes {
		err = errors.Join(err, f())
	}
	return err
}

func parseOutput(text string) (output, error) {
	var o output
	if !strings.Contains(text, "=") {
		if o.kind, o.dest = "local", text; text == "-" {
			o.kind = "tar"
		}
		return o, nil
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return o, failure.Local("invalid output %q: %v", text, err)
	}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		if !ok {
			return o, failure.Local("invalid value %s", f)
		}
		switch key = strings.ToLower(strings.TrimSpace(key)); key {
		case "type":
			o.kind = value
		case "dest":
			o.dest = value
		case "name":
			for _, name := range strings.Split(value, ",") {
				ref, err := image.ParseReference(name)
				if err != nil || ref.Digest != "" {
					return o, failure.Local("invalid tag %q: invalid reference format", name)
				}
				o.names = append(o.names, ref.WithDefaultTag().String())
			}
		case "push", "tar", "oci-mediatypes", "compression":
			if err := o.option(key, value); err != nil {
				return o, err
			}
		default:
			return o, failure.Local("output option %q is not supported", f)
		}
	}
	return o, nil
}

// option reads those options of which not every value is done.
func (o *output) option(key, value string) error {
	on, err := strconv.ParseBool(value)
	switch {
	case key == "compression" && value == "gzip", key == "compression" && value == "uncompressed":
		// An archive's layers are plain, a registry's are compressed by gzip.
		return nil
	case key == "compression":
		return failure.Local("compression %q is not supported: layers of archives are not compressed, those that are pushed by gzip", value)
	case err != nil:
		return failure.Local("non-bool value %q specified for %s", value, key)
	case key == "push":
		o.push = on
	case key == "tar" && !on:
		return failure.Local("tar=false is not supported: unpack the archive")
	case key == "oci-mediatypes" && !on:
		return failure.Local("oci-mediatypes=false is not supported")
	}
	return nil
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
	out = append(out, &cli.BoolFlag{Name: "squash", Hidden: true, Usage: "Squash newly built layers into a single new layer; removed with BuildKit"})
	for _, f := range ignoredFlags {
		out = append(out, &cli.StringSliceFlag{Name: f, Hidden: true, Usage: "Not supported yet; ignored with a warning"})
	}
	return out
}

var (
	refusedFlags = []string{"allow", "attest", "policy", "provenance", "sbom", "security-opt"}
	ignoredFlags = []string{
		"cgroup-parent", "cpu-period", "cpu-quota", "cpu-shares", "cpuset-cpus", "cpuset-mems", "isolation", "memory",
		"memory-swap", "resource",
	}
)

func (o *options) foreign(c *cli.Context) error {
	for _, f := range refusedFlags {
		for _, value := range c.StringSlice(f) {
			if (f == "provenance" || f == "sbom") && (value == "false" || value == "0") {
				continue
			}
			return failure.Local("--%s is not supported yet", f)
		}
	}
	if c.Bool("squash") {
		o.Warnings = append(o.Warnings, "experimental flag squash is removed with BuildKit. You should squash inside build using a multi-stage Dockerfile for efficiency.")
	}
	for _, f := range ignoredFlags {
		if c.IsSet(f) {
			o.Warnings = append(o.Warnings, "--"+f+" is not supported yet and has no effect")
		}
	}
	return nil
}
