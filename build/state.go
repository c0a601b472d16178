package build

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"skiff/build/dockerfile"
	"skiff/storage/container"
	"skiff/storage/image"
)

// defaultPath is what PATH is where the image does not say.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// historyComment marks the lines of an image's history that a build made.
const historyComment = "buildkit.dockerfile.v0"

// state is a root file system and a configuration, after some instruction.
type state struct {
	// key is what the files follow from.
	key    string
	base   *image.Image // nil above nothing
	layers []*layer     // on top of base, bottom first
	config image.Config
	// env is the environment of a RUN, what ARG declared included.
	env []string
	// declared are the build arguments, for the history.
	declared []dockerfile.Pair
	cmdSet   bool
	// workdirSet says that a WORKDIR came before.
	workdirSet bool
	// foreign says that nobody knows the base's environment.
	foreign bool
	lex     *shell.Lex
}

// clone returns a copy that shares nothing that is ever changed.
func (s *state) clone() *state {
	c := *s
	p := &c.config.Config
	c.layers, c.env, c.declared = slices.Clone(s.layers), slices.Clone(s.env), slices.Clone(s.declared)
	c.config.History = slices.Clone(s.config.History)
	p.Env, p.OnBuild = slices.Clone(p.Env), slices.Clone(p.OnBuild)
	p.Labels, p.Volumes, p.ExposedPorts = maps.Clone(p.Labels), maps.Clone(p.Volumes), maps.Clone(p.ExposedPorts)
	return &c
}

// dirs are the directories of the layers, topmost first.
func (s *state) dirs(b *builder) []string {
	var dirs []string
	for _, l := range slices.Backward(s.layers) {
		dirs = append(dirs, l.dir)
	}
	if s.base != nil {
		for _, id := range s.base.Layers {
			dirs = append(dirs, path.Join(b.st.Layers(), id, "diff"))
		}
	}
	return dirs
}

// setEnv sets a variable in a list.
func setEnv(list []string, key, value string) []string {
	for i, kv := range list {
		if name, _, _ := strings.Cut(kv, "="); name == key {
			list[i] = key + "=" + value
			return list
		}
	}
	return append(list, key+"="+value)
}

func getEnv(list []string, key string) (string, bool) {
	for _, kv := range list {
		if name, value, _ := strings.Cut(kv, "="); name == key {
			return value, true
		}
	}
	return "", false
}

// expand is that of the state, and notes variables that nothing defines.
func (e *evaluation) expand(word string) (string, error) {
	out, err := e.lex.ProcessWordWithMatches(word, shell.EnvsFromSlice(e.env))
	if err == nil && e.at != nil && len(out.Unmatched) > 0 {
		e.undefined(e.at, out.Unmatched)
	}
	return out.Result, err
}

