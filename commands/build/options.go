package build

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/build/dockerfile"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage/image"
)

// options is what the user asked for.
type options struct {
	build.Options
	Path     string // the context as typed
	File     string
	Quiet    bool
	Progress string
	IIDFile  string
	Metadata string
	Outputs  *outputs
	Warnings []string
	// discard removes the context, if it is ours; discards the named ones.
	discard  func() error
	discards []func() error
}

func buildFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "add-host", Usage: `Add a custom host-to-IP mapping (format: "host:ip")`},
		&cli.StringSliceFlag{Name: "annotation", Usage: "Add annotation to the image"},
		&cli.StringSliceFlag{Name: "build-arg", Usage: "Set build-time variables"},
		&cli.StringSliceFlag{Name: "build-context", Usage: `Additional build contexts (e.g., name=path)`},
		&cli.StringFlag{Name: "builder", Usage: "Override the configured builder instance; there is only one", Hidden: true},
		&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: `Name of the Dockerfile (default: "PATH/Dockerfile")`},
		&cli.BoolFlag{Name: "force-rm", Usage: "Always remove intermediate containers; none are ever left", Hidden: true},
		&cli.StringFlag{Name: "iidfile", Usage: "Write the image ID to a file"},
		&cli.StringSliceFlag{Name: "label", Usage: "Set metadata for an image"},
		&cli.BoolFlag{Name: "load", Usage: `Shorthand for "--output=type=docker"; without --output images are always loaded`},
		&cli.StringFlag{Name: "metadata-file", Usage: "Write build result metadata to a file"},
		&cli.StringFlag{Name: "network", Value: "default", Usage: `Set the networking mode for the "RUN" instructions during build`},
		&cli.StringSliceFlag{Name: "cache-from", Usage: `External cache sources (e.g., "user/app:cache", "type=local,src=path/to/dir")`},
		&cli.StringSliceFlag{Name: "cache-to", Usage: `Cache export destinations (e.g., "user/app:cache", "type=local,dest=path/to/dir")`},
		&cli.StringFlag{Name: "call", Value: "build", Usage: `Set method for evaluating build ("check")`},
		&cli.BoolFlag{Name: "check", Usage: `Shorthand for "--call=check"`},
		&cli.BoolFlag{Name: "no-cache", Usage: "Do not use cache when building the image"},
		&cli.StringSliceFlag{Name: "no-cache-filter", Usage: "Do not cache specified stages"},
		&cli.StringSliceFlag{Name: "platform", Usage: "Set target platform for build; several make one image of each, e.g. linux/amd64,linux/arm64"},
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: `Set type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty"). Use plain to show container output`},
		&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: `Output destination (format: "type=local,dest=path")`},
		&cli.BoolFlag{Name: "push", Usage: `Shorthand for "--output=type=registry"`},
		&cli.BoolFlag{Name: "pull", Usage: "Always attempt to pull all referenced images"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "Suppress the build output and print image ID on success"},
		&cli.BoolFlag{Name: "rm", Value: true, Usage: "Remove intermediate containers; none are ever left", Hidden: true},
		&cli.StringSliceFlag{Name: "secret", Usage: `Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")`},
		&cli.StringFlag{Name: "shm-size", Usage: "Shared memory size for build containers"},
		&cli.StringSliceFlag{Name: "ssh", Usage: `SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")`},
		&cli.StringSliceFlag{Name: "tag", Aliases: []string{"t"}, Usage: `Name and optionally a tag (format: "name:tag")`},
		&cli.StringSliceFlag{Name: "ulimit", Usage: "Ulimit options"},
		&cli.StringFlag{Name: "target", Usage: "Set the target build stage to build"},
	}, foreignFlags()...)
}

