package docker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// buildScript makes the context, as the builder's user.
const buildScript = `set -e; umask 022; mkdir -p c/dir/deep c/empty; cd c
echo one > a.txt; echo two > b.txt; echo x > dir/x; echo y > dir/deep/y; echo h > dir/.hidden
chmod 4755 dir/x; chmod 600 b.txt; chmod 700 dir/deep; ln -s ../a.txt dir/link; ln -s /nowhere dir/dangling
echo n > 'odd name'; echo s > '[s]'; mkdir t; echo in > t/in; chmod 640 t/in; tar -C t -czf t.tgz --owner=5 --group=6 --mtime=@0 in; rm -r t
find . -exec touch -h -d @1000000000 {} +`

// dockerfiles are built by all builders.
var dockerfiles = []struct{ name, text string }{
	{"copy", "FROM busybox\nCOPY a.txt b.txt /f/\nCOPY dir /d\nCOPY dir/ /e/\nCOPY . /all/\n"},
	{"copy-names", "FROM busybox\nCOPY *.txt /w/\nCOPY [\"odd name\", \"/odd\"]\nCOPY [[]s] /s/\nCOPY a.txt /new/name\nCOPY dir/link /link\nCOPY empty /empty\n"},
	{"chown", "FROM busybox\nCOPY --chown=1000:1001 dir /d\nCOPY --chown=2 a.txt /x/y/z\nCOPY --chown=root:0 b.txt /b\n"},
	{"onto", "FROM busybox\nRUN mkdir -p /d/deep && chmod 711 /d && ln -s d /l && echo old > /d/x\nCOPY dir /l/\nCOPY a.txt /d/x\n"},
	{"add", "FROM busybox\nADD t.tgz /t/\nADD t.tgz a.txt /u/\nADD b.txt /v\n"},
	{"run", "FROM busybox\nRUN mkdir -m 2775 /s && echo a > /s/f && chown 7:8 /s/f && ln /s/f /s/hard && ln -s f /s/soft && mkfifo /s/p\nRUN rm /s/hard && chmod 600 /s/f\nRUN rm -r /s && mkdir /s && echo new > /s/new\nRUN rm -rf /s\n"},
	{"whiteout", "FROM busybox AS b\nRUN mkdir /d && touch /d/a /d/b\nFROM b\nRUN rm /d/a && mv /d /e\nRUN rmdir /home || rm -rf /home; true\n"},
	{"metadata", "FROM busybox\nENV A=1 B=\"two words\" C=$A\nENV D d e f\nLABEL x=y \"k with space\"=\"v\"\nEXPOSE 80 90/udp 100-102\nVOLUME /v [\"/w\"]\nVOLUME /v1 /v2\nUSER 5:6\nWORKDIR /wd\nWORKDIR sub\nSTOPSIGNAL SIGINT\nSHELL [\"/bin/ash\", \"-c\"]\nCMD echo $A\nENTRYPOINT [\"/bin/e\"]\nMAINTAINER me\n"},
	{"cmd", "FROM busybox AS one\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\nFROM one\nENTRYPOINT e2 $X\n"},
	{"health", "FROM busybox\nHEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=4 CMD true\n"},
	{"health-none", "FROM busybox\nHEALTHCHECK CMD true\nHEALTHCHECK NONE\n"},
	{"arg", "ARG V=1\nFROM busybox\nARG V\nARG W=w$V\nENV X=${W}x ${V:+Y}=y Z=${nothing:-z}\nARG HTTP_PROXY\nRUN echo $V $W > /args\nCOPY a.txt /${V}/${W}/\n"},
	{"onbuild", "FROM busybox AS base\nONBUILD COPY a.txt /on\nONBUILD ENV O=1\nFROM base\nRUN cat /on\n"},
	{"stages", "FROM busybox AS a\nRUN mkdir /o && echo a > /o/a && chmod 751 /o && chown 3:4 /o/a\nFROM busybox AS unused\nRUN false\nFROM scratch\nCOPY --from=a /o /o\nCOPY --from=0 /o/a /copied\nCOPY --from=busybox /bin/busybox /bin/\nCMD [\"/bin/busybox\"]\n"},
	{"scratch", "FROM scratch\nCOPY a.txt /\nWORKDIR /w\nENV P=1\n"},
	{"workdir", "FROM busybox\nUSER 12:13\nWORKDIR /made/by\nRUN touch /tmp/mine\nCOPY a.txt .\n"},
	{"escape", "# escape=`\nFROM busybox\nRUN echo a `\n  && echo b > /e\nENV E=c:\\\\x\n"},
	{"ignore", "FROM busybox\nCOPY . /all/\n"},
}

