package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/patternmatcher"

	"skiff/build/dockerfile"
	"skiff/build/dockerfile/embedded"
	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/temp"
)

// Options are what a build is made of.
type Options struct {
	// Context is the directory that files are copied from; empty without one.
	Context string
	// Dockerfile is the text, Name what it is called in messages.
	Dockerfile []byte
	Name       string
	// Ignore is the text of the .dockerignore that counts.
	Ignore []byte

	Tags   []string // normalized and tagged
	Args   map[string]string
	Target string
	Labels []dockerfile.Pair
	// NoCache builds every step anew, NoCacheFor those of these stages.
	NoCache    bool
	NoCacheFor []string
	Pull       bool
	// Platforms are what to build for, each os/arch[/variant]; none means this
	// machine. Of several each is an image of its own, and the names stand for all
	// of them.
	Platforms  []string
	Network    string // default, none, host
	ExtraHosts []string
	ShmSize    int64 // bytes
	Ulimits    []container.Ulimit
	// Contexts are named sources beside the context: a directory or an image.
	Contexts map[string]string
	// Secrets are the values of --secret by id.
	Secrets map[string][]byte
	// SSH are the sockets of agents by id.
	SSH map[string]string
	// Epoch, when not nil, is the time of everything that is made.
	Epoch *time.Time
	// Annotations are those of the image's manifest.
	Annotations map[string]string
	// Exports are wanted beside the image of the store; NoImage says that there is
	// to be none.
	Exports []*Export
	NoImage bool
	// Fetch brings an image into the store.
	Fetch func(ctx context.Context, ref image.Reference, platform string) error
	Watch Watcher
	// CacheFrom and CacheTo are caches of other builds, and for them.
	CacheFrom, CacheTo []CacheRef
	Remote             Remote
	// Check says that only the rules are to be checked: nothing is built.
	Check bool
}

// Watcher is told what a build does, from several goroutines.
type Watcher interface {
	// Begin announces something that is shown under name.
	Begin(name string) Task
}

// Narrator is a Watcher that wants to know of every instruction, one after the
// other: then nothing is done side by side.
type Narrator interface {
	// Steps says how many instructions there are.
	Steps(n int)
	// Instruction announces one for which nothing begins.
	Instruction(text string)
}

// Task is one thing that a build does.
type Task interface {
	// Cached says that it had been done before.
	Cached()
	// Status is a line about progress.
	Status(text string)
	// Output is what a process wrote; stream is 1 or 2.
	Output(stream int, data []byte)
	// Warn is for the user.
	Warn(text string)
	// Done ends the task.
	Done(err error)
}

// Result is what became of a build.
type Result struct {
	// ImageID is the image's, 64 hex digits; empty if none was made.
	ImageID string
	// Changed is false when the image and its names had been there.
	Changed bool
	// Warnings are what the rules have against the Dockerfile, by line.
	Warnings []dockerfile.Warning
}

// builder is one build for one platform.
type builder struct {
	Options
	// Platform is os/arch[/variant]; empty means this machine's.
	Platform string
	final    *state // of the target
	// holds keeps the layers of the store that the build stands on.
	holds *temp.Dir
	held  map[string]bool

	ctx    context.Context // of the whole build
	st     *storage.Store
	file   *dockerfile.File
	cache  *cache
	temp   *temp.Dir
	global []string // values of the ARGs before the first FROM
	args   map[string]string
	slots  chan struct{}
	stop   context.CancelCauseFunc

	mu     sync.Mutex
	stages []*future
	images map[string]*future
	source *source // the context, once somebody wants it
	loaded sync.Once
	srcErr error

	ignoreOnce sync.Once
	ignore     *patternmatcher.PatternMatcher
	ignoreErr  error
	steps      int
	narrator   Narrator // or nil
	imports    []*imported
	made       []made
	// warnings are those that the parser could not know.
	warnings []dockerfile.Warning
}

