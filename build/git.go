package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// gitRef is a place in a git repository.
type gitRef struct {
	Remote   string // what git is given
	Ref      string // branch, tag or commit; empty for the default
	Subdir   string // relative, "" for all
	Checksum string // that the commit begins with
	// KeepGit is nil when nobody said whether .git stays.
	KeepGit      *bool
	NoSubmodules bool
}

// scp is user@host:path, as ssh(1) and git write it.
var scp = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*@[a-zA-Z0-9][a-zA-Z0-9.-]*:[^-].*$`)
})

func scpLike(name string) bool { return scp().MatchString(name) }

// parseGit reads the address of a git repository as BuildKit does; nil when it
// is none. Of http and https only paths that end in .git are.
func parseGit(name string) (*gitRef, error) {
	base, fragment, _ := strings.Cut(name, "#")
	base, query, _ := strings.Cut(base, "?")
	r := &gitRef{Remote: base}
	switch scheme, rest, ok := strings.Cut(base, "://"); {
	case !ok && strings.HasPrefix(base, "github.com/"):
		r.Remote = "https://" + base
	case !ok && scpLike(base):
	case !ok:
		return nil, nil
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "https"):
		if !strings.HasSuffix(base, ".git") {
			return nil, nil
		}
	case strings.EqualFold(scheme, "git"), strings.EqualFold(scheme, "ssh"):
		// git passes the host to ssh(1): it must not look like an option.
		if _, host, found := strings.Cut(rest, "@"); strings.HasPrefix(rest, "-") || found && strings.HasPrefix(host, "-") {
			return nil, fmt.Errorf("invalid git repository %q", name)
		}
	default:
		return nil, nil
	}
	r.Ref, r.Subdir, _ = strings.Cut(fragment, ":")
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("invalid git repository %q: %w", name, err)
	}
	if err := r.ask(values); err != nil {
		return nil, fmt.Errorf("invalid git repository %q: %w", name, err)
	}
	r.Subdir = strings.TrimPrefix(path.Clean("/"+r.Subdir), "/")
	if strings.HasPrefix(r.Ref, "-") || strings.ContainsAny(r.Ref, " \t\n^~:?*[\\") {
		return nil, fmt.Errorf("invalid git reference %q", r.Ref)
	}
	return r, nil
}

// ask applies the query of a repository's address.
func (r *gitRef) ask(values url.Values) error {
	set := func(what string, field *string, value string) error {
		if *field != "" && *field != value {
			return fmt.Errorf("%s conflicts: %q vs %q", what, *field, value)
		}
		*field = value
		return nil
	}
	for _, key := range sortedKeys(flatten(values)) {
		if len(values[key]) > 1 {
			return fmt.Errorf("query %q has multiple values", key)
		}
		value := values.Get(key)
		var err error
		switch key {
		case "ref":
			err = set("ref", &r.Ref, value)
		case "tag":
			err = set("ref", &r.Ref, "refs/tags/"+strings.TrimPrefix(value, "refs/tags/"))
		case "branch":
			err = set("ref", &r.Ref, "refs/heads/"+strings.TrimPrefix(value, "refs/heads/"))
		case "subdir":
			err = set("subdir", &r.Subdir, value)
		case "checksum", "commit":
			err = set("checksum", &r.Checksum, value)
		case "keep-git-dir", "submodules":
			on := true
			if value != "" {
				if on, err = strconv.ParseBool(value); err != nil {
					return fmt.Errorf("invalid %s value: %q", key, value)
				}
			}
			if key == "submodules" {
				r.NoSubmodules = !on
			} else {
				r.KeepGit = &on
			}
		default:
			return fmt.Errorf("unexpected query %q", key)
		}
		if err != nil {
			return err
		}
		if value == "" && key != "keep-git-dir" && key != "submodules" {
			return fmt.Errorf("query %q has no value", key)
		}
	}
	return nil
}

func flatten(values url.Values) map[string]string {
	out := make(map[string]string, len(values))
	for k := range values {
		out[k] = values.Get(k)
	}
	return out
}

var commitName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{40}$`) })

// git is the program at work in a directory of its own.
type git struct {
	dir string
	env []string
}

// newGit finds the program and gives it an environment that neither asks
// questions nor obeys anybody's configuration, hooks or templates.
func newGit(dir, agent string) (*git, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, errors.New("git repositories are fetched by the program git, which is not installed; install it (package git)")
	}
	env := []string{
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "HOME=" + dir, "LC_ALL=C",
		// file: would read this machine's repositories, ext: run programs.
		"GIT_ALLOW_PROTOCOL=http:https:git:ssh",
		"GIT_SSH_COMMAND=ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + path.Join(os.Getenv("HOME"), ".ssh/known_hosts"),
	}
	if agent != "" {
		env = append(env, "SSH_AUTH_SOCK="+agent)
	}
	for _, name := range append([]string{"PATH", "GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY"}, proxies...) {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return &git{dir: dir, env: env}, nil
}