// TestBuild_GivesTheSameImage builds with docker's engine (BuildKit), buildah and
// us, and compares layers, file by file, and configurations. buildah, which takes
// half a minute, is asked with SKIFF_COMPARE=1 only.
func TestBuild_GivesTheSameImage(t *testing.T) {
	harness.Requires(t, harness.Root, harness.BusyboxStatic, harness.CommandNamed("dockerd"), harness.CommandNamed("docker"))
	s := harness.New(t)
	skiff, docker := ours(s, ""), theirs(t, "")
	for _, p := range []*place{skiff, docker} {
		if o := p.run(buildScript); o.code != 0 {
			t.Fatalf("make the context: %s", o)
		}
	}
	if o := docker.run("[ ! -x /usr/bin/docker ] || ln -sf /usr/bin/docker ."); o.code != 0 {
		t.Fatal(o)
	}
	t.Logf("docker %s", docker.run("PATH=.:$PATH; docker version -f '{{.Client.Version}} {{.Server.Version}}'").stdout)
	buildah := newBuildah(t, docker)
	compared := 0
	for _, d := range dockerfiles {
		t.Run(d.name, func(t *testing.T) {
			ignore := "*.nothing\n"
			if d.name == "ignore" {
				ignore = "# a comment\n*.txt\n!b.txt\n**/deep\n/dir/.h*\n[[]s]\nDockerfile\n"
			}
			script := fmt.Sprintf("cat > c/Dockerfile <<'EOF'\n%sEOF\ncat > c/.dockerignore <<'EOF'\n%sEOF\ntouch -d @1000000000 c/Dockerfile c/.dockerignore c\n"+
				"DOCKER_BUILDKIT=1 docker build --network none --build-arg V=5 -q -t built:%[3]s c && docker save -o saved.tar built:%[3]s", d.text, ignore, d.name)
			want := docker.run("PATH=.:$PATH; " + script)
			if want.code != 0 && strings.Contains(want.stderr, "buildx") {
				t.Skip("docker has no BuildKit here: " + want.stderr)
			}
			got := skiff.run(script)
			if want.code != 0 || got.code != 0 {
				t.Fatalf("docker: %s\nskiff: %s", want, got)
			}
			home := strings.TrimSpace(docker.run("pwd").stdout)
			a, b := describe(t, filepath.Join(home, "saved.tar")), describe(t, filepath.Join(s.Home(), "saved.tar"))
			if diff := difference(a, b); diff != "" {
				t.Errorf("- docker, + skiff:\n%s", diff)
			}
			compared++
			if buildah == nil {
				return
			}
			if o := buildah(d.name, home, s.Home()); o.code != 0 {
				t.Logf("buildah cannot: %s", o.stderr)
				return
			}
			a = slices.DeleteFunc(flat(describe(t, filepath.Join(home, "buildah.tar"))), func(l string) bool {
				return strings.HasPrefix(l, "config Hostname ") || strings.Contains(l, `"io.buildah.version":`)
			})
			b = slices.DeleteFunc(flat(b), func(l string) bool { return strings.HasPrefix(l, "config Labels ") })
			var unknown []string
			for _, l := range strings.Split(difference(a, b), "\n") {
				if l != "" && !slices.ContainsFunc(buildahDiffers, func(re *regexp.Regexp) bool { return re.MatchString(l) }) {
					unknown = append(unknown, l)
				}
			}
			if len(unknown) > 0 {
				t.Errorf("- buildah, + skiff:\n%s", strings.Join(unknown, "\n"))
			}
		})
	}
	t.Logf("%d images compared", compared)
}

// newBuildah returns what builds the context with buildah and leaves
// buildah.tar; nil where it is not installed.
func newBuildah(t *testing.T, docker *place) func(name, home, context string) outcome {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil || os.Getenv("SKIFF_COMPARE") == "" {
		return nil
	}
	const buildah = "buildah --root $PWD/b/root --runroot $PWD/b/run --storage-driver vfs "
	if o := docker.run(buildah + "pull -q docker-archive:../busybox.tar && " + buildah + "images"); o.code != 0 {
		t.Logf("without buildah: %s", o)
		return nil
	}
	return func(name, home, _ string) outcome {
		return docker.run(buildah + "bud -q --isolation chroot --network host --format docker --build-arg V=5 -t built:" + name +
			" c && rm -f buildah.tar && " + buildah + "push -q built:" + name + " docker-archive:$PWD/buildah.tar")
	}
}

// describe lists what an image consists of, a line each: of every layer its
// entries, of the configuration its fields.
func describe(t *testing.T, archive string) []string {
	t.Helper()
	files := make(map[string][]byte)
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	links := make(map[string]string)
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeSymlink {
			links[h.Name] = filepath.Join(filepath.Dir(h.Name), h.Linkname)
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest.json: %v: %s", err, files["manifest.json"])
	}
	var lines []string
	for i, name := range manifest[0].Layers {
		if to, ok := links[name]; ok {
			name = to
		}
		lines = append(lines, layerLines(t, fmt.Sprintf("layer %d", i), files[name])...)
	}
	return append(lines, configLines(t, files[manifest[0].Config])...)
}

