// Package docker_test runs the same lines through docker's client with a real
// engine and through skiff under docker's name, and compares standard output,
// standard error and exit code. scripts.go has the lines, differences.go those
// that may differ, each with its reason; docs/docker-comparison.md is made of
// the latter. It skips where docker's engine is not installed or cannot run.
package docker_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"skiff/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// outcome is what one line did, masked.
type outcome struct {
	stdout, stderr string
	code           int
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s\n--- stderr\n%s", o.code, o.stdout, o.stderr)
}

// place is where lines are run: docker's or ours.
type place struct {
	run  func(line string) outcome
	mask func(string) string
}

// TestDocker_SaysTheSame needs about a minute. Without SKIFF_COMPARE=1 only a
// part of the scripts is run.
func TestDocker_SaysTheSame(t *testing.T) {
	harness.Requires(t, harness.Root, harness.BusyboxStatic, harness.CommandNamed("dockerd"), harness.CommandNamed("docker"))
	s := harness.New(t)
	skiff := ours(s, harness.NewRegistry(t).Address)
	docker := theirs(t, harness.NewRegistry(t).Address)
	both(docker, skiff, cleanUp)
	seen := map[string]bool{}
	full := os.Getenv("SKIFF_COMPARE") != ""
	compared, agreed := 0, 0
	for _, script := range scripts() {
		if !full && !script.short {
			continue
		}
		t.Run(script.name, func(t *testing.T) {
			times := map[string]int{}
			for _, line := range script.lines {
				quiet := strings.HasPrefix(line, "@")
				line = strings.TrimPrefix(line, "@")
				want, got := both(docker, skiff, line)
				if quiet {
					if want.code != 0 || got.code != 0 {
						t.Fatalf("$ %s\ndocker: %v\nskiff: %v", line, want, got)
					}
					continue
				}
				compared++
				key := script.name + ": " + line
				if times[line]++; times[line] > 1 {
					key += fmt.Sprintf(" #%d", times[line])
				}
				reason, mayDiffer := differences()[key]
				seen[key] = true
				switch {
				case want == got && mayDiffer:
					t.Errorf("$ %s\nno difference any more; it is listed with: %s", line, reason)
				case want != got && !mayDiffer:
					t.Errorf("$ %s\ndocker: %v\nskiff: %v", line, want, got)
				default:
					agreed++
				}
			}
			both(docker, skiff, cleanUp)
		})
	}
	t.Logf("%d of %d lines compared as expected", agreed, compared)
	for key := range differences() {
		if full && !seen[key] {
			t.Errorf("differences.go has %q, which no script has", key)
		}
	}
}

// cleanUp leaves the image alone.
const cleanUp = `docker rm -f -v $(docker ps -aq) >/dev/null 2>&1; docker volume rm -f $(docker volume ls -q) >/dev/null 2>&1; ` +
	`docker rmi -f $(docker images -q --filter reference='example*') >/dev/null 2>&1; rm -rf w; mkdir w; true`

// both runs a line in both places at once.
func both(docker, skiff *place, line string) (want, got outcome) {
	var w sync.WaitGroup
	w.Go(func() { want = docker.run(line) })
	w.Go(func() { got = skiff.run(line) })
	w.Wait()
	for _, o := range []struct {
		p *place
		o *outcome
	}{{docker, &want}, {skiff, &got}} {
		o.o.stdout, o.o.stderr = o.p.mask(o.o.stdout), o.p.mask(o.o.stderr)
	}
	return want, got
}

// ours is skiff under docker's name, run by an ordinary user.
func ours(s *harness.Session, registry string) *place {
	s.T.Helper()
	s.LoadBusybox()
	bin := s.Mkdir("bin")
	if err := os.Symlink(s.Binary(), filepath.Join(bin, "docker")); err != nil {
		s.T.Fatal(err)
	}
	return &place{
		run: func(line string) outcome {
			r := s.Do(nil, "/bin/sh", "-c", "PATH="+bin+":$PATH R="+registry+"; "+line)
			return outcome{r.Stdout, r.Stderr, r.Code}
		},
		mask: masker(s.Home(), filepath.Join(s.Store(), "volumes"), registry),
	}
}

