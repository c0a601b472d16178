package system_test

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// A file that docs/state.md does not list is not part of the store.
func TestState_HasNoFileThatIsNotListed(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	s.OK("create", "--name", "made", img, "true")
	s.OK("run", "-d", "--name", "up", "--network", "none", "-v", "vol:/v", "-v", "/anonymous", img, "sleep", "1000")
	s.OK("run", "--name", "done", "--network", "none", img, "true")
	s.OK("run", "--rm", "--network", "none", img, "true")
	s.OK("rm", "done")
	listed, whole := listedPaths(t)
	harness.Walk(t, s.Store(), func(name string, info fs.FileInfo) error {
		if whole.MatchString(name) {
			if info.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !listed.MatchString(name) {
			t.Errorf("%s is not in docs/state.md", name)
		}
		return nil
	})
}

// listedPaths returns two expressions from the first columns of the tables: of
// paths that are listed, parents included, and of directories whose contents
// are somebody else's.
func listedPaths(t *testing.T) (listed, whole *regexp.Regexp) {
	t.Helper()
	document, err := os.ReadFile(harness.Source("docs/state.md"))
	if err != nil {
		t.Fatal(err)
	}
	var paths, trees []string
	for line := range strings.Lines(string(document)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		var base string
		for i, code := range strings.Split(cells[1], "`") {
			if i%2 == 0 || code == "" {
				continue // between the backquotes
			}
			// "`dir/a`, `b`": what has no directory lies beside the first.
			if base == "" || strings.Contains(strings.TrimSuffix(code, "/"), "/") {
				base = code[:strings.LastIndex(strings.TrimSuffix(code, "/"), "/")+1]
			} else {
				code = base + code
			}
			for _, tree := range []string{"storage/", "upper/", "work/", "_data/", "run/", "<random>/", "removed-<id>/", "skeleton-1/"} {
				if strings.HasSuffix(code, tree) {
					trees = append(trees, expression(code))
				}
			}
			parts := strings.Split(strings.TrimSuffix(code, "/"), "/")
			for n := range parts {
				paths = append(paths, expression(strings.Join(parts[:n+1], "/")))
			}
		}
	}
	if len(paths) < 20 {
		t.Fatalf("docs/state.md lists only %d paths", len(paths))
	}
	join := func(all []string) *regexp.Regexp {
		return regexp.MustCompile(`\A(` + strings.Join(all, "|") + `)\z`)
	}
	return join(paths), join(trees)
}

func expression(path string) string {
	e := regexp.QuoteMeta(strings.TrimSuffix(path, "/"))
	e = strings.NewReplacer("<id>", "[0-9a-f]{64}", "<hash>", "[0-9a-f]+", `\*\*`, ".*", `\*`, "[^/]*").Replace(e)
	return regexp.MustCompile("<[a-z]+>").ReplaceAllString(e, "[^/]+")
}