func layerLines(t *testing.T, prefix string, data []byte) (lines []string) {
	t.Helper()
	var in io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		in = z
	}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			t.Fatal(err)
		}
		when := "now"
		if h.ModTime.Unix() == 1000000000 || h.ModTime.Unix() == 0 {
			when = fmt.Sprint(h.ModTime.Unix())
		}
		if h.Typeflag == tar.TypeDir {
			when = "" // of a directory that a file was put into
		}
		if strings.HasPrefix(path.Base(h.Name), ".wh.") {
			h.Mode, when = 0, "" // it is a mark, no file
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		lines = append(lines, fmt.Sprintf("%s %s %c %o %d:%d %q %d %x %s", prefix, name, h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname, h.Size, sum.Sum(nil)[:4], when))
	}
	sort.Strings(lines)
	// What a RUN's own mounts touched.
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix+" etc 5 ") })
}

func configLines(t *testing.T, data []byte) (lines []string) {
	t.Helper()
	var c struct {
		Config  map[string]any
		History []struct {
			CreatedBy  string `json:"created_by"`
			EmptyLayer bool   `json:"empty_layer"`
			Comment    string
			Author     string
		}
		Author, Architecture, OS string
	}
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	for key, value := range c.Config {
		if key == "ArgsEscaped" || key == "WorkingDir" && value == "/" {
			continue // of Windows; what BuildKit writes today
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		switch string(text) {
		case `""`, "null", "false", "[]", "{}":
			continue // absent means the same
		}
		lines = append(lines, fmt.Sprintf("config %s %s", key, text))
	}
	sort.Strings(lines)
	lines = append(lines, fmt.Sprintf("author %q platform %s/%s", c.Author, c.OS, c.Architecture))
	for i, h := range c.History {
		// Debian's docker is of 2020: a line for layers that it cannot account for,
		// and other words for three instructions.
		if h.Comment == "buildkit.exporter.image.v0" {
			continue
		}
		h.CreatedBy = chown.ReplaceAllString(h.CreatedBy, "$1")
		if word, _, _ := strings.Cut(h.CreatedBy, " "); word == "EXPOSE" || word == "HEALTHCHECK" || word == "ARG" {
			h.CreatedBy = word
		}
		lines = append(lines, fmt.Sprintf("history %d %q empty=%v comment=%q", i, h.CreatedBy, h.EmptyLayer, h.Comment))
	}
	return lines
}

// buildahDiffers are the lines in which buildah 1.28's images are not docker's,
// as docs/build-comparison.md tells.
var buildahDiffers = []*regexp.Regexp{
	regexp.MustCompile(`^[-+] (.*/)?x 0 4?755 `),
	regexp.MustCompile(`^- (etc/(hostname|hosts|resolv.conf)|run) . 755 0:0 `),
	regexp.MustCompile(`^[-+] config (Cmd|ExposedPorts) .*(echo \$A|80/tcp)`),
	regexp.MustCompile(`^[-+] config Env .*"E=c:`),
	regexp.MustCompile(`^[-+] w 5 755 0:0 `),
}

var chown = regexp.MustCompile(`^(COPY|ADD) --chown=\S+`)

// flat are the files that the layers make together, and the configuration without
// its history.
func flat(lines []string) []string {
	files := make(map[string]string)
	var out []string
	remove := func(name string) {
		for have := range files {
			if have == name || strings.HasPrefix(have, name+"/") {
				delete(files, have)
			}
		}
	}
	for _, l := range lines {
		rest, isLayer := strings.CutPrefix(l, "layer ")
		if !isLayer {
			if !strings.HasPrefix(l, "history ") {
				out = append(out, l)
			}
			continue
		}
		_, entry, _ := strings.Cut(rest, " ")
		name := entryName.FindStringSubmatch(entry)[1]
		if dir, base := path.Split(name); strings.HasPrefix(base, ".wh.") {
			if base != ".wh..wh..opq" {
				remove(dir + base[len(".wh."):])
			}
			continue
		}
		files[name] = entry
	}
	for _, entry := range files {
		out = append(out, entry)
	}
	sort.Strings(out)
	return out
}

var entryName = regexp.MustCompile(`^(.*) . [0-7]+ \d+:\d+ "`)

// difference lists the lines that only one of both has.
func difference(a, b []string) string {
	in := func(list []string, line string) bool {
		for _, l := range list {
			if l == line {
				return true
			}
		}
		return false
	}
	var out []string
	for _, l := range a {
		if !in(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !in(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}