// theirs starts docker's engine with a root and a socket of its own.
func theirs(t *testing.T, registry string) *place {
	t.Helper()
	host, dir := harness.DockerEngine(t)
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &place{mask: masker(home, filepath.Join(dir, "data", "volumes"), registry)}
	p.run = func(line string) outcome {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
		cmd.Dir = home
		cmd.Env = []string{"DOCKER_HOST=" + host, "HOME=" + home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "DOCKER_CLI_HINTS=false", "R=" + registry}
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		err := cmd.Run()
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			code = -1
			errOut.WriteString(err.Error())
		}
		return outcome{out.String(), errOut.String(), code}
	}
	archive := harness.BusyboxImage(t).DockerArchive(t, filepath.Join(dir, "busybox.tar"))
	if o := p.run("docker load -q -i " + archive); o.code != 0 {
		t.Skip("docker cannot load an image here: " + o.stderr)
	}
	if o := p.run("docker run --rm --network none busybox true"); o.code != 0 {
		t.Skip("docker cannot run a container here: " + o.stderr)
	}
	return p
}

// masks hide what is different each time.
var masks = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "<id>"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "<short>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d{4} \w+|Z|[+-]\d\d:\d\d)?`), "<time>"},
	{regexp.MustCompile(`(Less than a second|About a minute|About an hour|\d+ (seconds?|minutes|hours|days|weeks|months|years))`), "<span>"},
	{regexp.MustCompile(`\(<span>\) `), ""},
	{regexp.MustCompile(`"?execDuration"?[=:]"?\d+"?, ?`), ""},
	{regexp.MustCompile(`"execDuration":"\d+",`), ""},
	{regexp.MustCompile(`time \(\d+\)`), "time (<seconds>)"},
	{regexp.MustCompile(` +\n`), "\n"},
	{regexp.MustCompile(`(?m)^time="<time>" level=error .*\n`), ""}, // docker's client, now and then
	{regexp.MustCompile(`"(time|timeNano)":\d+`), `"$1":0`},
}

// masker returns what masks the output of a place with these directories and this
// registry.
// Runs of spaces become one column gap: their width depends on what is masked.
func masker(home, volumes, registry string) func(string) string {
	return func(s string) string {
		s = strings.NewReplacer(volumes, "<volumes>", home, "<home>", cmp.Or(registry, "\x00"), "<registry>").Replace(s)
		for _, m := range masks {
			s = m.re.ReplaceAllString(s, m.by)
		}
		s = strings.ReplaceAll(s, "SRun '", "Run '") // a slip of that version of docker's client
		return gaps.ReplaceAllString(s, "   ")
	}
}

var gaps = regexp.MustCompile(` {3,}`)

// TestDifferences_AreDocumented keeps docs/docker-comparison.md what
// differences.go says. It needs no docker.
func TestDifferences_AreDocumented(t *testing.T) {
	byReason := map[string][]string{}
	for line, reason := range differences() {
		byReason[reason] = append(byReason[reason], line)
	}
	total := 0
	for _, script := range scripts() {
		for _, line := range script.lines {
			if !strings.HasPrefix(line, "@") {
				total++
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Skiff beside docker\n\n")
	fmt.Fprintf(&b, "`tests/e2e/docker` runs %d lines through docker's client (28.2 on the machine where\n"+
		"it was made) with an engine 20.10, and through skiff under docker's name, and\n"+
		"compares standard output, standard error and exit code, with ids, times and paths\n"+
		"masked. %d of them come out alike. The others, by reason; this page is made by\n"+
		"`go test ./tests/e2e/docker -run Documented -update`.\n", total, total-len(differences()))
	reasons := slices.Sorted(maps.Keys(byReason))
	for _, reason := range reasons {
		fmt.Fprintf(&b, "\n%s:\n\n", strings.ToUpper(reason[:1])+reason[1:])
		slices.Sort(byReason[reason])
		for _, line := range byReason[reason] {
			_, line, _ = strings.Cut(line, ": ")
			fmt.Fprintf(&b, "- `%s`\n", line)
		}
	}
	b.WriteString("\n## inspect\n\nThe whole document of a container that was made, of one that runs and of one that\n" +
		"ended is compared, too: keys, types and masked values. What differs:\n")
	byReason = map[string][]string{}
	for key, reason := range inspectDifferences() {
		if !strings.Contains(key, "[") {
			byReason[reason] = append(byReason[reason], key)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		slices.Sort(byReason[reason])
		fmt.Fprintf(&b, "\n- %s: `%s`", reason, strings.Join(byReason[reason], "`, `"))
	}
	b.WriteString("\n")
	harness.GoldenDocument(t, b.String(), "docs", "docker-comparison.md")
}