func parse(c *cli.Context, e *env.Env) (*options, error) {
	if err := flags.ExactArgs(c, 1); err != nil {
		return nil, err
	}
	o := &options{
		Path: c.Args().First(), File: c.String("file"), Quiet: c.Bool("quiet"), Progress: c.String("progress"),
		IIDFile: c.String("iidfile"), Metadata: c.String("metadata-file"),
	}
	o.Target, o.NoCache, o.NoCacheFor, o.Pull = c.String("target"), c.Bool("no-cache"), c.StringSlice("no-cache-filter"), c.Bool("pull")
	o.Network = c.String("network")
	o.Check = c.Bool("check")
	switch call := c.String("call"); call {
	case "build", "":
	case "check", "lint":
		o.Check = true
	default:
		return nil, failure.Local("--call=%s is not supported: only build and check are", call)
	}
	for _, text := range c.StringSlice("ulimit") {
		u, err := flags.ParseUlimit(text)
		if err != nil {
			return nil, failure.Local("invalid argument %q for \"--ulimit\" flag: %v", text, err)
		}
		o.Ulimits = append(o.Ulimits, u)
	}
	switch o.Network {
	case "default", "none", "host":
	default:
		return nil, failure.Local("network mode %q not supported by buildkit - you can define a custom network for your builder using the network driver-opt in buildx create", o.Network)
	}
	if mode := e.Getenv("BUILDKIT_PROGRESS"); mode != "" && !c.IsSet("progress") {
		o.Progress = mode
	}
	switch o.Progress {
	case "auto", "plain", "none", "quiet", "rawjson":
	case "tty":
		if !env.Terminal(e.Err) {
			return nil, failure.Local("failed to get console: provided file is not a console")
		}
	default:
		return nil, failure.Local("invalid progress mode %s", o.Progress)
	}
	var err error
	if o.Platforms, err = parsePlatforms(e, c.StringSlice("platform")); err != nil {
		return nil, err
	}
	for _, t := range c.StringSlice("tag") {
		ref, err := image.ParseReference(t)
		if err != nil || ref.Digest != "" {
			return nil, failure.Local("invalid tag %q: invalid reference format", t)
		}
		o.Tags = append(o.Tags, ref.WithDefaultTag().String())
	}
	o.Args = make(map[string]string)
	for _, a := range c.StringSlice("build-arg") {
		key, value, given := strings.Cut(a, "=")
		if !given {
			var ok bool
			if value, ok = lookup(e, key); !ok {
				continue
			}
		}
		o.Args[key] = value
	}
	for _, variable := range flags.Proxies(e, c.StringSlice("build-arg")) {
		name, value, _ := strings.Cut(variable, "=")
		o.Args[name] = value
	}
	if err := o.parseEpoch(e); err != nil {
		return nil, err
	}
	for _, l := range c.StringSlice("label") {
		key, value, _ := strings.Cut(l, "=")
		o.Labels = append(o.Labels, dockerfile.Pair{Key: key, Value: value})
	}
	for _, h := range c.StringSlice("add-host") {
		if !strings.ContainsAny(h, ":=") {
			return nil, failure.Local("invalid host %s", h)
		}
		o.ExtraHosts = append(o.ExtraHosts, strings.Replace(h, "=", ":", 1))
	}
	if text := c.String("shm-size"); text != "" {
		n, err := build.ParseBytes(text)
		if err != nil {
			return nil, failure.Local("invalid argument %q for \"--shm-size\" flag: %v", text, err)
		}
		o.ShmSize = n
	} else {
		o.ShmSize = 64 << 20
	}
	if err := o.foreign(c); err != nil {
		return nil, err
	}
	if o.Outputs, err = parseOutputs(e, c, o.Tags); err != nil {
		return nil, err
	}
	o.Exports, o.NoImage, o.Tags = o.Outputs.exports, !o.Outputs.store, append(o.Tags, o.Outputs.names...)
	if o.Annotations, err = parseAnnotations(c.StringSlice("annotation")); err != nil {
		return nil, err
	}
	if o.CacheFrom, err = o.parseCaches("cache-from", c.StringSlice("cache-from"), false); err != nil {
		return nil, err
	}
	if o.CacheTo, err = o.parseCaches("cache-to", c.StringSlice("cache-to"), true); err != nil {
		return nil, err
	}
	if err := o.checkPlatforms(); err != nil {
		return nil, err
	}
	if o.Contexts, err = parseContexts(c.StringSlice("build-context")); err != nil {
		return nil, err
	}
	if o.Secrets, err = parseSecrets(e, c.StringSlice("secret")); err != nil {
		return nil, err
	}
	if o.SSH, err = parseAgents(e, c.StringSlice("ssh")); err != nil {
		return nil, err
	}
	return o, nil
}

func lookup(e *env.Env, key string) (string, bool) {
	for _, kv := range e.Environ() {
		if name, value, _ := strings.Cut(kv, "="); name == key {
			return value, true
		}
	}
	return "", false
}

// parseAnnotations reads [manifest:]key=value.
func parseAnnotations(list []string) (map[string]string, error) {
	var out map[string]string
	for _, text := range list {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, failure.Local("invalid annotation %q, expected key=value", text)
		}
		if kind, rest, ok := strings.Cut(key, ":"); ok {
			switch kind, _, _ = strings.Cut(kind, "["); kind {
			case "manifest":
				key = rest
			case "index", "index-descriptor", "manifest-descriptor":
				return nil, failure.Local("%s annotations are not supported for an image of one platform", kind)
			}
		}
		if out == nil {
			out = make(map[string]string)
		}
		out[key] = value
	}
	return out, nil
}

// epoch reads seconds since 1970.
func epoch(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0).UTC(), err
}

// parseEpoch reads SOURCE_DATE_EPOCH, which is a build argument or a variable.
func (o *options) parseEpoch(e *env.Env) error {
	text, ok := o.Args["SOURCE_DATE_EPOCH"]
	if !ok {
		if text = e.Getenv("SOURCE_DATE_EPOCH"); text == "" {
			return nil
		}
		o.Args["SOURCE_DATE_EPOCH"] = text
	}
	seconds, err := epoch(text)
	if err != nil {
		return failure.Local("invalid SOURCE_DATE_EPOCH: %s", text)
	}
	o.Epoch = &seconds
	return nil
}

// parsePlatforms reads --platform, each value a list separated by commas.
func parsePlatforms(e *env.Env, list []string) ([]string, error) {
	if len(list) == 0 && e.Getenv("DOCKER_DEFAULT_PLATFORM") != "" {
		list = []string{e.Getenv("DOCKER_DEFAULT_PLATFORM")}
	}
	var all []string
	for text := range strings.SplitSeq(strings.Join(list, ","), ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if text == "local" {
			text = ""
		}
		text, err := image.ParsePlatform(text)
		if err != nil {
			return nil, failure.Local("%v", err)
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all, nil
}

// checkPlatforms refuses what cannot hold images of several platforms.
func (o *options) checkPlatforms() error {
	if len(o.Platforms) < 2 {
		return nil
	}
	for _, x := range o.Outputs.exports {
		if x.Kind == "docker" {
			return failure.Local("docker exporter does not currently support exporting manifest lists")
		}
	}
	for _, to := range o.CacheTo {
		if to.Kind != "inline" {
			return failure.Local("a cache of type %s holds one platform: build each one with a cache of its own, or use --cache-to=type=inline", to.Kind)
		}
	}
	return nil
}
