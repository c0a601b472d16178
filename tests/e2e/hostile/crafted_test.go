package hostile_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
)

// crafted is an image that is not what it should be, on top of busybox: layers as
// the bytes of their archives, and what its configuration has besides.
type crafted struct {
	name   string
	layers [][]byte
	// config is put into the configuration as a whole, in place of what is there.
	config map[string]any
	// manifest replaces the archive's list of images; nil for a right one.
	manifest []byte
}

// paths are names of entries that want to be somewhere else, or nowhere.
func paths(h string) map[string]string {
	up := strings.Repeat("../", 20)
	return map[string]string{
		"up and away":         up + h + "/victim",
		"absolute":            h + "/victim",
		"dot, then up":        "./../../../../../../.." + h + "/victim",
		"down, then up":       "a/b/../../../../../../../.." + h + "/victim",
		"two slashes":         "/" + h + "/victim",
		"just up":             "..",
		"up to a sibling":     "../sibling",
		"the root":            "/",
		"the root's name":     ".",
		"no name":             "",
		"a backslash":         `..\..\..\victim`,
		"a newline":           "a\nb",
		"an escape sequence":  "\x1b]0;owned\a\x1b[2J",
		"not UTF-8":           "a\xff\xfe",
		"percent signs":       "%s%n%x",
		"an option":           "-rf",
		"255 bytes":           strings.Repeat("x", 255),
		"300 bytes":           strings.Repeat("x", 300),
		"a hundred deep":      strings.Repeat("d/", 100) + "f",
		"2,500 deep":          strings.Repeat("d/", 2500) + "f",
		"through /proc":       "proc/self/root" + h + "/victim",
		"through a file":      "bin/busybox/victim",
		"a whiteout's whole":  ".wh..wh..opq",
		"a whiteout of up":    ".wh...",
		"a whiteout of aufs":  ".wh..wh.aufs",
		"a whiteout and down": ".wh.etc/passwd",
	}
}

// kinds are what an entry with such a name can be.
func kinds(h string) map[string]func(string) harness.Entry {
	header := func(kind byte, link string) func(string) harness.Entry {
		return func(name string) harness.Entry {
			return harness.Entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o777}}
		}
	}
	return map[string]func(string) harness.Entry{
		"file":      func(name string) harness.Entry { return harness.File(name, "evil") },
		"directory": header(tar.TypeDir, ""),
		"link":      header(tar.TypeSymlink, h+"/victim"),
		"hard link": header(tar.TypeLink, h+"/secret"),
		"fifo":      header(tar.TypeFifo, ""),
	}
}

// rawTar writes an archive whose entries may be such as archive/tar refuses.
func rawTar(t *testing.T, entries ...harness.Entry) []byte {
	t.Helper()
	var all []byte
	for _, e := range entries {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if strings.HasSuffix(e.Name, "/") {
			e.Content = nil // it is a directory's
		}
		e.Size = int64(len(e.Content))
		if err := w.WriteHeader(&e.Header); err != nil {
			return nil
		}
		if _, err := w.Write(e.Content); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		all = append(all, buf.Bytes()...)
	}
	return append(all, make([]byte, 1024)...)
}

