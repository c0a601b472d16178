package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"skiff/build/dockerfile"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/temp"
)

type heredoc = dockerfile.Heredoc

func newFile(fd int, name string) *os.File { return os.NewFile(uintptr(fd), name) }

// remote is a source of ADD that is not on this machine.
type remote interface {
	// identity says which bytes the source has, so that the step that had the
	// same ones before is found; it fetches them only where it must.
	identity(b *builder, ctx context.Context) ([]string, error)
	// fetch brings what identity named. The caller closes both.
	fetch(b *builder, ctx context.Context) (*source, *found, error)
}

// isRemote reports whether the source of an ADD or a context is on the network.
func isRemote(name string) bool {
	scheme, _, ok := strings.Cut(name, "://")
	switch {
	case !ok:
		return scpLike(name)
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"), strings.EqualFold(scheme, "git"), strings.EqualFold(scheme, "ssh"):
		return true
	}
	return false
}

// newRemote says what a source of ADD means.
func newRemote(name, checksum, keepGit string) (remote, error) {
	ref, err := parseGit(name)
	if err != nil {
		return nil, err
	}
	if ref == nil {
		u, err := url.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("invalid source %q: %w", name, err)
		}
		base := path.Base(u.Path)
		if base == "." || base == ".." || base == "/" {
			base = "__unnamed__"
		}
		if algorithm, _, _ := strings.Cut(checksum, ":"); checksum != "" && algorithm != "sha256" {
			return nil, fmt.Errorf("unsupported checksum %q: only sha256:<64 hex digits> is", checksum)
		}
		return &webFile{url: name, name: base, checksum: checksum}, nil
	}
	if checksum != "" {
		if ref.Checksum != "" && ref.Checksum != checksum {
			return nil, fmt.Errorf("checksum conflicts: %q vs %q", ref.Checksum, checksum)
		}
		ref.Checksum = checksum
	}
	if keepGit != "" {
		keep := keepGit == "true"
		ref.KeepGit = &keep
	}
	return &repository{ref: *ref}, nil
}

// webFile is a file behind an http or https URL.
type webFile struct {
	url, name, checksum string
	known               webState
	file                string // what was fetched
}

// webState is what is remembered of a URL.
type webState struct {
	Version  int
	ETag     string
	Digest   string
	Modified int64 // Unix seconds
}

func (f *webFile) record(b *builder) string { return b.cache.path(recordsDir, keyOf("url", f.url)) }

func (f *webFile) identity(b *builder, ctx context.Context) ([]string, error) {
	var was webState
	if !readJSON(f.record(b), &was) || was.Version != cacheVersion {
		was = webState{}
	}
	if f.checksum != "" && was.Digest == f.checksum {
		// The bytes are certain whatever the server says today.
		f.known = was
	} else if err := f.get(b, ctx, was); err != nil {
		return nil, err
	}
	return []string{"url", f.name, f.known.Digest, fmt.Sprint(f.known.Modified)}, nil
}

// get fetches the file unless it is what it was.
func (f *webFile) get(b *builder, ctx context.Context, was webState) error {
	dir, err := b.workDir(ctx)
	if err != nil {
		return err
	}
	// The server's name is not used on our disk: it may be "..".
	out, err := os.OpenFile(filepath.Join(dir, "file"), os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	got, err := client.Download(ctx, out, message.Download{URL: f.url, ETag: was.ETag})
	if err != nil {
		return err
	}
	if got.Same {
		f.known = was
	} else {
		f.known = webState{Version: cacheVersion, ETag: got.ETag, Digest: got.Digest, Modified: got.Modified}
		f.file = out.Name()
	}
	if f.checksum != "" && f.known.Digest != f.checksum {
		return fmt.Errorf("digest mismatch %s: %s", f.known.Digest, f.checksum)
	}
	return b.cache.writeJSON(f.record(b), f.known)
}

func (f *webFile) fetch(b *builder, ctx context.Context) (*source, *found, error) {
	if f.file == "" {
		was := f.known
		if err := f.get(b, ctx, webState{}); err != nil {
			return nil, nil, err
		}
		if f.known.Digest != was.Digest {
			return nil, nil, fmt.Errorf("%s changed while it was fetched; build again", f.url)
		}
	}
	when := time.Unix(f.known.Modified, 0)
	if err := errors.Join(os.Chmod(f.file, 0o600), os.Chtimes(f.file, when, when)); err != nil {
		return nil, nil, err
	}
	src, err := b.openDirectory(filepath.Dir(f.file), nil)
	if err != nil {
		return nil, nil, err
	}
	src.sums = nil
	list, err := src.load("/file", nil)
	if err == nil && list == nil {
		err = errors.New("the file that was fetched is gone")
	}
	if err != nil {
		src.close()
		return nil, nil, err
	}
	list.name = f.name
	return src, list, nil
}

// Fetched is a build context that came from somewhere else.
type Fetched struct {
	// Dir is the directory of a repository; without it File is what was behind
	// the URL, to be read from its beginning.
	Dir  string
	File *os.File
	work *temp.Dir
}

// Discard removes it.
func (f *Fetched) Discard() error {
	if f.File != nil {
		f.File.Close()
	}
	return f.work.Remove()
}

// IsRemote reports whether a context is to be fetched.
func IsRemote(name string) bool { return isRemote(name) || strings.HasPrefix(name, "github.com/") }

// Fetch brings the context that is behind a URL. agent is the socket of an SSH
// agent, or empty.
func Fetch(ctx context.Context, st *storage.Store, name, agent string) (_ *Fetched, err error) {
	ref, err := parseGit(name)
	if err != nil {
		return nil, err
	}
	f := &Fetched{}
	if f.work, err = temp.Make(ctx, st); err != nil {
		return nil, err
	}
	if ref != nil {
		f.Dir, err = fetchRepository(ctx, f.work.Path, ref, agent)
	} else if f.File, err = os.OpenFile(filepath.Join(f.work.Path, "fetched"), os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600); err == nil {
		_, err = client.Download(ctx, f.File, message.Download{URL: name})
	}
	if err == nil && f.File != nil {
		_, err = f.File.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Discard())
	}
	return f, nil
}

// fetchRepository brings a commit into a directory below work, and returns the
// directory of it that was asked for.
func fetchRepository(ctx context.Context, work string, ref *gitRef, agent string) (string, error) {
	r := &repository{ref: *ref}
	checkout := filepath.Join(work, "context")
	if err := os.Mkdir(checkout, 0o755); err != nil {
		return "", err
	}
	g, err := newGit(checkout, agent)
	if err == nil {
		err = r.resolve(ctx, g)
	}
	if err == nil {
		err = g.checkout(ctx, &r.ref, r.commit, r.keep())
	}
	if err != nil {
		return "", err
	}
	// A link in the repository may not lead out of it.
	root, err := os.Open(checkout)
	if err != nil {
		return "", err
	}
	defer root.Close()
	inside, err := (&tree{root: root}).open("/"+ref.Subdir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return "", fmt.Errorf("the repository has no directory %s", ref.Subdir)
	}
	defer inside.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", inside.Fd()))
}

// ReadBeneath reads a file of a context that somebody else made: no link in it
// leads out of dir. At most limit bytes are read.
func ReadBeneath(dir, name string, limit int64) ([]byte, error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := (&tree{root: root}).open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}
