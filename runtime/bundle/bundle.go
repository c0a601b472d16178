// Package bundle runs OCI bundles: a directory with a config.json and a root
// (runtime-spec, bundle.md), as `skiff runtime` does for other engines. It keeps
// a directory a container under a state root and knows nothing of images or of
// the store's containers. Start reading in create.go; the lifecycle is
// runtime.md's.
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"
)

// configFile is the configuration's name in a bundle, and that of the copy in
// a container's state directory.
const configFile = "config.json"

// Bundle is a configuration with its directory.
type Bundle struct {
	Dir  string // absolute
	Root string // the root file system, absolute
	Spec *rspec.Spec
}

// Load reads the bundle in dir and refuses what could not be run. Unknown
// properties are ignored (config.md, "Extensibility").
func Load(dir string) (*Bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	b := &Bundle{Dir: dir}
	if b.Spec, err = readSpec(filepath.Join(dir, configFile)); err != nil {
		return nil, err
	}
	if err := check(b.Spec); err != nil {
		return nil, fmt.Errorf("%s: %w", configFile, err)
	}
	b.Root = b.Spec.Root.Path
	if !filepath.IsAbs(b.Root) {
		b.Root = filepath.Join(dir, b.Root)
	}
	info, err := os.Stat(b.Root)
	if err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("root %s: not a directory", b.Root)
	}
	return b, nil
}

func readSpec(path string) (*rspec.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &rspec.Spec{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return s, nil
}

func check(s *rspec.Spec) error {
	if v := s.Version; v != "1" && !strings.HasPrefix(v, "1.") || strings.Trim(v, "0123456789") == "" {
		return fmt.Errorf("ociVersion %q: only 1.x is supported", v)
	}
	if s.Root == nil || s.Root.Path == "" {
		return errors.New("root is missing")
	}
	return checkProcess(s.Process)
}

func checkProcess(p *rspec.Process) error {
	switch {
	case p == nil:
		return errors.New("process is missing")
	case len(p.Args) == 0:
		return errors.New("process.args is empty")
	case !filepath.IsAbs(p.Cwd):
		return fmt.Errorf("process.cwd %q is not an absolute path", p.Cwd)
	}
	return nil
}
