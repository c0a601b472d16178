package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"golang.org/x/sys/unix"
)

// source is where files are copied from: the context, or the root of a stage or
// image. Links in it cannot lead out of it.
type source struct {
	tree
	release func()
	// ignore is what .dockerignore leaves out; nil in a stage.
	ignore *patternmatcher.PatternMatcher
	// owned says that files keep their owner.
	owned bool
	sums  *sums
}

func (s *source) close() {
	if s.sums != nil {
		s.sums.save()
	}
	s.release()
}

// found is a file or directory of a source.
type found struct {
	name    string // its last part
	dir     bool
	at      *os.File // what the entries' paths are below
	entries []entry
	src     *source
}

// entry is one file, by its path below found.at.
type entry struct {
	path     string
	mode     uint32 // st_mode
	uid, gid int
	size     int64
	mtime    unix.Timespec
	ctime    unix.Timespec
	dev, ino uint64
	link     string
	xattrs   map[string]string
}

func (e *entry) kind() uint32 { return e.mode & unix.S_IFMT }

func (e *entry) fill(st *unix.Stat_t) {
	e.mode, e.uid, e.gid, e.size = st.Mode, int(st.Uid), int(st.Gid), st.Size
	e.mtime, e.ctime, e.dev, e.ino = st.Mtim, st.Ctim, st.Dev, st.Ino
}

func (f *found) openEntry(e *entry) (*os.File, error) {
	file, err := openIn(int(f.at.Fd()), e.path, unix.O_RDONLY|unix.O_NONBLOCK, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		file.Close()
		return nil, errors.New("it changed meanwhile")
	}
	return file, nil
}

// notFound is BuildKit's word for a source that is not there.
func notFound(name string) error {
	return fmt.Errorf("failed to compute cache key: failed to calculate checksum of ref: %q: not found", path.Clean("/"+name))
}

// contextSource opens the context, once.
func (b *builder) contextSource() (*source, error) {
	b.loaded.Do(func() { b.source, b.srcErr = b.openContext() })
	return b.source, b.srcErr
}

func (b *builder) openContext() (_ *source, err error) {
	ignore, err := b.matcher()
	if err != nil {
		return nil, err
	}
	if b.Context == "" {
		return nil, errors.New("failed to read the build context: there is none, because the Dockerfile came from standard input")
	}
	return b.openDirectory(b.Context, ignore)
}

func (b *builder) openDirectory(name string, ignore *patternmatcher.PatternMatcher) (*source, error) {
	dir, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open build context: %w", err)
	}
	s := &source{tree: tree{dir}, release: func() { dir.Close() }, ignore: ignore}
	s.sums = b.cache.sums(name)
	return s, nil
}

// matcher is what .dockerignore says, read once.
func (b *builder) matcher() (*patternmatcher.PatternMatcher, error) {
	b.ignoreOnce.Do(func() { b.ignore, b.ignoreErr = b.ignorePatterns() })
	return b.ignore, b.ignoreErr
}

func (b *builder) ignorePatterns() (*patternmatcher.PatternMatcher, error) {
	task := b.Watch.Begin("[internal] load .dockerignore")
	task.Status(fmt.Sprintf("transferring context: %s done", size(len(b.Ignore))))
	m, err := ignorePatterns(b.Ignore)
	task.Done(err)
	return m, err
}

// maxPatterns is how many lines a .dockerignore may have: each becomes a regular
// expression, and each file of the context is held against all of them.
const maxPatterns = 10_000

func ignorePatterns(text []byte) (*patternmatcher.PatternMatcher, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("error reading .dockerignore: %w", err)
	}
	if len(patterns) == 0 {
		return nil, nil
	}
	if len(patterns) > maxPatterns {
		return nil, fmt.Errorf("invalid .dockerignore: it has %d patterns; %d are allowed", len(patterns), maxPatterns)
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf("invalid .dockerignore: %w", err)
	}
	return m, nil
}

// stateSource opens the root of a stage or image to read from.
func (b *builder) stateSource(st *state) (*source, error) {
	dir, err := b.workDir(context.Background())
	if err != nil {
		return nil, err
	}
	upper, scratch := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(scratch, 0o700)); err != nil {
		return nil, err
	}
	root, release, err := b.mountLayers(st.dirs(b), dir, upper, scratch)
	if err != nil {
		return nil, err
	}
	return &source{tree: tree{root}, owned: true, release: func() { release(); _ = os.RemoveAll(dir) }}, nil
}