func (e *evaluation) expandAll(words []string) ([]string, error) {
	out := make([]string, len(words))
	for i, w := range words {
		var err error
		if out[i], err = e.expand(w); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// expand replaces the variables in a word.
func (s *state) expand(word string) (string, error) {
	out, _, err := s.lex.ProcessWord(word, shell.EnvsFromSlice(s.env))
	return out, err
}

// remark adds a line to the history. A layer comes with a time of its own.
func (s *state) remark(text string, l *layer) {
	h := image.History{CreatedBy: text, Comment: historyComment, EmptyLayer: l == nil}
	if l != nil {
		h.Created = &l.Created
	}
	s.config.History = append(s.config.History, h)
}

// platform is os/arch[/variant] of what is built.
func (b *builder) platform() string {
	if b.Platform != "" {
		return b.Platform
	}
	return machine()
}

func machine() string { return "linux/" + runtime.GOARCH }

// globals evaluates the ARGs before the first FROM.
func (b *builder) globals() error {
	b.args = b.Args
	for _, p := range []struct{ prefix, platform string }{{"TARGET", b.platform()}, {"BUILD", machine()}} {
		parts := append(strings.SplitN(p.platform, "/", 3), "", "")
		for _, kv := range [][2]string{{"PLATFORM", p.platform}, {"OS", parts[0]}, {"ARCH", parts[1]}, {"VARIANT", parts[2]}} {
			value := kv[1]
			if own, ok := b.args[p.prefix+kv[0]]; ok {
				value = own
			}
			b.global = append(b.global, p.prefix+kv[0]+"="+value)
		}
	}
	stage := "default"
	if b.Target != "" {
		stage = b.Target
	}
	b.global = append(b.global, "TARGETSTAGE="+stage)
	s := &state{lex: shell.NewLex(b.file.Escape), env: b.global}
	for _, a := range b.file.Args {
		value, given := b.args[a.Key]
		if !given {
			if a.Missing {
				continue
			}
			var err error
			if value, err = s.expand(a.Value); err != nil {
				return err
			}
		}
		s.env = setEnv(s.env, a.Key, value)
	}
	b.global = s.env
	return nil
}

// evaluate builds stage i.
func (b *builder) evaluate(ctx context.Context, i int) (*state, error) {
	stage := &b.file.Stages[i]
	e := &evaluation{builder: b, ctx: ctx, index: i, stage: stage}
	if len(b.file.Stages) > 1 {
		e.name = stage.Name
		if e.name == "" {
			e.name = fmt.Sprintf("stage-%d", i)
		}
	}
	e.noCache = b.NoCache || slices.ContainsFunc(b.NoCacheFor, func(n string) bool {
		return strings.EqualFold(n, stage.Name) || n == fmt.Sprint(i)
	})
	if err := e.from(); err != nil {
		return nil, at(&stage.Command, err)
	}
	triggers := e.config.Config.OnBuild
	e.config.Config.OnBuild = nil
	for _, t := range triggers {
		file, err := b.read(ctx, dockerfile.Question{Text: []byte(t), Triggers: true})
		if err != nil {
			return nil, at(&stage.Command, err)
		}
		for _, c := range file.Stages[0].Commands {
			c.Start, c.End = stage.Start, stage.End
			e.commands = append(e.commands, command{c, true})
		}
	}
	for _, c := range stage.Commands {
		e.commands = append(e.commands, command{c, false})
	}
	for _, c := range e.commands {
		e.prefetch(&c.Command)
		if makesFiles(c.Name) {
			e.total++
		}
	}
	for n := range e.commands {
		c := &e.commands[n]
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		e.at = &c.Command
		if e.narrator != nil && !makesFiles(c.Name) {
			e.narrator.Instruction(e.shown(c))
		}
		if err := e.dispatch(c); err != nil {
			return nil, at(&c.Command, err)
		}
	}
	return e.state, nil
}

func makesFiles(name string) bool {
	return name == "add" || name == "copy" || name == "run" || name == "workdir"
}

// command is an instruction; trigger says that it comes from an ONBUILD.
type command struct {
	dockerfile.Command
	trigger bool
}

// evaluation is one stage being evaluated.
type evaluation struct {
	*builder
	*state
	ctx      context.Context
	index    int
	stage    *dockerfile.Stage
	name     string // "" when there is only one stage
	commands []command
	at       *dockerfile.Command // that is being done
	noCache  bool
	total    int // steps, FROM included
	current  int
}

// title is how a step is announced: its number among the stage's and its text.
func (e *evaluation) title(text string, trigger bool) string {
	e.current++
	prefix := "["
	if len(e.Platforms) > 1 {
		prefix += e.platform() + " "
	}
	if e.name != "" {
		prefix += e.name + " "
	}
	width := int(1 + math.Log10(float64(max(1, e.total))))
	prefix += fmt.Sprintf("%*d/%d] ", width, e.current, e.total)
	if trigger {
		prefix += "ONBUILD "
	}
	return prefix + text
}

// shown is an instruction as it is announced: its name in capitals, variables
// that are known replaced.
func (e *evaluation) shown(c *command) string {
	lex := shell.NewLex(e.file.Escape)
	lex.RawQuotes, lex.SkipUnsetEnv, lex.SkipProcessQuotes = true, true, true
	text, _, err := lex.ProcessWord(c.Text, shell.EnvsFromSlice(e.env))
	if err != nil {
		text = c.Text
	}
	first, rest, _ := strings.Cut(text, " ")
	return strings.ToUpper(first) + " " + rest
}

// from sets the state that the stage begins with.
func (e *evaluation) from() (err error) {
	globals := &state{lex: shell.NewLex(e.file.Escape), env: e.global}
	base, err := globals.expand(e.stage.Base)
	if err != nil {
		return err
	}
	platform, err := globals.expand(e.stage.Platform)
	if err != nil {
		return err
	}
	if base == "" {
		return fmt.Errorf("base name (%s) should not be blank", e.stage.Base)
	}
	if e.narrator != nil {
		defer func() {
			if err == nil {
				e.narrator.Instruction(e.stage.Text)
			}
		}()
	}
	named, isNamed := e.Contexts[base]
	if i := e.stageNamed(base); i >= 0 && !isNamed {
		under, err := e.builder.stage(e.ctx, i)
		if err != nil {
			return err
		}
		e.state = under.clone()
		e.cmdSet = false
		e.lex = shell.NewLex(e.file.Escape)
		return nil
	}
	if base == "scratch" && !isNamed {
		e.state = e.scratch()
		return nil
	}
	e.total = 1
	if isNamed {
		ref, ok := strings.CutPrefix(named, "docker-image://")
		if !ok {
			return fmt.Errorf("the build context %q is not an image, which FROM needs", base)
		}
		base = ref
	}
	e.state, err = e.image(e.ctx, base, platform)
	if err != nil {
		return err
	}
	e.state = e.state.clone()
	e.lex = shell.NewLex(e.file.Escape)
	for _, c := range e.stage.Commands {
		if makesFiles(c.Name) {
			e.total++
		}
	}
	task := e.Watch.Begin(e.title("FROM "+base, false))
	e.total = 1
	task.Cached()
	task.Done(nil)
	return nil
}

// stageNamed returns the index of an earlier stage by its name, not its number.
func (e *evaluation) stageNamed(name string) int {
	for i := e.index - 1; i >= 0; i-- {
		if n := e.file.Stages[i].Name; n != "" && strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

func (b *builder) scratch() *state {
	s := &state{key: keyOf("scratch"), lex: shell.NewLex(b.file.Escape)}
	parts := append(strings.SplitN(b.platform(), "/", 3), "")
	s.config.OS, s.config.Architecture, s.config.Variant = parts[0], parts[1], parts[2]
	s.config.Config.WorkingDir = "/"
	s.config.Config.Env = []string{"PATH=" + defaultPath}
	s.env = slices.Clone(s.config.Config.Env)
	return s
}

// image returns the state that an image is, fetched if need be.
func (b *builder) image(ctx context.Context, name, platform string) (*state, error) {
	ref, err := image.ParseReference(name)
	if err != nil {
		return nil, fmt.Errorf("failed to parse stage name %q: %w", name, err)
	}
	ref = ref.WithDefaultTag()
	if platform == "" {
		platform = b.Platform
	}
	b.mu.Lock()
	key := ref.String() + " " + platform
	f := b.images[key]
	if f == nil {
		f = newFuture()
		b.images[key] = f
	}
	b.mu.Unlock()
	f.start(func() (*state, error) { return b.loadImage(ctx, ref, platform) })
	return f.wait(ctx)
}

func (b *builder) loadImage(ctx context.Context, ref image.Reference, platform string) (_ *state, err error) {
	task := b.Watch.Begin("[internal] load metadata for " + ref.String())
	defer func() { task.Done(err) }()
	img, err := b.find(ref, platform)
	if b.Check && (err != nil || img.Graph != "") {
		// What the rules need of it is not worth a download.
		s := b.scratch()
		s.foreign = true
		return s, nil
	}
	if b.Pull || err != nil || img.Graph != "" || platform != "" && !img.Suits(platform) {
		if b.Fetch == nil {
			return nil, fmt.Errorf("%s: not found", ref)
		}
		if err := b.Fetch(ctx, ref, platform); err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		if img, err = b.find(ref, platform); err != nil {
			return nil, err
		}
	}
	s := &state{base: img, config: img.Config, lex: shell.NewLex(b.file.Escape)}
	// What the files are follows from the layers alone; the platform stands for
	// what would run in them.
	s.key = keyOf("image", img.Config.RootFS.DiffIDs, img.Config.OS, img.Config.Architecture)
	if _, ok := getEnv(s.config.Config.Env, "PATH"); !ok {
		s.config.Config.Env = append(slices.Clone(s.config.Config.Env), "PATH="+defaultPath)
	}
	if s.config.Config.WorkingDir == "" {
		s.config.Config.WorkingDir = "/"
	}
	s.env = slices.Clone(s.config.Config.Env)
	return s, nil
}

// prefetch starts to build the stages that a command copies from.
func (e *evaluation) prefetch(c *dockerfile.Command) {
	if e.narrator != nil {
		return // one after the other
	}
	for _, n := range c.Sources() {
		if _, named := e.Contexts[n]; named {
			continue
		}
		if i := e.findStage(n, e.index); i >= 0 {
			e.begin(e.ctx, i)
		}
	}
}

// now is the time of what is made.
func (b *builder) now() time.Time {
	if b.Epoch != nil {
		return *b.Epoch
	}
	return time.Now().UTC()
}

// process is the configuration's part that instructions change.
func (s *state) process() *container.Process { return &s.config.Config }
