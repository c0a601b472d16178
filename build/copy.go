package build

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// copy is COPY and ADD.
func (e *evaluation) copy(c *command) error {
	args, err := e.expandAll(c.Args)
	if err != nil {
		return err
	}
	dest, err := e.expand(c.Dest)
	if err != nil {
		return err
	}
	chown, err := e.expand(c.Chown)
	if err != nil {
		return err
	}
	chmod, err := e.expand(c.Chmod)
	if err != nil {
		return err
	}
	exclude, err := e.expandAll(c.Exclude)
	if err != nil {
		return err
	}
	change, err := parseMode(chmod)
	if err != nil {
		return err
	}
	add := c.Name == "add"
	remote := slices.ContainsFunc(args, isRemote)
	switch {
	case remote && !add:
		return errors.New("source can't be a URL for COPY")
	case c.Checksum != "" && (!add || len(args) != 1):
		return errors.New("checksum can't be specified for multiple sources")
	case c.Checksum != "" && !remote:
		return errors.New("checksum requires HTTP(S) or Git sources")
	case c.Link && chown != "" && strings.Trim(chown, "0123456789:") != "":
		return fmt.Errorf("--chown=%s: user and group names can't be resolved when used with --link, use numeric uid[:gid] instead", chown)
	case len(args)+len(c.Files) > 1 && !strings.HasSuffix(dest, "/"):
		return fmt.Errorf("when using %s with more than one source file, the destination must be a directory and end with a /", strings.ToUpper(c.Name))
	}
	target := dest
	if !path.IsAbs(target) {
		target = path.Join(e.process().WorkingDir, target)
		if strings.HasSuffix(dest, "/") || dest == "." || strings.HasSuffix(dest, "/.") {
			target += "/"
		}
	}
	if c.From == "" && len(c.Args) > 0 {
		m, err := e.matcher()
		if err != nil {
			return err
		}
		for _, a := range args {
			if !isRemote(a) {
				e.ignoredSource(&c.Command, m, a)
			}
		}
	}
	if e.Check {
		return nil
	}
	j := &copyJob{evaluation: e, command: c, add: add, target: target, chown: chown, change: change, exclude: exclude}
	files := slices.Clone(c.Files)
	for i := range files {
		if !files[i].Expand {
			continue
		}
		lex := shell.NewLex(e.file.Escape)
		lex.RawQuotes, lex.RawEscapes = true, true
		if files[i].Data, _, err = lex.ProcessWord(files[i].Data, shell.EnvsFromSlice(e.env)); err != nil {
			return err
		}
	}
	j.files = files

	title := e.shown(c)
	if i := strings.IndexByte(title, '\n'); i >= 0 {
		title = title[:i]
	}
	params := keyOf(target, chown, chmod, exclude, c.Parents, c.Link, c.Unpack, c.KeepGit, c.Checksum, add, files, e.Epoch)
	keys, err := j.keys(args, params)
	if err != nil {
		return err
	}
	defer j.close()
	l, err := e.step(c, title, keys, j.do)
	if err != nil {
		return err
	}
	text := strings.ToUpper(c.Name)
	if c.Parents {
		text += " --parents"
	}
	if chown != "" {
		text += " --chown=" + chown
	}
	if chmod != "" {
		text += " --chmod=" + chmod
	}
	for _, a := range args {
		text += " " + a
	}
	for _, f := range c.Files {
		text += " <<" + f.Name
	}
	e.remark(text+" "+dest+" # buildkit", l)
	return nil
}

// copyJob is one COPY or ADD.
type copyJob struct {
	*evaluation
	command *command
	add     bool
	target  string
	chown   string
	change  *modeChange
	exclude []string
	files   []heredoc
	sources []copySource
	remotes []remote
	src     *source
	own     bool // src is ours to close
}

// copySource is one source with what was found of it.
type copySource struct {
	list []*found
	// below is what --parents puts in front of the names.
	below string
}

// keys are what the step is known by. The first says what is copied by its
// contents. Of a stage, another one says where from: then nothing has to be
// read.
func (j *copyJob) keys(args []string, params string) ([]string, error) {
	e, c := j.evaluation, j.command
	parent := e.key
	var contents []string
	for _, a := range args {
		if !j.add || !isRemote(a) {
			continue
		}
		r, err := newRemote(a, c.Checksum, c.KeepGit)
		if err != nil {
			return nil, err
		}
		id, err := r.identity(e.builder, e.ctx)
		if err != nil {
			return nil, err
		}
		contents = append(contents, id...)
		j.remotes = append(j.remotes, r)
	}
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return j.add && isRemote(a) })
	if len(args) == 0 {
		return []string{keyOf("copy", parent, params, contents)}, nil
	}
	quick := ""
	if c.From != "" {
		st, dir, err := e.origin(c.From)
		if err != nil {
			return nil, err
		}
		if st != nil {
			quick = keyOf("copy from", parent, params, st.key, args)
			if !e.noCache {
				if l := e.cached(quick); l != nil {
					return []string{quick}, nil
				}
			}
			if j.src, err = e.stateSource(st); err != nil {
				return nil, err
			}
			j.own = true
		} else {
			if j.src, err = e.openDirectory(dir, nil); err != nil {
				return nil, err
			}
			j.own = true
		}
	} else {
		var err error
		if j.src, err = e.contextSource(); err != nil {
			return nil, err
		}
	}
	for _, name := range args {
		s, err := j.find(name)
		if err != nil {
			return nil, err
		}
		sum, err := j.src.digest(s.list, j.src.owned)
		if err != nil {
			return nil, err
		}
		contents = append(contents, s.below, sum)
		j.sources = append(j.sources, s)
	}
	key := keyOf("copy", parent, params, contents)
	if quick == "" {
		return []string{key}, nil
	}
	// The quick one names the state, so that it does next time too.
	return []string{quick, key}, nil
}

