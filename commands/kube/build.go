package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	cbuild "skiff/commands/build"
	"skiff/commands/env"
	"skiff/commands/kube/plan"
	"skiff/storage/image"
)

// buildImages makes the images of whose names there is a directory to build beside
// the YAML: all with --build, none with --build=false, else those that are not
// there.
func buildImages(c *cli.Context, e *env.Env, p *plan.Plan) error {
	if c.IsSet("build") && !c.Bool("build") {
		return nil
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	dir := c.String("context-dir")
	if dir == "" {
		dir = contextDir(c.Args().First())
	}
	if dir == "" {
		return nil
	}
	var done []string
	for i := range p.Pods {
		for _, member := range p.Pods[i].Containers {
			file := buildFile(dir, member.Image)
			if file == "" || slices.Contains(done, member.Image) {
				continue
			}
			done = append(done, member.Image)
			if _, err := image.Find(st, member.Image); err == nil && !c.Bool("build") {
				continue
			}
			build := cbuild.Command(e)
			app := &cli.App{
				Name: e.Program, Commands: []*cli.Command{build}, Writer: e.Out, ErrWriter: e.Err, HideHelp: true, HideVersion: true,
				ExitErrHandler: func(*cli.Context, error) {}, DisableSliceFlagSeparator: true, UseShortOptionHandling: true,
			}
			args := []string{e.Program, build.Name, "-t", member.Image, "-f", file, filepath.Dir(file)}
			if err := app.RunContext(c.Context, args); err != nil {
				return fmt.Errorf("build image %s: %w", member.Image, err)
			}
		}
	}
	return nil
}

// contextDir is the directory of the YAML, empty when it is not of a file.
func contextDir(name string) string {
	if name == "-" || strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return ""
	}
	return filepath.Dir(name)
}

// buildFile finds what an image is built of, "" when there is nothing: in a directory
// called as the image is, with or without its tag.
func buildFile(dir, name string) string {
	tagless, _, _ := strings.Cut(name, ":")
	for _, sub := range []string{name, tagless} {
		if !filepath.IsLocal(sub) {
			continue
		}
		for _, file := range []string{"Containerfile", "Dockerfile"} {
			path := filepath.Join(dir, sub, file)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path
			}
		}
	}
	return ""
}
