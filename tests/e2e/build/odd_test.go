package build_test

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"skiff/tests/harness"
)

// oddDockerfiles are Dockerfiles with which nothing can be made, and what must be
// said of each.
var oddDockerfiles = map[string]struct{ text, complains string }{
	"empty":                        {"", "the Dockerfile cannot be empty"},
	"comments only":                {"# nothing\n\n#\n", "file with no instructions"},
	"no base":                      {"RUN true\n", "no build stage in current context"},
	"an unknown instruction":       {"FROM busybox\nRUNN true\n", "unknown instruction: RUNN"},
	"an instruction of escapes":    {"FROM busybox\n\x1b[2JRUN true\n", "unknown instruction"},
	"a base without a name":        {"FROM\n", "FROM requires either one or three arguments"},
	"a base with too many words":   {"FROM busybox like this one\n", "FROM requires either one or three arguments"},
	"a base that is no name":       {"FROM Busybox..:\n", "invalid reference format"},
	"a base that climbs":           {"FROM ../../busybox\n", "invalid reference format"},
	"a base of an empty variable":  {"ARG A\nFROM $A\n", "base name ($A) should not be blank"},
	"a base of a digest's path":    {"FROM busybox@sha256:../../../etc/passwd\n", "invalid reference format"},
	"a stage of a bad name":        {"FROM busybox AS /x\n", "invalid name for build stage"},
	"a platform of nonsense":       {"FROM --platform=no/such/thing/at/all busybox\n", "platform"},
	"an unknown flag":              {"FROM --flag=x busybox\n", "unknown flag: --flag"},
	"a flag twice":                 {"FROM busybox\nCOPY --chown=1 --chown=2 a b\n", "flag"},
	"copy of nothing":              {"FROM busybox\nCOPY\n", "COPY requires at least two arguments"},
	"copy to nowhere":              {"FROM busybox\nCOPY a\n", "COPY requires at least two arguments"},
	"copy of several to a file":    {"FROM busybox\nCOPY Dockerfile f /got\n", "must be a directory and end with a /"},
	"copy of what is not there":    {"FROM busybox\nCOPY nope /\n", "not found"},
	"copy with an owner below 0":   {"FROM busybox\nCOPY --chown=-1 f /f\n", "ids are from 0"},
	"copy with a group too high":   {"FROM busybox\nCOPY --chown=0:4294967295 f /f\n", "ids are from 0"},
	"copy from itself":             {"FROM busybox AS me\nCOPY --from=me /a /b\n", "me"},
	"copy from a number too high":  {"FROM busybox\nCOPY --from=9 /a /b\n", "9"},
	"copy with an owner of none":   {"FROM busybox\nCOPY --chown=nobody-here:x f /f\n", "nobody-here"},
	"copy with an owner too high":  {"FROM busybox\nCOPY --chown=4294967296 f /f\n", "4294967296"},
	"copy with a mode of letters":  {"FROM busybox\nCOPY --chmod=zz f /f\n", "zz"},
	"copy with a bad pattern":      {"FROM busybox\nCOPY [a- /f\n", ""},
	"a variable without an end":    {"FROM busybox\nENV A=${B\n", "in substitution"},
	"a variable's modifier":        {"FROM busybox\nENV A=${B:*x}\n", "unsupported modifier"},
	"a variable that must be":      {"FROM busybox\nENV A=${B:?say it}\n", "say it"},
	"a quote without an end":       {"FROM busybox\nENV A=\"b\n", "unexpected end of statement while looking for matching double-quote"},
	"env without a value":          {"FROM busybox\nENV A\n", "ENV must have two arguments"},
	"env without a name":           {"FROM busybox\nENV =b\n", "blank"},
	"label without a name":         {"FROM busybox\nLABEL =b\n", "blank"},
	"arg of no name":               {"FROM busybox\nARG\n", "ARG requires at least one argument"},
	"a port of letters":            {"FROM busybox\nEXPOSE web\n", "web"},
	"a port too high":              {"FROM busybox\nEXPOSE 99999\n", "99999"},
	"a volume of nothing":          {"FROM busybox\nVOLUME [\"\"]\n", "VOLUME specified can not be an empty string"},
	"a signal of nobody":           {"FROM busybox\nSTOPSIGNAL SIGFOO\n", "SIGFOO"},
	"a user of nothing":            {"FROM busybox\nUSER\n", "USER requires exactly one argument"},
	"a shell that is no list":      {"FROM busybox\nSHELL sh\n", "SHELL requires the arguments to be in JSON form"},
	"two maintainers' words":       {"FROM busybox\nMAINTAINER\n", "MAINTAINER requires exactly one argument"},
	"health without a command":     {"FROM busybox\nHEALTHCHECK CMD\n", "HEALTHCHECK"},
	"health of an unknown kind":    {"FROM busybox\nHEALTHCHECK WHAT true\n", "Unknown type"},
	"health at negative times":     {"FROM busybox\nHEALTHCHECK --interval=-1s CMD true\n", "cannot be less than"},
	"a trigger within a trigger":   {"FROM busybox\nONBUILD ONBUILD RUN true\n", "Chaining ONBUILD"},
	"a trigger that is a base":     {"FROM busybox\nONBUILD FROM x\n", "FROM isn't allowed as an ONBUILD trigger"},
	"a document without an end":    {"FROM busybox\nRUN <<EOF\nnever closed\n", "unterminated heredoc"},
	"an unknown mount":             {"FROM busybox\nRUN --mount=type=none,target=/m true\n", "unsupported mount type"},
	"a mount without a target":     {"FROM busybox\nRUN --mount=type=bind,source=. true\n", "target"},
	"a network of nonsense":        {"FROM busybox\nRUN --network=some true\n", "network"},
	"security of nonsense":         {"FROM busybox\nRUN --security=some true\n", "security"},
	"add of an address of no kind": {"FROM busybox\nADD gopher://x/y /y\n", "not found"},
	"add with a bad checksum":      {"FROM busybox\nADD --checksum=sha256:zz http://127.0.0.1:1/x /x\n", "checksum"},
	"a program that is not there":  {"FROM busybox\nRUN [\"/nope\"]\n", "/nope"},
	"a program of zeros":           {"FROM busybox\nRUN [\"\"]\n", ""},
	"a directory through a file":   {"FROM busybox\nWORKDIR /bin/busybox/x\nRUN true\n", ""},
	"an escape of letters":         {"# escape=x\nFROM busybox\n", "invalid escape token"},
	"stages in a circle":           {"FROM b AS a\nFROM a AS b\n", ""},
	"a frontend of one's own":      {"# syntax=evil/frontend\nFROM busybox\n", `frontend "evil/frontend" is not supported`},
}

