// Package build is the commands that make images of Dockerfiles, and those about
// the cache of that.
package build

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/build/dockerfile"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
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

// Command makes an image of a Dockerfile.
func Command(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "Start a build",
		ArgsUsage: "[OPTIONS] PATH | URL | -",
		Flags:     buildFlags(),
		Action: func(c *cli.Context) error {
			o, err := parse(c, e)
			if err != nil {
				return err
			}
			return run(c.Context, e, o)
		},
	}
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
		&cli.StringFlag{Name: "platform", Usage: "Set target platform for build"},
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
	if o.Platform = c.String("platform"); o.Platform == "" {
		o.Platform = e.Getenv("DOCKER_DEFAULT_PLATFORM")
	}
	if strings.Contains(o.Platform, ",") {
		return nil, failure.Local("building for several platforms at once is not supported yet: build each one alone")
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
	if text, ok := o.Args["SOURCE_DATE_EPOCH"]; ok {
		seconds, err := epoch(text)
		if err != nil {
			return nil, failure.Local("invalid SOURCE_DATE_EPOCH: %s", text)
		}
		o.Epoch = &seconds
	} else if text := e.Getenv("SOURCE_DATE_EPOCH"); text != "" {
		seconds, err := epoch(text)
		if err != nil {
			return nil, failure.Local("invalid SOURCE_DATE_EPOCH: %s", text)
		}
		o.Epoch = &seconds
		o.Args["SOURCE_DATE_EPOCH"] = text
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
	var err error
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

func parseContexts(list []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, c := range list {
		name, value, ok := strings.Cut(c, "=")
		if !ok || name == "" || value == "" {
			return nil, failure.Local("invalid context value: %s, expected key=value", c)
		}
		switch {
		case strings.HasPrefix(value, "docker-image://"), build.IsRemote(value):
		case strings.Contains(value, "://"):
			return nil, failure.Local("build context %s: only directories, docker-image://, archives behind http and https, and git repositories are supported", value)
		default:
			info, err := os.Stat(value)
			if err != nil || !info.IsDir() {
				return nil, failure.Local("failed to get build context %s: %s is not a directory", name, value)
			}
			if value, err = filepath.Abs(value); err != nil {
				return nil, err
			}
		}
		out[name] = value
	}
	return out, nil
}

// secret is one --secret.
type secret struct{ id, file, env string }

func parseSecrets(e *env.Env, list []string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	for _, text := range list {
		var s secret
		kind := ""
		for _, f := range strings.Split(text, ",") {
			key, value, ok := strings.Cut(f, "=")
			if !ok {
				return nil, failure.Local("invalid field '%s' must be a key=value pair", f)
			}
			switch strings.ToLower(key) {
			case "type":
				if kind = value; value != "file" && value != "env" {
					return nil, failure.Local("unsupported secret type %q", value)
				}
			case "id":
				s.id = value
			case "src", "source":
				s.file = value
			case "env":
				s.env = value
			default:
				return nil, failure.Local("unexpected key '%s' in '%s'", key, f)
			}
		}
		if s.id == "" {
			return nil, failure.Local("secret %q has no id", text)
		}
		if kind == "env" && s.env == "" {
			s.env, s.file = s.file, ""
		}
		if s.env == "" && s.file == "" {
			if _, ok := lookup(e, s.id); ok && kind != "file" {
				s.env = s.id
			} else {
				s.file = s.id
			}
		}
		if s.env != "" {
			value, _ := lookup(e, s.env)
			out[s.id] = []byte(value)
			continue
		}
		data, err := os.ReadFile(s.file)
		if err != nil {
			return nil, failure.Local("failed to read secret %s: %v", s.id, err)
		}
		out[s.id] = data
	}
	return out, nil
}

func parseAgents(e *env.Env, list []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, text := range list {
		id, socket, given := strings.Cut(text, "=")
		if !given {
			socket = e.Getenv("SSH_AUTH_SOCK")
		}
		if socket == "" {
			return nil, failure.Local("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
		}
		info, err := os.Stat(socket)
		if err != nil {
			return nil, failure.Local("failed to stat ssh agent socket: %v", err)
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil, failure.Local("%s is not a socket: private keys are not read, start an agent (ssh-agent) and add the key to it", socket)
		}
		out[id] = socket
	}
	return out, nil
}

func run(ctx context.Context, e *env.Env, o *options) error {
	for _, w := range o.Warnings {
		fmt.Fprintln(e.Err, "WARNING: "+w)
	}
	st, err := e.Store()
	if err == nil {
		err = build.Begin(st)
	}
	if err != nil {
		return err
	}
	err = load(ctx, e, o)
	if err == nil {
		err = loadNamed(ctx, e, o)
	}
	defer func() {
		for _, discard := range append(o.discards, o.discard) {
			if discard != nil {
				_ = discard() // what is left the next command sweeps
			}
		}
	}()
	if err != nil {
		return failure.Local("%v", err)
	}
	quiet := o.Quiet || o.Progress == "none" || o.Progress == "quiet"
	mode := o.Progress
	if quiet {
		mode = "quiet"
	}
	shown := newDisplay(e, mode)
	old, isOld := shown.(*legacy)
	o.Watch = shown
	o.Fetch = func(ctx context.Context, ref image.Reference, platform string) error {
		if ref.String() == "docker.io/skiff/hello:latest" {
			_, err := client.LoadEmbedded(ctx, st)
			return err
		}
		registries, err := configuration.Read(e.Getenv)
		if err != nil {
			return err
		}
		_, err = client.Pull(ctx, st, message.Pull{Reference: ref.String(), Platform: platform, Registries: registries}, nil)
		return err
	}
	defer func() { _ = o.Outputs.close() }() // what was not committed has no name
	o.Remote = remote(e, st)
	result, err := build.Build(ctx, st, o.Options)
	digest := ""
	if err == nil && !o.Check {
		if err = o.Outputs.commit(); err == nil && o.Outputs.push {
			if digest, err = push(ctx, st, e, o, shown, result.ImageID); err != nil {
				err = fmt.Errorf("failed to push: %w", err)
			}
		}
	}
	shown.close()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(e.Err, "ERROR: failed to solve: Canceled: context canceled")
			return context.Canceled
		}
		var exit *build.ExitError
		if isOld && errors.As(err, &exit) {
			fmt.Fprintf(e.Err, "The command '%s' returned a non-zero code: %d\n", strings.Join(exit.Args, " "), exit.Code)
			return failure.Status(exit.Code)
		}
		explain(e.Err, err)
		return failure.Status(1)
	}
	if o.Check {
		return printCheck(e, o, result.Warnings)
	}
	if isOld && result.ImageID != "" {
		old.built(result.ImageID, o.Tags)
	}
	if !isOld && mode != "quiet" && mode != "none" && mode != "rawjson" {
		printWarnings(e.Err, result.Warnings)
	}
	if result.ImageID == "" {
		return nil
	}
	if o.IIDFile != "" {
		if err := os.WriteFile(o.IIDFile, []byte("sha256:"+result.ImageID), 0o644); err != nil {
			return failure.Local("failed to write image ID file: %v", err)
		}
	}
	if o.Metadata != "" {
		if err := writeMetadata(o, result, digest); err != nil {
			return failure.Local("failed to write metadata file: %v", err)
		}
	}
	if quiet && o.Progress != "none" {
		fmt.Fprintln(e.Out, "sha256:"+result.ImageID)
	}
	return nil
}

// printWarnings is buildx's list at the end of a build.
func printWarnings(w io.Writer, list []dockerfile.Warning) {
	switch len(list) {
	case 0:
		return
	case 1:
		fmt.Fprint(w, "\n 1 warning found (use docker --debug to expand):\n")
	default:
		fmt.Fprintf(w, "\n %d warnings found (use docker --debug to expand):\n", len(list))
	}
	for _, v := range list {
		fmt.Fprintf(w, " - %s: %s (line %d)\n", v.Rule, format.EscapeText(v.Text), v.Line)
	}
}

// printCheck is the answer of --check.
func printCheck(e *env.Env, o *options, list []dockerfile.Warning) error {
	switch len(list) {
	case 0:
		_, err := fmt.Fprintln(e.Out, "Check complete, no warnings found.")
		return err
	case 1:
		fmt.Fprintln(e.Out, "Check complete, 1 warning has been found!")
	default:
		fmt.Fprintf(e.Out, "Check complete, %d warnings have been found!\n", len(list))
	}
	for _, v := range list {
		build.PrintViolation(e.Out, v, o.Name, o.Dockerfile)
	}
	return failure.Status(1)
}

// push sends the image to the registries that its names say, and returns the
// digest that the last one knows it by.
func push(ctx context.Context, st *storage.Store, e *env.Env, o *options, shown display, id string) (digest string, err error) {
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return "", err
	}
	for _, name := range o.Tags {
		task := shown.Begin("pushing " + name)
		result, err := client.Push(ctx, st, message.Push{ID: id, Reference: name, Registries: registries}, func(ev message.Event) {
			switch ev.Kind {
			case message.LayerPushed, message.LayerThere, message.LayerMounted:
				task.Status(fmt.Sprintf("pushing layer %.12s done", strings.TrimPrefix(ev.Layer, "sha256:")))
			}
		})
		if err == nil {
			digest = result.Digest
			task.Status("pushing manifest for " + name + "@" + digest + " done")
		}
		task.Done(err)
		if err != nil {
			return "", err
		}
	}
	return digest, nil
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

// explain prints why a build failed, as buildx does.
func explain(w io.Writer, err error) {
	var f *build.Failure
	if errors.As(err, &f) {
		if f.Step != "" {
			fmt.Fprintf(w, "------\n > %s:\n", f.Step)
			for _, line := range f.Log {
				fmt.Fprintln(w, line)
			}
			fmt.Fprintln(w, "------")
		}
		if text := f.Excerpt(); text != "" {
			fmt.Fprint(w, text)
		}
	}
	text := err.Error()
	if !strings.HasPrefix(text, "failed to solve: ") {
		text = "failed to solve: " + text
	}
	fmt.Fprintln(w, "ERROR: "+text)
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintln(w, "hint: "+h.Hint())
	}
}

