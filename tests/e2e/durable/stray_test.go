package durable_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"skiff/tests/harness"
)

// known are all files that a store may have (docs/state.md), as paths in it; a
// directory stands for what is in it where it ends in a slash.
var known = regexp.MustCompile(`^(` + strings.Join([]string{
	`reserve|(images|ids|pulls|layers)\.lock`,
	`(containers|containers/by-name|running|volumes|secrets|networks|events|tmp|build|cache|damaged|storage)`,
	`containers/by-name/[\w.-]+|containers/[0-9a-f]{64}/|running/[0-9a-f]{64}`,
	`volumes/[\w.-]+/|secrets/\w[\w.-]*\.json|networks/(\w[\w.-]*\.json|\.lock|\.bridge|\.hub\.lock|\.hub\.sock)`,
	`events/log(\.1)?|tmp/\.sweep\.lock`,
	`build/(lock|anchor|tidied|records|layers|parsed|context|mounts)`,
	`build/records/[0-9a-f]+|build/layers/\w+/|build/(parsed|context)/[0-9a-f]+|build/mounts/[0-9a-f]+(/|\.lock|\.id)`,
	`cache/(seccomp|kube|stage|network)-[0-9a-f]+(\.checked)?|cache/early|cache/skeleton-1/|cache/(partial|pushed)|cache/(partial|pushed)/[0-9a-f]+`,
	`cache/run|cache/run/overlay(-containers|-layers|-locks)?`,
	`cache/run/overlay/(idmapped-lower-dir|metacopy\(\)|native-diff\(\)|overlay)-(true|false)|cache/run/overlay-layers/mountpoints\.(json|lock)`,
	`storage/(storage|userns)\.lock|storage/overlay(-containers|-images|-layers)?`,
	`storage/overlay/(l|staging|tempdirs|\.has-mount-program)|storage/overlay/l/[0-9A-Z]{26}|storage/overlay/[0-9a-f]{64}/`,
	`storage/overlay-containers/(containers|volatile-containers)\.(json|lock)`,
	`storage/overlay-layers/(layers\.(json|lock)|volatile-layers\.json|skiff\.copy|tempdirs|[0-9a-f]{64}\.tar-split\.gz)`,
	`storage/overlay-images/(images\.(json|lock)|skiff\.copy|tempdirs|[0-9a-f]{64})|storage/overlay-images/[0-9a-f]{64}/[^.].*`,
}, "|") + `)$`)

// strays are the files of the store that are none of those that it may have. With what
// belongs to a container, a volume or a layer it is not concerned.
func strays(s *harness.Session) (found []string) {
	s.T.Helper()
	links := 0
	harness.Walk(s.T, s.Store(), func(name string, info fs.FileInfo) error {
		switch {
		case info.IsDir() && known.MatchString(name+"/"):
			return fs.SkipDir
		case !known.MatchString(name):
			found = append(found, name)
			if info.IsDir() {
				return fs.SkipDir
			}
		case filepath.Dir(name) == "storage/overlay/l":
			links++
		}
		return nil
	})
	if layers := len(s.Layers()); links != layers {
		found = append(found, "storage/overlay/l: not one link for each layer")
	}
	return found
}