// find returns what a pattern of COPY means, without what exclude leaves out.
// A name without wildcards that is not there is nothing, not an error.
func (s *source) find(pattern string, exclude []string) ([]*found, error) {
	var more *patternmatcher.PatternMatcher
	if len(exclude) > 0 {
		var err error
		if more, err = patternmatcher.New(exclude); err != nil {
			return nil, err
		}
	}
	names := []string{path.Clean("/" + pattern)}
	if strings.ContainsAny(pattern, `*?[\`) {
		var err error
		if names, err = s.glob(names[0]); err != nil {
			return nil, err
		}
	}
	var out []*found
	for _, name := range names {
		f, err := s.load(name, more)
		if err != nil {
			return nil, err
		}
		if f != nil {
			out = append(out, f)
		}
	}
	return out, nil
}

// glob expands the wildcards of a path, part by part; they do not match "/".
func (s *source) glob(pattern string) ([]string, error) {
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(pattern, "/"), "/") {
		if part == "" {
			continue
		}
		if _, err := path.Match(part, ""); err != nil {
			return nil, fmt.Errorf("invalid pattern %q: %w", pattern, err)
		}
		var next []string
		for _, dir := range found {
			if !strings.ContainsAny(part, `*?[\`) {
				next = append(next, path.Join(dir, part))
				continue
			}
			d, err := s.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				continue // not a directory: nothing below it matches
			}
			names, err := d.Readdirnames(-1)
			d.Close()
			if err != nil {
				return nil, err
			}
			sort.Strings(names)
			for _, n := range names {
				if ok, _ := path.Match(part, n); ok {
					next = append(next, path.Join(dir, n))
				}
			}
		}
		found = next
	}
	return found, nil
}

// load reads what is at name: nil when nothing is, or when it is ignored.
func (s *source) load(name string, exclude *patternmatcher.PatternMatcher) (*found, error) {
	f, err := s.open(name, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	// Links were followed: what counts for .dockerignore is where they lead.
	rel, err := s.relative(f)
	if err != nil {
		return nil, err
	}
	out := &found{name: path.Base(path.Clean("/" + name)), src: s}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		out.dir = true
		if out.at, err = openIn(int(f.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, unix.RESOLVE_BENEATH); err != nil {
			return nil, err
		}
		w := walk{src: s, to: out, base: rel, exclude: exclude}
		kept, err := w.dir(out.at, "", w.parents(rel))
		if err != nil {
			return nil, err
		}
		if rel != "" && !kept && len(out.entries) == 0 && s.ignored(rel) {
			return nil, nil
		}
		return out, nil
	}
	if s.ignored(rel) {
		return nil, nil
	}
	if exclude != nil {
		if no, err := exclude.MatchesOrParentMatches(out.name); err != nil || no {
			return nil, err
		}
	}
	e := entry{path: path.Base(rel)}
	e.fill(&st)
	if out.at, err = s.open(path.Dir("/"+rel), unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return nil, err
	}
	if s.owned {
		e.readXattrs(out.at)
	}
	out.entries = []entry{e}
	return out, nil
}

// relative is the path of an open file below the root, without links.
func (s *source) relative(f *os.File) (string, error) {
	full, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	root, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", s.root.Fd()))
	if err != nil {
		return "", err
	}
	if root == "/" {
		return strings.TrimPrefix(full, "/"), nil
	}
	return strings.TrimPrefix(strings.TrimPrefix(full, root), "/"), nil
}

func (s *source) ignored(rel string) bool {
	if s.ignore == nil || rel == "" {
		return false
	}
	no, err := s.ignore.MatchesOrParentMatches(rel)
	return err == nil && no
}

// walk collects the entries of a directory.
type walk struct {
	src     *source
	to      *found
	base    string // path of the directory below the source's root
	exclude *patternmatcher.PatternMatcher
}

func (w *walk) parents(rel string) patternmatcher.MatchInfo {
	var info patternmatcher.MatchInfo
	if w.src.ignore == nil || rel == "" {
		return info
	}
	at := ""
	for _, part := range strings.Split(rel, "/") {
		at = path.Join(at, part)
		_, next, err := w.src.ignore.MatchesUsingParentResults(at, info)
		if err != nil {
			return info
		}
		info = next
	}
	return info
}

// dir collects what is in the directory d, whose path below found.at is at, and
// reports whether anything was.
func (w *walk) dir(d *os.File, at string, parent patternmatcher.MatchInfo) (bool, error) {
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false, fmt.Errorf("read directory %s: %w", at, err)
	}
	slices.Sort(names)
	any := false
	for _, name := range names {
		kept, err := w.one(d, name, path.Join(at, name), parent)
		if err != nil {
			return any, err
		}
		any = any || kept
	}
	return any, nil
}

func (w *walk) one(d *os.File, name, at string, parent patternmatcher.MatchInfo) (bool, error) {
	var ignored bool
	info := parent
	if m := w.src.ignore; m != nil {
		var err error
		if ignored, info, err = m.MatchesUsingParentResults(path.Join(w.base, at), parent); err != nil {
			return false, err
		}
	}
	if w.exclude != nil {
		no, err := w.exclude.MatchesOrParentMatches(at)
		if err != nil {
			return false, err
		}
		ignored = ignored || no
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return false, nil
		}
		return false, fmt.Errorf("stat %s: %w", at, err)
	}
	e := entry{path: at}
	e.fill(&st)
	switch e.kind() {
	case unix.S_IFDIR:
		return w.below(d, name, &e, ignored, info)
	case unix.S_IFLNK:
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(int(d.Fd()), name, buf)
		if err != nil {
			return false, fmt.Errorf("read link %s: %w", at, err)
		}
		e.link = string(buf[:n])
	case unix.S_IFREG, unix.S_IFIFO:
	default:
		return false, nil
	}
	if ignored {
		return false, nil
	}
	if w.src.owned {
		e.readXattrs(w.to.at)
	}
	w.to.entries = append(w.to.entries, e)
	return true, nil
}

// below collects a directory. An ignored one is there only for what in it is
// not ignored.
func (w *walk) below(d *os.File, name string, e *entry, ignored bool, info patternmatcher.MatchInfo) (bool, error) {
	if ignored && (w.src.ignore == nil || !w.src.ignore.Exclusions()) && (w.exclude == nil || !w.exclude.Exclusions()) {
		return false, nil
	}
	sub, err := openIn(int(d.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return false, fmt.Errorf("open directory: %w", err)
	}
	defer sub.Close()
	if w.src.owned {
		e.readXattrs(w.to.at)
	}
	mark := len(w.to.entries)
	w.to.entries = append(w.to.entries, *e)
	kept, err := w.dir(sub, e.path, info)
	if err != nil {
		return false, err
	}
	if ignored && !kept {
		w.to.entries = w.to.entries[:mark]
		return false, nil
	}
	return true, nil
}

// digest stands for the contents of what was found: names, kinds, modes, with
// owned also owners, and the files' bytes; not their times.
func (s *source) digest(list []*found, owned bool) (string, error) {
	h := sha256.New()
	for _, f := range list {
		fmt.Fprintf(h, "%q %v\n", f.name, f.dir)
		for i := range f.entries {
			e := &f.entries[i]
			fmt.Fprintf(h, "%q %o", e.path, e.mode)
			if owned {
				fmt.Fprintf(h, " %d:%d", e.uid, e.gid)
			}
			switch e.kind() {
			case unix.S_IFLNK:
				fmt.Fprintf(h, " %q", e.link)
			case unix.S_IFREG:
				sum, err := s.sum(f, e)
				if err != nil {
					return "", fmt.Errorf("read %s: %w", e.path, err)
				}
				h.Write(sum)
			}
			for _, name := range sortedKeys(e.xattrs) {
				fmt.Fprintf(h, " %q=%q", name, e.xattrs[name])
			}
			h.Write([]byte{'\n'})
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// sum is the digest of a file's bytes, remembered if the file is the same.
func (s *source) sum(f *found, e *entry) ([]byte, error) {
	if s.sums != nil {
		if sum := s.sums.get(e); sum != nil {
			return sum, nil
		}
	}
	file, err := f.openEntry(e)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return nil, err
	}
	sum := h.Sum(nil)
	if s.sums != nil {
		s.sums.put(e, sum)
	}
	return sum, nil
}

// readXattrs reads the attributes that a copy keeps.
func (e *entry) readXattrs(at *os.File) {
	name := fmt.Sprintf("/proc/self/fd/%d/%s", at.Fd(), e.path)
	buf := make([]byte, 1<<10)
	n, err := unix.Llistxattr(name, buf)
	if err != nil || n == 0 {
		return
	}
	for _, a := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(a, "user.") && a != "security.capability" || strings.Contains(a, ".overlay.") {
			continue
		}
		value := make([]byte, 4<<10)
		if n, err := unix.Lgetxattr(name, a, value); err == nil {
			if e.xattrs == nil {
				e.xattrs = make(map[string]string)
			}
			e.xattrs[a] = string(value[:n])
		}
	}
}

func (e *entry) setXattrs(dirfd int, name string) error {
	full := fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, name)
	for a, value := range e.xattrs {
		if err := unix.Lsetxattr(full, a, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", a, err)
		}
	}
	return nil
}