// field overwrites part of a tar header and makes its checksum right again.
func field(block []byte, offset int, text string) []byte {
	block = bytes.Clone(block)
	copy(block[offset:], text)
	copy(block[148:156], "        ")
	sum := 0
	for _, b := range block[:512] {
		sum += int(b)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return block
}

// oddArchives are layers whose headers do not say what they should.
func oddArchives(t *testing.T, h string) map[string][]byte {
	t.Helper()
	one := rawTar(t, harness.File("f", "contents"))
	pax := func(records string) []byte {
		body := []byte(records)
		e := rawTar(t, harness.Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders/f", Mode: 0o644}, Content: body})
		return append(field(e[:len(e)-1024], 156, "x"), one...)
	}
	record := func(key, value string) string {
		length := len(key) + len(value) + 3
		for n := length + 1; ; n++ {
			if len(fmt.Sprint(n))+length == n {
				return fmt.Sprintf("%d %s=%s\n", n, key, value)
			}
		}
	}
	gnu := func(kind string, text string) []byte {
		e := rawTar(t, harness.Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: "././@LongLink", Mode: 0o644}, Content: []byte(text)})
		return append(field(e[:len(e)-1024], 156, kind), one...)
	}
	many := harness.Layer{}
	for n := range 20_000 {
		many = append(many, harness.File(fmt.Sprintf("many/%d", n), ""))
	}
	return map[string][]byte{
		"a size beyond the end":          field(one, 124, "77777777777\x00"),
		"a size in base 256":             field(one, 124, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"),
		"a negative size":                field(one, 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"a size of letters":              field(one, 124, "zzzzzzzzzzz\x00"),
		"a wrong checksum":               append(append(bytes.Clone(one[:148]), "7777777\x00"...), one[156:]...),
		"an unknown type":                field(one, 156, "Q"),
		"a continuous file":              field(one, 156, "7"),
		"a sparse file of GNU":           field(one, 156, "S"),
		"a volume's label":               field(one, 156, "V"),
		"a file of several volumes":      field(one, 156, "M"),
		"a directory with contents":      field(one, 156, "5"),
		"a link with contents":           field(one, 156, "2"),
		"a mode of letters":              field(one, 100, "zzzzzzz\x00"),
		"an owner of letters":            field(one, 108, "zzzzzzz\x00"),
		"cut in a header":                one[:300],
		"cut in a file":                  one[:515],
		"no end":                         one[:1024],
		"two ends and more":              append(bytes.Clone(one), one...),
		"no archive":                     []byte("no archive"),
		"nothing":                        {},
		"zeros":                          make([]byte, 10240),
		"pax: a name that climbs":        pax(record("path", strings.Repeat("../", 20)+h+"/victim")),
		"pax: a link that points out":    pax(record("linkpath", h+"/secret")),
		"pax: a size of its own":         pax(record("size", "9223372036854775807")),
		"pax: a negative size":           pax(record("size", "-1")),
		"pax: an owner of letters":       pax(record("uid", "root")),
		"pax: a time without end":        pax(record("mtime", strings.Repeat("9", 400))),
		"pax: a length that lies":        pax("99 path=short\n"),
		"pax: no length":                 pax("path=short\n"),
		"pax: a zero in the name":        pax(record("path", "a\x00b")),
		"pax: a megabyte of attribute":   pax(record("SCHILY.xattr.user.x", strings.Repeat("x", 1<<20))),
		"pax: an attribute without name": pax(record("SCHILY.xattr.", "x")),
		"pax: a capability":              pax(record("SCHILY.xattr.security.capability", "\x01\x00\x00\x02\xff\xff\xff\xff")),
		"pax: an access list":            pax(record("SCHILY.acl.access", "user::rwx")),
		"pax: a sparse map":              pax(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.realsize", "1099511627776")),
		"gnu: a name that climbs":        gnu("L", strings.Repeat("../", 20)+h+"/victim\x00"),
		"gnu: a name of two megabytes":   gnu("L", strings.Repeat("x", 2<<20)),
		"gnu: a link that points out":    gnu("K", h+"/secret\x00"),
		"20,000 files":                   many.Tar(t),
	}
}

// oddConfigs are configurations with fields of odd types and sizes: of the "config"
// object, and with a leading slash of the document.
func oddConfigs(h string) map[string]map[string]any {
	labels := map[string]string{}
	for n := range 100_000 {
		labels[fmt.Sprint("label", n)] = "x"
	}
	ids := func(n int) []string {
		return slices.Repeat([]string{"sha256:" + strings.Repeat("0", 64)}, n)
	}
	process := func(key string, value any) map[string]any {
		return map[string]any{"config": map[string]any{key: value}}
	}
	return map[string]map[string]any{
		"env a number":             process("Env", 7),
		"env of numbers":           process("Env", []int{1, 2}),
		"env without values":       process("Env", []string{"SECRET", "*", "SEC*", "=", "=x", ""}),
		"env with a zero":          process("Env", []string{"A=\x00b", "PATH=/bin"}),
		"env of 3 MB":              process("Env", []string{"A=" + strings.Repeat("x", 3<<20)}),
		"env of 100,000":           process("Env", slices.Repeat([]string{"A=b"}, 100_000)),
		"command a string":         process("Cmd", "sh"),
		"command of nothing":       process("Cmd", []string{""}),
		"command of null":          process("Cmd", []any{nil}),
		"command with a zero":      process("Cmd", []string{"sh\x00", "-c"}),
		"command of 10 MB":         process("Cmd", []string{strings.Repeat("x", 10<<20)}),
		"command of escapes":       process("Cmd", []string{"\x1b[2J\x1b]0;owned\a", "a\nFAKE ROW"}),
		"entrypoint a map":         process("Entrypoint", map[string]string{"a": "b"}),
		"entrypoint ourselves":     process("Entrypoint", []string{"/proc/self/exe"}),
		"entrypoint a directory":   process("Entrypoint", []string{"/"}),
		"entrypoint the host's":    process("Entrypoint", []string{h + "/victim"}),
		"user of the end":          process("User", "4294967296"),
		"user a number":            process("User", 0),
		"user with a line":         process("User", "root\nx"),
		"directory that climbs":    process("WorkingDir", strings.Repeat("../", 20)+h),
		"directory relative":       process("WorkingDir", "made/here"),
		"directory a descriptor":   process("WorkingDir", "/proc/self/fd/7"),
		"directory a file":         process("WorkingDir", "/bin/busybox"),
		"directory of 5,000 bytes": process("WorkingDir", "/"+strings.Repeat("x/", 2500)),
		"directory with a zero":    process("WorkingDir", "/a\x00b"),
		"volumes a list":           process("Volumes", []string{"/v"}),
		"volumes on the root":      process("Volumes", map[string]any{"/": struct{}{}}),
		"volumes on proc":          process("Volumes", map[string]any{"/proc": struct{}{}, "/sys": struct{}{}, "/dev": struct{}{}}),
		"volumes that climb":       process("Volumes", map[string]any{"../../x": struct{}{}, "": struct{}{}}),
		"ports of nonsense":        process("ExposedPorts", map[string]any{"99999/tcp": struct{}{}, "80/xyz": struct{}{}, "-1": struct{}{}, "": struct{}{}}),
		"ports a number":           process("ExposedPorts", 80),
		"labels a list":            process("Labels", []string{"a"}),
		"labels of odd names":      process("Labels", map[string]string{"": "", "\x1b": "\x1b", "run.oci.handler": "krun", "io.podman.annotations.init": "TRUE"}),
		"labels, 100,000":          process("Labels", labels),
		"signal of nobody":         process("StopSignal", "SIGFOO"),
		"signal a number":          process("StopSignal", 9),
		"signal 4,000":             process("StopSignal", "4000"),
		"stop timeout of ages":     process("StopTimeout", 1<<62),
		"health of nonsense":       process("Healthcheck", map[string]any{"Test": []string{"WHAT"}, "Interval": -1, "Retries": -1}),
		"health at once":           process("Healthcheck", map[string]any{"Test": []string{"CMD", "true"}, "Interval": 1, "Timeout": 1}),
		"health a string":          process("Healthcheck", "true"),
		"shell a string":           process("Shell", "sh"),
		"trigger of nonsense":      process("OnBuild", []string{"FROM x", "\x00"}),
		"config a list":            {"config": []string{}},
		"config null":              {"config": nil},
		"rootfs missing":           {"rootfs": nil},
		"rootfs of another type":   {"rootfs": map[string]any{"type": "files", "diff_ids": []string{}}},
		"layers, 100,000":          {"rootfs": map[string]any{"type": "layers", "diff_ids": ids(100_000)}},
		"layers of numbers":        {"rootfs": map[string]any{"type": "layers", "diff_ids": []int{1, 2}}},
		"layers that are paths":    {"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:../../" + h, "sha256:" + strings.Repeat("g", 64)}}},
		"history, 100,000":         {"history": slices.Repeat([]any{map[string]any{"created_by": "\x1b[2J"}}, 100_000)},
		"history of numbers":       {"history": []int{1}},
		"made never":               {"created": "never"},
		"made in the year 99999":   {"created": "99999-01-01T00:00:00Z"},
		"for another system":       {"os": "windows", "architecture": "amd64"},
		"for no system":            {"os": "", "architecture": ""},
		"for a system of escapes":  {"os": "\x1b[2J", "architecture": "../../x", "variant": "\n"},
		"for a number":             {"os": 7},
	}
}

// craft returns every crafted image.
func craft(t *testing.T, h string) []crafted {
	t.Helper()
	var all []crafted
	for where, path := range paths(h) {
		for what, entry := range kinds(h) {
			if data := rawTar(t, entry(path)); data != nil { // what can be written at all
				all = append(all, crafted{name: what + ", " + where, layers: [][]byte{data}})
			}
		}
	}
	for name, layers := range escapes(h) {
		c := crafted{name: name}
		for _, l := range layers {
			c.layers = append(c.layers, l.Tar(t))
		}
		all = append(all, c)
	}
	for name, data := range oddArchives(t, h) {
		all = append(all, crafted{name: "archive: " + name, layers: [][]byte{data}})
	}
	for name, config := range oddConfigs(h) {
		all = append(all, crafted{name: "configuration: " + name, config: config})
	}
	layers := slices.Repeat([]string{"0/layer.tar"}, 100_000)
	list, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{"crafted:1"}, "Layers": layers}})
	if err != nil {
		t.Fatal(err)
	}
	all = append(
		all,
		crafted{name: "manifest: 100,000 layers", manifest: list},
		crafted{name: "manifest: a million images", manifest: []byte("[" + strings.Repeat("{},", 999_999) + "{}]")},
		crafted{name: "manifest: 100,000 names", manifest: []byte(`[{"Config":"config.json","Layers":["0/layer.tar"],"RepoTags":[` + strings.Repeat(`"crafted:1",`, 99_999) + `"crafted:1"]}]`)},
		crafted{name: "manifest: names of odd types", manifest: []byte(`[{"Config":"config.json","Layers":["0/layer.tar"],"RepoTags":[1,{}]}]`)},
		crafted{name: "manifest: a layer of no type", manifest: []byte(`[{"Config":"config.json","Layers":[null],"RepoTags":["crafted:1"]}]`)},
	)
	slices.SortFunc(all, func(a, b crafted) int { return strings.Compare(a.name, b.name) })
	return all
}