func (j *copyJob) find(name string) (copySource, error) {
	var s copySource
	pattern := name
	if j.command.Parents {
		pivot, rest, ok := strings.Cut(name, "/./")
		if !ok {
			pivot, rest = "", name
		}
		s.below = path.Clean("/" + pivot)
		pattern = path.Join(pivot, rest)
	}
	list, err := j.src.find(pattern, j.exclude)
	if err != nil {
		return s, err
	}
	if len(list) == 0 && !strings.ContainsAny(pattern, `*?[\`) {
		return s, notFound(name)
	}
	s.list = list
	return s, nil
}

func (j *copyJob) close() {
	for _, s := range j.sources {
		for _, f := range s.list {
			f.at.Close()
		}
	}
	if j.own {
		j.src.close()
	}
}

// do copies.
func (j *copyJob) do(w *work) error {
	o := putOptions{mode: j.change, epoch: j.Epoch}
	given, err := w.owner(j.chown)
	if err != nil {
		return err
	}
	if j.chown != "" || j.src == nil || !j.src.owned {
		o.owner = &given
	}
	for _, s := range j.sources {
		for _, f := range s.list {
			if err := j.put(w, &s, f, o); err != nil {
				return err
			}
		}
	}
	o.owner = &given
	for _, r := range j.remotes {
		if err := j.bring(w, r, o); err != nil {
			return err
		}
	}
	for _, f := range j.files {
		if err := j.write(w, f, o); err != nil {
			return err
		}
	}
	return nil
}

func (j *copyJob) put(w *work, s *copySource, f *found, o putOptions) error {
	target := j.target
	if j.command.Parents {
		rel, err := f.src.relative(f.at)
		if err != nil {
			return err
		}
		if f.dir {
			target = path.Join(target, strings.TrimPrefix("/"+rel, s.below))
		} else {
			target = path.Join(target, strings.TrimPrefix("/"+rel, s.below)) + "/"
		}
	}
	if j.add && j.command.Unpack != "false" && !f.dir {
		done, err := unpack(w, f, target, o)
		if done || err != nil {
			return err
		}
	}
	return w.tree.put(w.ctx, f, target, o)
}

// bring puts a remote source in its place.
func (j *copyJob) bring(w *work, r remote, o putOptions) error {
	src, f, err := r.fetch(j.builder, w.ctx)
	if err != nil {
		return err
	}
	defer src.close()
	defer f.at.Close()
	if j.command.Unpack == "true" && !f.dir {
		if done, err := unpack(w, f, j.target, o); done || err != nil {
			return err
		}
	}
	return w.tree.put(w.ctx, f, j.target, o)
}

// write makes the file that stands in the Dockerfile.
func (j *copyJob) write(w *work, f heredoc, o putOptions) error {
	dir, base := j.target, f.Name
	if !strings.HasSuffix(j.target, "/") {
		dir, base = path.Split(j.target)
		if d, err := w.tree.open(j.target, unix.O_PATH|unix.O_DIRECTORY); err == nil {
			d.Close()
			dir, base = j.target, f.Name
		}
	}
	return w.writeFile(dir, path.Base(base), []byte(f.Data), 0o644, w.now(), o)
}

// writeFile makes one file in a directory of the root.
func (w *work) writeFile(dir, base string, data []byte, mode uint32, when time.Time, o putOptions) error {
	at, err := w.tree.mkdirAllAt(dir, *o.owner, 0o755, o.epoch)
	if err != nil {
		return err
	}
	defer at.Close()
	if o.mode != nil {
		mode = o.mode.apply(mode, false)
	}
	fd := -1
	err = replacing(int(at.Fd()), base, func() (err error) {
		fd, err = unix.Openat(int(at.Fd()), base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", path.Join(dir, base), err)
	}
	f := newFile(fd, base)
	defer f.Close()
	_, err = f.Write(data)
	err = errors.Join(err, unix.Fchown(fd, o.owner.uid, o.owner.gid), unix.Fchmod(fd, mode))
	if o.epoch != nil {
		when = *o.epoch
	}
	return errors.Join(err, setTime(int(at.Fd()), base, unix.NsecToTimespec(when.UnixNano())))
}

// origin is what --from names: the state of a stage or image, or a directory.
func (e *evaluation) origin(name string) (*state, string, error) {
	if named, ok := e.Contexts[name]; ok {
		if ref, isImage := strings.CutPrefix(named, "docker-image://"); isImage {
			st, err := e.image(e.ctx, ref, "")
			return st, "", err
		}
		return nil, named, nil
	}
	st, err := e.stateOf(name)
	return st, "", err
}

// stateOf is the state of a stage or image.
func (e *evaluation) stateOf(name string) (*state, error) {
	if i := e.findStage(name, e.index); i >= 0 {
		return e.builder.stage(e.ctx, i)
	}
	if strings.EqualFold(name, e.stage.Name) && name != "" {
		return nil, fmt.Errorf("stage %q copies from itself", name)
	}
	if name == "scratch" {
		return e.scratch(), nil
	}
	return e.image(e.ctx, name, "")
}
