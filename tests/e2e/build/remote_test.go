package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"skiff/tests/harness"
)

// web answers with files, counting how often a body was sent.
type web struct {
	*httptest.Server
	sent atomic.Int32
	body atomic.Value
}

func newWeb(t *testing.T) *web {
	w := &web{}
	w.body.Store("hello\n")
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body := w.body.Load().(string)
		tag := fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256([]byte(body)))[:8])
		switch r.URL.Path {
		case "/file.txt":
			rw.Header().Set("ETag", tag)
			rw.Header().Set("Last-Modified", "Wed, 02 Jan 2019 03:04:05 GMT")
			if r.Header.Get("If-None-Match") == tag {
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			w.sent.Add(1)
			fmt.Fprint(rw, body)
		case "/away":
			http.Redirect(rw, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		case "/Dockerfile":
			fmt.Fprint(rw, "FROM busybox\nRUN echo by-url > /f\n")
		case "/context.tar.gz":
			z := gzip.NewWriter(rw)
			_, _ = z.Write(archiveOf(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY x /x\n", "sub/x": "deep", "x": "flat"}))
			z.Close()
		default:
			http.NotFound(rw, r)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func archiveOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBuild_AddsWhatIsBehindAURL(t *testing.T) {
	w := newWeb(t)
	s, dir := begin(t, "FROM busybox\nADD "+w.URL+"/file.txt /in/\nADD --chmod=755 --chown=7:8 "+w.URL+"/file.txt /named\nRUN stat -c '%a %u:%g %Y %n' /in/file.txt /named; cat /named\n")
	r := s.Skiff("build", "--progress=plain", "-t", "app", dir).Exits(0)
	for _, want := range []string{"600 0:0 1546398245 /in/file.txt", "755 7:8 1546398245 /named", " hello"} {
		if !strings.Contains(r.Stderr, want) {
			t.Errorf("not said: %s\n%s", want, r.Stderr)
		}
	}
	s.Skiff("history", "--no-trunc", "--format", "{{.CreatedBy}}", "app").PrintsMatch(`(?s).*ADD --chown=7:8 --chmod=755 ` + w.URL + `/file.txt /named # buildkit\n.*`)
	// What the server says is unchanged is neither fetched nor added again.
	sent := w.sent.Load()
	if r := s.Skiff("build", dir).Exits(0); strings.Count(r.Stderr, "CACHED") < 4 || w.sent.Load() != sent {
		t.Errorf("fetched %d times more:\n%s", w.sent.Load()-sent, r.Stderr)
	}
	w.body.Store("other\n")
	s.Skiff("build", "--progress=plain", dir).Exits(0).Complains(" other")
}

func TestBuild_ChecksWhatItAdds(t *testing.T) {
	w := newWeb(t)
	sum := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("hello\n")))
	s, dir := begin(t, "FROM scratch\nADD --checksum="+sum+" "+w.URL+"/file.txt /f\n")
	s.OK("build", "-q", dir)
	w.Close()
	s.OK("build", "-q", dir) // the server need not even be there

	w = newWeb(t)
	s.WriteFile("c/Dockerfile", "FROM scratch\nADD --checksum=sha256:"+strings.Repeat("0", 64)+" "+w.URL+"/file.txt /f\n")
	s.Skiff("build", dir).Exits(1).Complains("digest mismatch " + sum + ": sha256:" + strings.Repeat("0", 64))
	s.WriteFile("c/Dockerfile", "FROM scratch\nADD "+w.URL+"/nothing /f\n")
	s.Skiff("build", dir).Exits(1).Complains("failed to GET " + w.URL + "/nothing with status 404 Not Found")
}

// reliability.md A-52: an address is an address and nothing else.
func TestBuild_A52_AddressesAreNoOptionsAndNoFiles(t *testing.T) {
	w := newWeb(t)
	s, dir := begin(t, "")
	canary := filepath.Join(s.Home(), "pwned")
	for source, want := range map[string]string{
		"file:///etc/passwd":                                                  "not found",
		w.URL + "/away":                                                       "where nothing is fetched from",
		"git@x:--upload-pack=touch${IFS}" + canary:                            "not found",
		"ssh://-oProxyCommand=touch${IFS}" + canary + "/x.git":                "invalid git repository",
		w.URL + "/r.git#--upload-pack=touch":                                  "invalid git reference",
		"ext::sh${IFS}-c${IFS}touch${IFS}" + canary:                           "not found",
		"git://127.0.0.1:1/x.git?upload-pack=touch":                           "unexpected query",
		"https://user@127.0.0.1:1/x.git#" + strings.Repeat("a", 300) + ":../": "git ls-remote",
	} {
		s.WriteFile("c/Dockerfile", "FROM scratch\nADD "+strings.ReplaceAll(source, "$", `\$`)+" /f\n")
		s.Skiff("build", dir).Exits(1).Complains(want)
	}
	for _, address := range []string{"git@x:--upload-pack=touch " + canary, "ssh://-oProxyCommand=touch%20" + canary + "/x.git"} {
		s.Skiff("build", address).Exits(1)
	}
	if harness.Exists(canary) {
		t.Error("an address was run as a command")
	}
}

// gitServer serves a repository with two commits, a tag and a submodule.
func gitServer(t *testing.T) (url string, commits []string) {
	t.Helper()
	const backend = "/usr/lib/git-core/git-http-backend"
	harness.Requires(t, harness.CommandNamed("git"), harness.CommandNamed(backend))
	root := t.TempDir()
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewServer(&cgi.Handler{
		Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	t.Cleanup(server.Close)
	for _, name := range []string{"sub", "app"} {
		git(root, "init", "-q", "-b", "main", name)
	}
	write("sub/inner", "inner\n")
	git(root+"/sub", "add", ".")
	git(root+"/sub", "commit", "-qm", "one")
	git(root, "clone", "-q", "--bare", "sub", "sub.git")
	write("app/Dockerfile", "FROM busybox\nCOPY . /app\nRUN cat /app/version; ls -A /app\n")
	write("app/version", "one\n")
	write("app/below/Dockerfile", "FROM busybox\nRUN echo from below\n")
	git(root+"/app", "add", ".")
	git(root+"/app", "commit", "-qm", "one")
	git(root+"/app", "tag", "-a", "-m", "v1", "v1")
	git(root+"/app", "submodule", "--quiet", "add", server.URL+"/sub.git", "mod")
	write("app/version", "two\n")
	git(root+"/app", "add", ".")
	git(root+"/app", "commit", "-qm", "two")
	git(root, "clone", "-q", "--bare", "app", "app.git")
	for _, rev := range []string{"v1^{}", "main"} {
		commits = append(commits, git(root+"/app", "rev-parse", rev))
	}
	return server.URL + "/app.git", commits
}

func TestBuild_OfAGitRepository(t *testing.T) {
	url, commits := gitServer(t)
	s, dir := begin(t, "")
	for fragment, wants := range map[string][]string{
		"":                                    {" two", " mod"},
		"#main":                               {" two"},
		"#v1":                                 {" one"},
		"#refs/tags/v1":                       {" one"},
		"#" + commits[0]:                      {" one"},
		"#v1:below":                           {" from below"},
		"?branch=main&subdir=below":           {" from below"},
		"?keep-git-dir=1":                     {" .git"},
		"?tag=v1&checksum=" + commits[0][:12]: {" one"},
	} {
		r := s.Skiff("build", "--progress=plain", "--no-cache", url+fragment).Exits(0)
		for _, want := range wants {
			if !strings.Contains(r.Stderr, want+"\n") {
				t.Errorf("%s: not said: %s\n%s", fragment, want, r.Stderr)
			}
		}
		if fragment == "" && strings.Contains(r.Stderr, " .git\n") {
			t.Errorf(".git is part of the context:\n%s", r.Stderr)
		}
	}
	s.Skiff("build", url+"#nowhere").Exits(1).Complains("repository does not contain ref nowhere")
	s.Skiff("build", url+"?checksum=0000").Exits(1).Complains("expected checksum to match 0000, got " + commits[1])
	s.Skiff("build", url+"#:missing").Exits(1).Complains("the repository has no directory missing")

	s.WriteFile("c/Dockerfile", "FROM busybox\nADD "+url+"#v1 /src\nADD --keep-git-dir=true "+url+" /kept/\nRUN cat /src/version /kept/mod/inner; ls -A /src; test -d /kept/.git\n")
	r := s.Skiff("build", "--progress=plain", dir).Exits(0).Complains(" one").Complains(" inner")
	if strings.Contains(r.Stderr, " .git\n") {
		t.Errorf(".git was added:\n%s", r.Stderr)
	}
	if r := s.Skiff("build", dir).Exits(0); strings.Count(r.Stderr, "CACHED") < 4 {
		t.Errorf("added again:\n%s", r.Stderr)
	}
	s.WriteFile("c/Dockerfile", "FROM busybox\nCOPY --from=src version /v\nRUN cat /v\n")
	s.Skiff("build", "--progress=plain", "--build-context", "src="+url+"#v1", dir).Exits(0).Complains(" one")
}

func TestBuild_OfAURL(t *testing.T) {
	w := newWeb(t)
	s, _ := begin(t, "")
	s.OK("build", "-q", "-t", "app", w.URL+"/Dockerfile")
	harness.Equal(t, "what was built", inside(s, "app", "cat /f"), "by-url")
	s.OK("build", "-q", "-t", "app", w.URL+"/context.tar.gz")
	harness.Equal(t, "what was built", inside(s, "app", "cat /x"), "flat")
	s.WriteFile("two/Dockerfile", "FROM busybox\nCOPY --from=more sub/x /x\n")
	s.OK("build", "-q", "-t", "app", "--build-context", "more="+w.URL+"/context.tar.gz", s.Home()+"/two")
	harness.Equal(t, "what was built", inside(s, "app", "cat /x"), "deep")
	s.Skiff("build", w.URL+"/nothing").Exits(1).Complains("failed to load the build context " + w.URL + "/nothing")
}