// archive writes the image as docker writes archives. The archive has the name
// crafted:1.
func (c crafted) archive(t *testing.T, path string, base []byte) {
	t.Helper()
	layers := append([][]byte{base}, c.layers...)
	diffIDs, names := []string{}, []string{}
	var out harness.Layer
	for n, l := range layers {
		diffIDs, names = append(diffIDs, harness.Digest(l)), append(names, fmt.Sprintf("%d/layer.tar", n))
		out = append(out, harness.File(names[n], string(l)))
	}
	config := map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Cmd": []string{"true"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	}
	for key, value := range c.config {
		config[key] = value
	}
	list := document(t, "manifest.json", []any{map[string]any{"Config": "config.json", "RepoTags": []string{"crafted:1"}, "Layers": names}})
	if c.manifest != nil {
		list.Content = c.manifest
	}
	out = append(harness.Layer{list, document(t, "config.json", config)}, out...)
	if err := os.WriteFile(path, out.Tar(t), 0o644); err != nil {
		t.Fatal(err)
	}
}

// G11: images that were made to do harm or nonsense are refused, or run and do
// none: nothing of the host is read or changed, nothing hangs, needs much memory,
// falls over or writes to the terminal what it should not. Each fifth always, all of
// them with SKIFF_CRAFTED=all.
func TestG11_CraftedImages(t *testing.T) {
	s := harness.New(t)
	h := canary(s)
	s.Setenv("SECRET", "mine")
	s.LoadBusybox()
	base := harness.Busybox(t).Tar(t)
	all := craft(t, h)
	if len(all) < 200 {
		t.Errorf("only %d images", len(all))
	}
	loaded, tried := 0, 0
	for n, c := range all {
		if os.Getenv("SKIFF_CRAFTED") != "all" && n%5 != 0 {
			continue
		}
		tried++
		t.Run(c.name, func(t *testing.T) {
			s := s.In(t)
			path := filepath.Join(s.Dir, "crafted.tar")
			c.archive(t, path, base)
			harmless := func(what, line string) *harness.Result {
				t.Helper()
				began := time.Now()
				r := s.Shell(inLittleMemory + "timeout -s KILL 60 skiff " + line)
				if r.Code == 137 || r.Code == 124 {
					t.Errorf("%s: no end after %v", what, time.Since(began))
				}
				text := r.Stdout + r.Stderr
				if strings.Contains(text, "goroutine ") || strings.Contains(text, "mine") || strings.ContainsAny(text, "\x1b\a\x00") || len(text) > 8000 {
					t.Errorf("%s says %.3000q", what, text)
				}
				return r
			}
			if harmless("load", "load -q -i "+path).Code == 0 {
				loaded++
				harmless("ps", "images --no-trunc")
				harmless("run", "run --rm --network none crafted:1")
				harmless("run", "run --rm --network none --entrypoint /bin/busybox crafted:1 cat /stolen /esc/secret /victim /f /env")
				s.Skiff("rmi", "-f", "crafted:1").Exits(0)
			}
			s.Skiff("images", "-aq").Exits(0).PrintsMatch("[0-9a-f]{12}")
		})
	}
	t.Logf("%d of %d images tried, %d could be loaded", tried, len(all), loaded)
	s.Skiff("system", "check").Exits(0).Says("no damage")
	run(s, "busybox", "echo", "alive").Prints("alive")
}