// run runs git and returns what it printed.
func (g *git) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main", "-c", "advice.detachedHead=false"}, args...)...)
	cmd.Dir, cmd.Env = g.dir, g.env
	// Its helpers end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		text := strings.TrimSpace(stderr.String())
		if text == "" {
			text = err.Error()
		}
		return "", fmt.Errorf("git %s: %s", args[0], strings.ReplaceAll(text, "\n", "; "))
	}
	return stdout.String(), nil
}

// resolve asks the repository which commit a reference is.
func (g *git) resolve(ctx context.Context, r *gitRef) (string, error) {
	if commitName().MatchString(r.Ref) {
		return r.Ref, nil
	}
	args := []string{"ls-remote", "--", r.Remote}
	wanted := []string{"HEAD"}
	switch {
	case strings.HasPrefix(r.Ref, "refs/"):
		wanted = []string{r.Ref + "^{}", r.Ref}
	case r.Ref != "":
		wanted = []string{"refs/heads/" + r.Ref, "refs/tags/" + r.Ref + "^{}", "refs/tags/" + r.Ref, r.Ref}
	}
	out, err := g.run(ctx, append(args, wanted...)...)
	if err != nil {
		return "", err
	}
	have := make(map[string]string)
	for _, line := range strings.Split(out, "\n") {
		if sum, name, ok := strings.Cut(line, "\t"); ok {
			have[name] = sum
		}
	}
	for _, name := range wanted {
		if sum := have[name]; commitName().MatchString(sum) {
			return sum, nil
		}
	}
	return "", fmt.Errorf("repository does not contain ref %s, output: %q", r.Ref, out)
}

// checkout brings a commit of the repository into the directory.
func (g *git) checkout(ctx context.Context, r *gitRef, commit string, keep bool) error {
	if _, err := g.run(ctx, "init", "--quiet", "--template="); err != nil {
		return err
	}
	if _, err := g.run(ctx, "remote", "add", "--", "origin", r.Remote); err != nil {
		return err
	}
	// Not every server gives a commit by its name, and not every one only the
	// newest.
	var err error
	for _, args := range [][]string{
		{"--depth=1", "--no-tags", "origin", commit},
		{"--depth=1", "--no-tags", "origin", refOr(r.Ref, "HEAD")},
		{"--tags", "origin", "+refs/heads/*:refs/remotes/origin/*"},
	} {
		if _, err = g.run(ctx, append([]string{"fetch", "--quiet", "--force"}, args...)...); err != nil {
			continue
		}
		if _, err = g.run(ctx, "cat-file", "-e", commit+"^{commit}"); err == nil {
			break
		}
	}
	if err == nil {
		_, err = g.run(ctx, "checkout", "--quiet", "--force", "--detach", commit)
	}
	if err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(g.dir, ".gitmodules")); err == nil && !r.NoSubmodules {
		if _, err := g.run(ctx, "submodule", "update", "--quiet", "--init", "--recursive", "--depth=1"); err != nil {
			return err
		}
	}
	if keep {
		return nil
	}
	// Those of submodules too; no file of a repository can have this name.
	return filepath.WalkDir(g.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != ".git" {
			return err
		}
		if err := os.RemoveAll(name); err != nil || !d.IsDir() {
			return err
		}
		return filepath.SkipDir
	})
}

func refOr(ref, otherwise string) string {
	if ref == "" {
		return otherwise
	}
	return ref
}

// repository is a git repository as a source.
type repository struct {
	ref    gitRef
	commit string
}

func (r *repository) keep() bool { return r.ref.KeepGit != nil && *r.ref.KeepGit }

func (r *repository) program(b *builder, ctx context.Context) (*git, error) {
	dir, err := b.workDir(ctx)
	if err != nil {
		return nil, err
	}
	return newGit(dir, b.SSH["default"])
}

// resolve finds out which commit it is.
func (r *repository) resolve(ctx context.Context, g *git) (err error) {
	if r.commit, err = g.resolve(ctx, &r.ref); err != nil {
		return err
	}
	if !strings.HasPrefix(r.commit, r.ref.Checksum) {
		return fmt.Errorf("expected checksum to match %s, got %s", r.ref.Checksum, r.commit)
	}
	return nil
}

func (r *repository) identity(b *builder, ctx context.Context) ([]string, error) {
	g, err := r.program(b, ctx)
	if err != nil {
		return nil, err
	}
	if err := r.resolve(ctx, g); err != nil {
		return nil, err
	}
	id := []string{"git", r.commit, r.ref.Subdir, fmt.Sprint(r.keep(), r.ref.NoSubmodules)}
	if r.keep() {
		id = append(id, r.ref.Remote) // it stands in .git
	}
	return id, nil
}

func (r *repository) fetch(b *builder, ctx context.Context) (*source, *found, error) {
	g, err := r.program(b, ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := g.checkout(ctx, &r.ref, r.commit, r.keep()); err != nil {
		return nil, nil, err
	}
	src, err := b.openDirectory(g.dir, nil)
	if err != nil {
		return nil, nil, err
	}
	src.sums = nil
	list, err := src.load("/"+r.ref.Subdir, nil)
	if err == nil && (list == nil || !list.dir) {
		err = fmt.Errorf("the repository has no directory %s", r.ref.Subdir)
	}
	if err != nil {
		src.close()
		return nil, nil, err
	}
	return src, list, nil
}
