// Package deps keeps the arrows between our packages: who may import whom, and
// which libraries may appear where. Each rule carries its reason, and a
// violation is reported with the chain of imports that causes it.
package deps

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "skiff"

// tags are those of the real build: the front's graph is another one without.
const tags = "netgo,osusergo,urfave_cli_no_docs,containers_image_openpgp,embed," +
	"exclude_graphdriver_btrfs,exclude_graphdriver_zfs,exclude_graphdriver_aufs"

// direct rules look at the imports that a package of ours writes down.
var direct = []struct {
	imports string   // a library, or a tree of ours
	only    []string // trees of ours that may import it
	reason  string
}{
	{
		"github.com/urfave/cli",
		[]string{"skiff/commands", module},
		"flags end in commands; below it there are typed options",
	},
	{
		"github.com/containers/storage",
		[]string{"skiff/storage"},
		"so that moving to its successor touches one tree",
	},
	{
		"github.com/containers/image",
		[]string{"skiff/storage/courier"},
		"it costs every start 5 ms where it is linked",
	},
	{
		"github.com/seccomp/libseccomp-golang",
		[]string{"skiff/runtime/seccomp"},
		"one package compiles filters; the stage installs bytes",
	},
	{
		"skiff/commands",
		[]string{"skiff/commands", module, "skiff/tests"},
		"nothing imports commands",
	},
	{
		"skiff/build",
		[]string{"skiff/build", "skiff/commands", module},
		"commands -> build -> runtime -> storage -> rootless",
	},
	{
		"skiff/runtime",
		[]string{"skiff/runtime", "skiff/build", "skiff/commands", module},
		"commands -> build -> runtime -> storage -> rootless",
	},
	{
		"skiff/storage",
		[]string{"skiff/storage", "skiff/runtime", "skiff/build", "skiff/commands", module},
		"commands -> build -> runtime -> storage -> rootless",
	},
}

// graphs are rules about everything that a package links, directly or not.
var graphs = []struct {
	pkg    string
	allow  []string // when set, these trees and the standard library only
	forbid []string
	reason string
}{
	{
		pkg: "skiff/runtime/stage/...",
		allow: []string{
			"golang.org/x/sys", "skiff/runtime/stage", "skiff/storage/atomicfile", "skiff/storage/beneath",
			"skiff/storage/lock", "skiff/storage/container/state", "skiff/storage/event", "skiff/storage/quickjson", "skiff/storage/sealed",
		},
		reason: "the stage starts in about a millisecond and lives as long as its container",
	},
	{
		pkg:    "skiff/rootless",
		allow:  []string{"golang.org/x/sys", "skiff/rootless"},
		reason: "it runs before anything else and everything stands on it",
	},
	{
		pkg: module,
		// What expands variables is harmless; what parses is not.
		forbid: []string{
			"github.com/containers/image", "github.com/moby/buildkit/frontend/dockerfile/parser",
			"github.com/moby/buildkit/frontend/dockerfile/instructions", "github.com/moby/buildkit/util", "k8s.io",
			"tags.cncf.io/container-device-interface/pkg/cdi", "go.yaml.in",
		},
		reason: "the front starts with every command; what is heavy is a program of its own",
	},
}

func TestImports_StayWhereTheyBelong(t *testing.T) {
	for _, p := range list(t, "./...") {
		if !within(p.ImportPath, module) {
			continue
		}
		for _, imported := range p.Imports {
			for _, rule := range direct {
				if within(imported, rule.imports) && !withinAny(p.ImportPath, rule.only) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, rule.reason)
				}
			}
		}
	}
}

func TestGraph_HoldsNothingForbidden(t *testing.T) {
	for _, rule := range graphs {
		t.Run(rule.pkg, func(t *testing.T) {
			packages := list(t, rule.pkg)
			for _, p := range packages {
				if p.Standard {
					continue
				}
				bad := withinAny(p.ImportPath, rule.forbid) ||
					rule.allow != nil && !withinAny(p.ImportPath, rule.allow)
				if bad {
					t.Errorf("%s\n%s", strings.Join(chain(packages, rule.pkg, p.ImportPath), " -> "), rule.reason)
				}
			}
		})
	}
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

// list returns what pattern names together with all it depends on. A pattern
// without packages, in a tree that is not written yet, gives none.
func list(t *testing.T, pattern string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-e", "-tags", tags,
		"-json=ImportPath,Standard,Imports", pattern)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// chain returns a shortest path of imports from what a pattern names to another
// package.
func chain(packages []listed, pattern, to string) []string {
	imports := map[string][]string{}
	cameFrom := map[string]string{}
	var queue []string
	tree, whole := strings.CutSuffix(pattern, "/...")
	for _, p := range packages {
		imports[p.ImportPath] = p.Imports
		if p.ImportPath == tree || whole && within(p.ImportPath, tree) {
			cameFrom[p.ImportPath] = ""
			queue = append(queue, p.ImportPath)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, next := range imports[queue[0]] {
			if _, seen := cameFrom[next]; !seen {
				cameFrom[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	var path []string
	for p := to; p != ""; p = cameFrom[p] {
		path = append([]string{p}, path...)
	}
	return path
}

// within reports whether path is tree or below it; the module itself is only
// its root package, and a library's versions (/v2) count as the library.
func within(path, tree string) bool {
	return path == tree || strings.HasPrefix(path, tree+"/")
}

func withinAny(path string, trees []string) bool {
	for _, tree := range trees {
		if tree == module && path != module {
			continue
		}
		if within(path, tree) {
			return true
		}
	}
	return false
}

func TestChain_NamesTheShortestPath(t *testing.T) {
	packages := []listed{
		{ImportPath: "a", Imports: []string{"b", "c"}},
		{ImportPath: "b", Imports: []string{"c"}},
		{ImportPath: "c", Imports: []string{"d"}},
	}
	if got, want := fmt.Sprint(chain(packages, "a", "d")), "[a c d]"; got != want {
		t.Errorf("chain = %s, want %s", got, want)
	}
}