// Nothing is made of what makes no sense; it is said what is wrong, in words that fit
// on a screen, soon and without much memory.
func TestBuild_A53_FiftyBadDockerfiles(t *testing.T) {
	s, dir := begin(t, "", "f", "f")
	if len(oddDockerfiles) < 50 {
		t.Errorf("only %d", len(oddDockerfiles))
	}
	for name, odd := range oddDockerfiles {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			s.WriteFile("c/Dockerfile", odd.text)
			refused(s, dir, odd.complains)
		})
	}
	s.Skiff("images", "-aq").Exits(0).PrintsMatch("[0-9a-f]{12}")
}

// inLittleMemory is a line's beginning that leaves each process 200 MB to write to. The
// race detector wants more than it uses, and time (make test-race-e2e).
var inLittleMemory = func() string {
	if os.Getenv("SKIFF_RACE") != "" {
		return "timeout -s KILL 600 "
	}
	return "ulimit -d 204800; timeout -s KILL 60 "
}()

// refused builds dir, which must fail in words.
func refused(s *harness.Session, dir, complains string) {
	s.T.Helper()
	r := s.Shell(inLittleMemory + "skiff build --pull=false -q " + dir)
	text := r.Stdout + r.Stderr
	if r.Code != 1 || strings.Contains(text, "goroutine ") || strings.ContainsAny(text, "\x1b\a\x00") || len(text) > 4000 || !strings.Contains(text, complains) {
		s.T.Errorf("exit code %d, complains not of %q: %.2000q", r.Code, complains, text)
	}
}