// Build builds and publishes. An error is a *Failure when it can be blamed on a
// place in the Dockerfile.
func Build(ctx context.Context, st *storage.Store, o Options) (_ *Result, err error) {
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	platforms := o.Platforms
	if len(platforms) == 0 {
		platforms = []string{""}
	}
	all := &product{}
	defer func() { err = errors.Join(err, all.close()) }()
	result := &Result{}
	for _, platform := range platforms {
		b, err := open(ctx, st, o, platform)
		if err != nil {
			return nil, err
		}
		all.of = append(all.of, b)
		warnings, err := b.solve()
		if err != nil {
			return nil, err
		}
		result.Warnings = warnings // of the same text
	}
	if o.Check {
		return result, nil
	}
	for _, x := range o.Exports {
		if err := all.give(ctx, x, result); err != nil {
			return nil, err
		}
	}
	if !o.NoImage {
		if err := all.publish(ctx, result); err != nil {
			return nil, err
		}
	}
	for _, b := range all.of {
		if err := b.exportCaches(ctx, b.final); err != nil {
			return nil, err
		}
	}
	return result, nil
}

// open begins to build for one platform.
func open(ctx context.Context, st *storage.Store, o Options, platform string) (_ *builder, err error) {
	b := &builder{Options: o, Platform: platform, st: st, images: map[string]*future{}, slots: make(chan struct{}, max(2, runtime.NumCPU()))}
	if b.cache, err = openCache(ctx, st); err != nil {
		return nil, err
	}
	b.ctx, b.stop = context.WithCancelCause(ctx)
	return b, nil
}

// close lets go of everything that was for this build only.
func (b *builder) close() error {
	b.stop(nil)
	b.closeImports()
	if b.source != nil {
		b.source.close()
	}
	err := errors.Join(b.temp.Remove(), b.holds.Remove())
	b.cache.close()
	if len(b.made) > 0 {
		// The next build that makes something tries again.
		_ = b.cache.tidy(time.Now())
	}
	return err
}

// solve builds the target, and returns what the rules have against the
// Dockerfile.
func (b *builder) solve() ([]dockerfile.Warning, error) {
	if err := b.parse(b.ctx); err != nil {
		return nil, err
	}
	target, err := b.target()
	if err != nil {
		return nil, err
	}
	b.openImports(b.ctx)
	// What is known already need not be built first.
	if _, err := b.violations(); err != nil {
		return nil, err
	}
	if n, ok := b.Watch.(Narrator); ok {
		b.narrator = n
		n.Steps(b.instructions(target, make(map[int]bool)))
	}
	b.final, err = b.stage(b.ctx, target)
	b.wait()
	if err != nil {
		return nil, b.explain(err)
	}
	return b.violations()
}

// parse reads the Dockerfile, or what was read of the same text before.
func (b *builder) parse(ctx context.Context) (err error) {
	task := b.Watch.Begin("[internal] load build definition from " + filepath.Base(b.Name))
	task.Status(fmt.Sprintf("transferring dockerfile: %s done", size(len(b.Dockerfile))))
	defer func() { task.Done(err) }()
	if b.file, err = b.read(ctx, dockerfile.Question{Text: b.Dockerfile}); err != nil {
		return b.explain(err)
	}
	if err := checkSyntax(b.file.Syntax); err != nil {
		return err
	}
	if err := checkSyntax(b.Args["BUILDKIT_SYNTAX"]); err != nil {
		return err
	}
	return b.globals()
}

// read parses text, or remembers what became of it.
func (b *builder) read(ctx context.Context, q dockerfile.Question) (*dockerfile.File, error) {
	name := b.cache.parsedName(q)
	if f := b.cache.parsed(name); f != nil {
		return f, nil
	}
	f, err := embedded.Parse(ctx, q)
	if err == nil {
		b.cache.keepParsed(name, f)
	}
	return f, err
}

// checkSyntax refuses a language that is not Dockerfile's: there are no other
// frontends, and what a foreign image would do is nobody's business here.
func checkSyntax(syntax string) error {
	if syntax == "" {
		return nil
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.Fields(syntax)[0], "docker.io/"), "@")
	name, _, _ = strings.Cut(name, ":")
	if name == "docker/dockerfile" || name == "docker/dockerfile-upstream" {
		return nil
	}
	return fmt.Errorf("failed to solve: frontend %q is not supported: only docker/dockerfile is, and it is built in", syntax)
}