// load reads the Dockerfile and finds the context.
func load(ctx context.Context, e *env.Env, o *options) error {
	if o.Path == "-" {
		if o.File == "-" {
			return errors.New("invalid argument: can't use stdin for both build context and dockerfile")
		}
		return loadInput(e, o, e.In)
	}
	if _, err := os.Lstat(o.Path); err != nil && build.IsRemote(o.Path) {
		return loadRemote(ctx, e, o)
	}
	info, err := os.Stat(o.Path)
	if err != nil {
		return fmt.Errorf("unable to prepare context: path %q not found", o.Path)
	}
	if !info.IsDir() {
		return fmt.Errorf("unable to prepare context: context must be a directory: %s", o.Path)
	}
	if o.Context, err = filepath.Abs(o.Path); err != nil {
		return err
	}
	if o.Context, err = filepath.EvalSymlinks(o.Context); err != nil {
		return err
	}
	return loadDirectory(e, o)
}

// loadRemote fetches the context: a git repository, an archive or a Dockerfile.
func loadRemote(ctx context.Context, e *env.Env, o *options) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	f, err := build.Fetch(ctx, st, o.Path, o.SSH["default"])
	if err != nil {
		return fmt.Errorf("failed to solve: failed to load the build context %s: %w", o.Path, err)
	}
	o.discard = f.Discard
	if f.Dir == "" {
		err := loadInput(e, o, f.File)
		if o.Context != "" {
			return errors.Join(err, f.Discard())
		}
		return err
	}
	o.Context, o.Path = f.Dir, f.Dir
	return loadDirectory(e, o)
}

