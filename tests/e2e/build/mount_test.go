package build_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestMounts(t *testing.T) {
	s, dir := begin(t, `FROM busybox AS from
RUN mkdir /d && echo staged > /d/f
FROM busybox
RUN --mount=target=/ctx cat /ctx/in > /one; touch /ctx/no 2>/dev/null || echo read-only >> /one
RUN --mount=target=/ctx,rw touch /ctx/thrown && ls /ctx > /two
RUN --mount=from=from,source=/d,target=/d cat /d/f > /three
RUN --mount=type=cache,target=/cache echo x >> /cache/log; wc -l < /cache/log > /four
RUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /five
RUN --network=none ip -o link | wc -l > /six
`, "in", "in the context\n", "Dockerfile.dockerignore", "Dockerfile*\n")
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "what the mounts showed", inside(s, "app", "cat /one /two /three /five /six; ls -d /ctx /cache /d /t 2>/dev/null; true"),
		"in the context\nread-only\nin\nthrown\nstaged\n1024\n1")
	// A cache outlives the build and is no part of the key.
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "lines after a cached build", inside(s, "app", "cat /four"), "1")
	s.OK("build", "-q", "-t", "app", "--no-cache", dir)
	harness.Equal(t, "lines after another build", inside(s, "app", "cat /four"), "2")
}

func TestHeredocs(t *testing.T) {
	s, dir := begin(t, `FROM busybox
ARG V=value
RUN <<EOF
echo one > /one
echo $V >> /one
EOF
RUN <<EOF
#!/bin/sh -e
echo "script $0" > /two
EOF
RUN cat <<A > /three && cat <<B >> /three
first
A
second
B
COPY <<a <<"b" /files/
expanded $V
a
plain $V
b
`)
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "files", inside(s, "app", "cat /one /two /three /files/a /files/b"),
		"one\nvalue\nscript /dev/pipes/EOF\nfirst\nsecond\nexpanded value\nplain $V")
}

// reliability.md A-50: mounts stay within their source.
func TestBuild_A50_MountsStayInside(t *testing.T) {
	s, dir := begin(t, "")
	host := s.WriteFile("host/secret", "classified")
	if err := os.Symlink(s.Home()+"/host", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"FROM busybox AS evil\nRUN ln -s / /link && ln -s " + filepath.Dir(host) + " /out\nFROM busybox\nRUN --mount=from=evil,source=/out,target=/m cat /m/secret\n": "not found",
		"FROM busybox AS evil\nRUN ln -s / /link\nFROM busybox\nRUN --mount=from=evil,source=/link,target=/m cat /m" + host + "\n":                                    "exit code: 1",
		"FROM busybox\nRUN --mount=source=link,target=/m cat /m/secret\n":                                                                                             "not found",
		"FROM busybox\nRUN --mount=source=../host,target=/m cat /m/secret\n":                                                                                          "not found",
		"FROM busybox\nRUN --mount=target=/m,bind-propagation=shared,foo true\n":                                                                                      "unexpected key",
		"FROM busybox\nRUN --mount=type=cache,target=/../.. true\n":                                                                                                   "invalid mount target",
		"FROM busybox\nRUN --mount=type=cache,sharing=all,target=/c true\n":                                                                                           "unsupported sharing value",
	} {
		s.WriteFile("c/Dockerfile", text)
		r := s.Skiff("build", dir).Exits(1).Complains(want)
		if strings.Contains(r.Stderr, "classified") {
			t.Errorf("a mount left its source:\n%s", text)
		}
	}
	// The name of a cache leads nowhere.
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN --mount=type=cache,id=../../../x,target=/c touch /c/made\n")
	s.OK("build", "-q", dir)
	for _, p := range []string{s.Store(), filepath.Dir(s.Store()), s.Home()} {
		if harness.Exists(filepath.Join(p, "x")) {
			t.Errorf("a cache was made in %s", p)
		}
	}
	// Removing what a mount was put on does not remove what it shows.
	s.WriteFile("c/keep/f", "kept")
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN --mount=source=keep,target=/m,rw rm -rf /m/f; ln -s / /m/l\nRUN --mount=source=keep,target=/m cat /m/f\n")
	s.Skiff("build", dir).Exits(0).Complains("kept")
	harness.Equal(t, "the file of the context", s.ReadFile("c/keep/f"), "kept")
}

// reliability.md A-51: links in a context or stage stay within it.
func TestBuild_A51_LinksStayInside(t *testing.T) {
	s, dir := begin(t, "")
	if err := os.Symlink("/etc", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"FROM busybox\nCOPY a/passwd /got\n",
		"FROM busybox\nCOPY ../../etc/passwd /got\n",
		"FROM busybox\nADD a /got\n",
		"FROM busybox AS s\nRUN ln -s /etc/hostname /link\nFROM scratch\nCOPY --from=s /link /got\nRUN true\n",
	} {
		s.WriteFile("c/Dockerfile", text)
		r := s.Skiff("build", dir).Exits(1)
		if !strings.Contains(r.Stderr, "not found") && !strings.Contains(r.Stderr, "exit code: 127") {
			t.Errorf("%s: %s", text, r.Stderr)
		}
	}
	// A link in the image cannot lead what is copied out of the image.
	s.Mkdir("out")
	s.WriteFile("c/f", "f")
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN ln -s "+s.Home()+"/out /out\nCOPY f /out/f\n")
	_ = s.Skiff("build", "-q", dir)
	if harness.Exists(filepath.Join(s.Home(), "out/f")) {
		t.Error("a file was copied out of the image")
	}
	// An ignore file that is a link out of the context is not read.
	s.WriteFile("c/Dockerfile", "FROM busybox\nCOPY f /f\n")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, ".dockerignore")); err != nil {
		t.Fatal(err)
	}
	s.OK("build", "-q", dir)
}