// Contexts with what is no file, leads out, or lies about itself.
func TestBuild_A51_BadContexts(t *testing.T) {
	s, dir := begin(t, "FROM busybox\nCOPY . /got\nRUN cat /got/secret /got/in/secret /got/link 2>/dev/null | grep -c classified | grep -x 0\n")
	host := s.WriteFile("host/secret", "classified")
	before := harness.Snapshot(t, filepath.Dir(host))
	fill := func(do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("what is no file", func(t *testing.T) {
		s := s.In(t)
		fill(func() error { return syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644) })
		refusedOrEmpty(s, dir)
		fill(func() error { return os.Remove(filepath.Join(dir, "fifo")) })
	})
	for name, target := range map[string]string{
		"a link out": host, "a relative link out": "../host/secret", "a link to a directory": filepath.Dir(host), "a link to itself": "link",
		"a link to /proc": "/proc/self/root" + host, "a link to nothing": "/nope", "a long link": "/" + strings.Repeat("x/", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			link := filepath.Join(dir, "link")
			fill(func() error { return os.Symlink(target, link) })
			refusedOrEmpty(s, dir)
			fill(func() error { return os.Remove(link) })
		})
	}
	for name, text := range map[string]string{
		"ignores itself": "Dockerfile\n.dockerignore\n", "ignores everything": "*\n**\n", "a bad pattern": "[a-\n", "a long pattern": strings.Repeat("*", 100_000) + "\n",
		"a hundred thousand patterns": strings.Repeat("a*b\n", 100_000), "bytes": "\x00\xff\x1b[2J\n", "patterns that climb": "../../**\n!../host\n",
	} {
		t.Run("an ignore file that has "+name, func(t *testing.T) {
			s := s.In(t)
			ignore := s.WriteFile("c/.dockerignore", text)
			refusedOrEmpty(s, dir)
			fill(func() error { return os.Remove(ignore) })
		})
	}
	up := strings.Repeat("../", 20)
	for name, layer := range map[string]harness.Layer{
		"climbs":               {harness.File(up+host, "evil")},
		"is absolute":          {harness.File(host, "evil")},
		"goes through a link":  {harness.Symlink("in", filepath.Dir(host)), harness.File("in/secret", "evil")},
		"has a link out":       {harness.Symlink("link", host)},
		"has a hard link out":  {{Header: tar.Header{Typeflag: tar.TypeLink, Name: "link", Linkname: host}}},
		"has a device":         {{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 8, Mode: 0o666}}},
		"has a Dockerfile out": {harness.Symlink("Dockerfile", host)},
		"has twice the same":   {harness.File("a", "1"), harness.File("a", "2")},
		"has 300 bytes' names": {harness.File(strings.Repeat("x", 300), "")},
	} {
		t.Run("an archive that "+name, func(t *testing.T) {
			s := s.In(t)
			all := append(harness.Layer{harness.File("Dockerfile", s.ReadFile("c/Dockerfile"))}, layer...)
			s.WriteFile("context.tar", string(all.Tar(t)))
			refusedOrEmpty(s, "- <"+filepath.Join(s.Home(), "context.tar"))
		})
	}
	for name, text := range map[string]string{"no archive": "no archive", "bytes": "\x1f\x8b\x08\x00garbage", "nothing": ""} {
		t.Run("an archive that is "+name, func(t *testing.T) {
			s := s.In(t)
			s.WriteFile("context.tar", text)
			refused(s, "- <"+filepath.Join(s.Home(), "context.tar"), "")
		})
	}
	for _, context := range []string{"/nope", host, "ftp://127.0.0.1/x", "http://127.0.0.1:1/x.tar", "https://127.0.0.1:1/x.git", "git@127.0.0.1:x"} {
		t.Run("a context of "+context, func(t *testing.T) { refused(s.In(t), context, "") })
	}
	if after := harness.Snapshot(t, filepath.Dir(host)); after != before {
		t.Errorf("the host was changed:\n%s", after)
	}
}

// refusedOrEmpty builds a context, which must fail in words, or give an image that
// has nothing of the host.
func refusedOrEmpty(s *harness.Session, context string) {
	s.T.Helper()
	r := s.Shell(inLittleMemory + "skiff build -q " + context)
	text := r.Stdout + r.Stderr
	if r.Code > 1 || strings.Contains(text, "goroutine ") || strings.ContainsAny(text, "\x1b\a\x00") || len(text) > 4000 {
		s.T.Errorf("exit code %d: %.2000q", r.Code, text)
	}
	if r.Code == 1 && strings.Contains(text, "exit code: 1") {
		s.T.Errorf("the image has the host's file: %.2000q", text)
	}
}