// loadNamed fetches the named contexts that are not on this machine.
func loadNamed(ctx context.Context, e *env.Env, o *options) error {
	for name, address := range o.Contexts {
		if !build.IsRemote(address) || strings.HasPrefix(address, "/") {
			continue
		}
		st, err := e.Store()
		if err != nil {
			return err
		}
		f, err := build.Fetch(ctx, st, address, o.SSH["default"])
		if err != nil {
			return fmt.Errorf("failed to solve: failed to load the build context %s: %w", address, err)
		}
		o.discards = append(o.discards, f.Discard)
		if f.Dir != "" {
			o.Contexts[name] = f.Dir
			continue
		}
		plain, err := build.Decompress(f.File)
		if err != nil {
			return fmt.Errorf("failed to solve: build context %s: %w", address, err)
		}
		dir, discard, err := build.UnpackContext(st, plain)
		if err != nil {
			return fmt.Errorf("failed to solve: build context %s is no archive: %w", address, err)
		}
		o.discards = append(o.discards, discard)
		o.Contexts[name] = dir
	}
	return nil
}

// loadInput takes what comes on standard input or from a URL for a Dockerfile,
// or for a context as a tar, by its contents.
func loadInput(e *env.Env, o *options, input io.Reader) error {
	plain, err := build.Decompress(input)
	if err != nil {
		return fmt.Errorf("failed to read the build context: %w", err)
	}
	in := bufio.NewReaderSize(plain, 1<<10)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("failed to read the build context: %w", err)
	}
	if _, err := tar.NewReader(bytes.NewReader(head)).Next(); err != nil {
		data, err := io.ReadAll(io.LimitReader(in, maxDockerfile+1))
		if err != nil {
			return fmt.Errorf("failed to read the build context: %w", err)
		}
		o.Dockerfile, o.Name = data, "Dockerfile"
		return checkSize(data)
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	if o.Context, o.discard, err = build.UnpackContext(st, in); err != nil {
		return fmt.Errorf("failed to unpack the build context: %w", err)
	}
	o.Path = o.Context
	return loadDirectory(e, o)
}