// reliability.md A-52: nothing that is written in a Dockerfile or typed as a
// context becomes an option or a local file.
func TestBuild_A52_NoInjection(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nADD file:///etc/passwd /got\n")
	s.Skiff("build", "-q", dir).Exits(1).Complains("not found")
	s.Skiff("build", "-q", "git@x:--upload-pack=touch "+s.Home()+"/made").Exits(1)
	s.Skiff("build", "-q", "https://127.0.0.1:1/x.git#--upload-pack=touch "+s.Home()+"/made").Exits(1)
	if harness.Exists(filepath.Join(s.Home(), "made")) {
		t.Error("an address was executed")
	}
}

// reliability.md A-53: nothing that a Dockerfile says makes the parser fall over.
func TestBuild_A53_OddDockerfiles(t *testing.T) {
	s, dir := begin(t, "")
	for name, text := range map[string]string{
		"deep":   "FROM busybox\nENV A=" + strings.Repeat("${a:-", 5000) + "x" + strings.Repeat("}", 5000) + "\n",
		"lines":  "FROM busybox\n" + strings.Repeat("#\n", 1000000) + "ENV A=1\n",
		"binary": "FROM busybox\nRUN \x00\xff\xfe\n",
		"open":   "FROM busybox\nRUN <<EOF\nnever closed\n",
		"line":   "FROM busybox\nENV A=" + strings.Repeat("x", 1<<20) + "\n",
	} {
		s.WriteFile("c/Dockerfile", text)
		r := s.Skiff("build", "-q", dir)
		if r.Code > 1 || strings.Contains(r.Stderr, "goroutine ") {
			t.Errorf("%s: exit code %d: %.300s", name, r.Code, r.Stderr)
		}
	}
	// A line of 100 MB is not read to its end.
	if err := os.Truncate(s.WriteFile("c/Dockerfile", "FROM busybox\nENV A="), 100<<20); err != nil {
		t.Fatal(err)
	}
	s.Skiff("build", "-q", dir).Exits(1).Complains("the Dockerfile is larger than 16777216 bytes")
	s.Skiff("build", "-q", "-f", "-", dir).Exits(1).Complains("the Dockerfile cannot be empty")
}

// reliability.md A-54: a secret is nowhere but in the step that asks for it.
func TestBuild_A54_SecretsAreNotKept(t *testing.T) {
	s, dir := begin(t, `FROM busybox
RUN --mount=type=secret,id=key cat /run/secrets/key | wc -c > /length; stat -c '%a %u' /run/secrets/key >> /length
RUN --mount=type=secret,id=word,env=WORD test -n "$WORD"
RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
RUN --mount=type=secret,id=word,target=/etc/word,mode=0444 test -s /etc/word
`)
	key := s.WriteFile("key", "sesame-open-4711")
	s.Setenv("THE_WORD", "wordword-0815-secret")
	args := []string{"build", "-t", "app", "--secret", "id=key,src=" + key, "--secret", "id=word,env=THE_WORD", dir}
	r := s.Skiff(args...).Exits(0)
	harness.Equal(t, "what the step saw", inside(s, "app", "cat /length; ls -A /run/secrets 2>/dev/null; true"), "16\n400 0")
	s.WriteFile("key", "sesame-shut-4711")
	if again := s.Skiff(args...).Exits(0); strings.Count(again.Stderr, "CACHED") != 5 {
		t.Errorf("another secret is another key:\n%s", again.Stderr)
	}
	s.WriteFile("c/Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=none,required true\n")
	s.Skiff("build", "-q", dir).Exits(1).Complains("secret none: not found")
	if text := r.Stderr + s.OK("history", "--no-trunc", "app"); strings.Contains(text, "sesame") || strings.Contains(text, "wordword") {
		t.Error("a secret was printed")
	}
	harness.Walk(t, s.Store(), func(name string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(s.Store(), name))
		if strings.Contains(string(data), "sesame-open") || strings.Contains(string(data), "wordword-0815") {
			t.Errorf("%s holds a secret", name)
		}
		return err
	})
}

// reliability.md A-55: nothing of this machine is mounted unasked.
func TestBuild_A55_NoMountsOfTheMachine(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nRUN mkdir -p /etc && ln -s / /etc/system-fips && mkdir -p /run/secrets\nRUN grep -c secrets /proc/self/mounts > /n; ls -A /run/secrets >> /n; true\n")
	s.OK("build", "-q", "-t", "app", dir)
	harness.Equal(t, "mounts", inside(s, "app", "cat /n"), "0")
}