// target is the index of the stage that is wanted.
func (b *builder) target() (int, error) {
	if len(b.file.Stages) == 0 {
		return 0, errors.New("dockerfile contains no stages to build")
	}
	if b.Target == "" {
		return len(b.file.Stages) - 1, nil
	}
	if i := b.findStage(b.Target, len(b.file.Stages)); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("target stage %q could not be found", b.Target)
}

// instructions counts those of a stage and of the stages that it needs.
func (b *builder) instructions(i int, seen map[int]bool) int {
	if i < 0 || seen[i] {
		return 0
	}
	seen[i] = true
	s := &b.file.Stages[i]
	n := 1 + len(s.Commands)
	if j := b.findStage(s.Base, i); j >= 0 && b.file.Stages[j].Name != "" {
		n += b.instructions(j, seen)
	}
	for k := range s.Commands {
		for _, name := range s.Commands[k].Sources() {
			n += b.instructions(b.findStage(name, i), seen)
		}
	}
	return n
}

// findStage returns the index of the stage before limit that name means, by name
// or number, or -1.
func (b *builder) findStage(name string, limit int) int {
	for i := limit - 1; i >= 0; i-- {
		if b.file.Stages[i].Name != "" && strings.EqualFold(b.file.Stages[i].Name, name) {
			return i
		}
	}
	n := -1
	if _, err := fmt.Sscanf(name, "%d", &n); err == nil && fmt.Sprint(n) == name && n >= 0 && n < limit {
		return n
	}
	return -1
}

// future is something that is evaluated once, by whoever wants it first.
type future struct {
	once sync.Once
	done chan struct{}
	st   *state
	err  error
}

func newFuture() *future { return &future{done: make(chan struct{})} }

// start begins to evaluate unless that was done.
func (f *future) start(evaluate func() (*state, error)) {
	f.once.Do(func() {
		go func() {
			defer close(f.done)
			f.st, f.err = evaluate()
		}()
	})
}

func (f *future) wait(ctx context.Context) (*state, error) {
	select {
	case <-f.done:
		return f.st, f.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stage evaluates stage i and what it needs.
func (b *builder) stage(ctx context.Context, i int) (*state, error) {
	return b.begin(ctx, i).wait(ctx)
}

// begin starts to evaluate stage i.
func (b *builder) begin(ctx context.Context, i int) *future {
	b.mu.Lock()
	if b.stages == nil {
		b.stages = make([]*future, len(b.file.Stages))
	}
	if b.stages[i] == nil {
		b.stages[i] = newFuture()
	}
	f := b.stages[i]
	b.mu.Unlock()
	f.start(func() (*state, error) {
		st, err := b.evaluate(ctx, i)
		if err != nil {
			b.stop(err)
		}
		return st, err
	})
	return f
}

// wait returns when nothing is being evaluated any more: a failure elsewhere
// must have ended every container before the working directory goes.
func (b *builder) wait() {
	for {
		b.mu.Lock()
		running := slices.Clone(b.stages)
		for _, f := range b.images {
			running = append(running, f)
		}
		b.mu.Unlock()
		open := false
		for _, f := range running {
			if f == nil {
				continue
			}
			select {
			case <-f.done:
			default:
				open = true
				<-f.done
			}
		}
		if !open {
			return
		}
	}
}

// workDir makes a directory for one step.
func (b *builder) workDir(ctx context.Context) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.temp == nil {
		var err error
		if b.temp, err = temp.Make(ctx, b.st); err != nil {
			return "", err
		}
	}
	b.steps++
	dir := filepath.Join(b.temp.Path, fmt.Sprint(b.steps))
	return dir, os.Mkdir(dir, 0o700)
}

// size is a number of bytes as BuildKit writes it.
func size(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%dB", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.2fkB", float64(n)/1000)
	}
	return fmt.Sprintf("%.2fMB", float64(n)/1000/1000)
}