// loadDirectory reads the Dockerfile and .dockerignore of a context.
func loadDirectory(e *env.Env, o *options) (err error) {
	// What came with the context is read beneath it; the user's own files are
	// where the user says.
	read, in := readFile, o.Path
	if o.discard != nil {
		read, in = func(name string) ([]byte, error) { return build.ReadBeneath(o.Context, name, maxDockerfile+1) }, "/"
	}
	name := o.File
	switch name {
	case "-":
		if o.Dockerfile, err = io.ReadAll(io.LimitReader(e.In, maxDockerfile+1)); err != nil {
			return fmt.Errorf("failed to read from standard input: %w", err)
		}
		o.Name = "Dockerfile"
	case "":
		name = filepath.Join(in, "Dockerfile")
		fallthrough
	default:
		o.Name = filepath.Base(name)
		if o.Dockerfile, err = read(name); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("failed to solve: failed to read dockerfile: open %s: no such file or directory", o.Name)
			}
			return fmt.Errorf("failed to solve: failed to read dockerfile: %w", err)
		}
	}
	if err := checkSize(o.Dockerfile); err != nil {
		return err
	}
	// That of the Dockerfile wins over that of the context.
	for _, ignore := range []string{name + ".dockerignore", filepath.Join(in, ".dockerignore")} {
		if name == "-" && ignore == "-.dockerignore" {
			continue
		}
		if o.Ignore, err = read(ignore); err == nil || !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read .dockerignore: %w", err)
	}
	return nil
}

// maxDockerfile bounds a Dockerfile, in bytes: BuildKit's bound is 16 MB too.
const maxDockerfile = 16 << 20

func checkSize(data []byte) error {
	if len(data) > maxDockerfile {
		return fmt.Errorf("the Dockerfile is larger than %d bytes", maxDockerfile)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return errors.New("failed to solve: the Dockerfile cannot be empty")
	}
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDockerfile+1))
}

// epoch reads seconds since 1970.
func epoch(text string) (time.Time, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0).UTC(), err
}
