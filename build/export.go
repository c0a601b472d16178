package build

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"skiff/storage/container/archive"
	"skiff/storage/container/contents"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// Export is where the files of the final stage go instead of an image.
type Export struct {
	// Dir is a directory to put them into, which is made; the files are the
	// user's own then. Without it Tar gets them as a tar stream.
	Dir string
	Tar io.Writer
	// Archive, when not nil, opens the file that gets the image as an archive; the
	// caller closes it. Names are the image's there, normalized and tagged.
	Archive func() (*os.File, error)
	Names   []string
	// Kind is how the archive is called: docker or OCI.
	Kind string
}

// product is what was built, one builder for each platform.
type product struct{ of []*builder }

func (p *product) close() error {
	var err error
	for _, b := range p.of {
		err = errors.Join(err, b.close())
	}
	return err
}

// give does what o says.
func (p *product) give(ctx context.Context, o *Export, r *Result) (err error) {
	watch := p.of[0].Watch
	if o.Archive == nil {
		task := watch.Begin("exporting to client")
		defer func() { task.Done(err) }()
		if len(p.of[0].Tags) > 0 && p.of[0].NoImage {
			task.Warn("no image is made, so that -t names nothing")
		}
		return p.files(o)
	}
	task := watch.Begin("exporting to " + o.Kind + " image format")
	defer func() { task.Done(err) }()
	id, err := p.archive(ctx, o)
	if err == nil {
		task.Status("exporting layers done")
		task.Status("exporting config sha256:" + id + " done")
		r.ImageID = id
	}
	return err
}

// archive writes the final states as images.
func (p *product) archive(ctx context.Context, o *Export) (string, error) {
	var want message.BuildArchive
	for _, b := range p.of {
		st := b.final.clone()
		raw, created, err := b.configuration(st)
		if err != nil {
			return "", err
		}
		one := b.message(st, raw, created, o.Names)
		for _, l := range st.layers {
			one.Layers = append(one.Layers, message.StepLayer{Dir: l.dir, DiffID: l.DiffID})
		}
		want.Images = append(want.Images, one)
	}
	// The first one is what readers get that know of no lists.
	slices.SortStableFunc(want.Images, func(a, b message.Build) int { return cmp.Compare(foreign(a.Config), foreign(b.Config)) })
	f, err := o.Archive()
	if err != nil {
		return "", err
	}
	result, err := client.BuildArchive(ctx, p.of[0].st, f, want)
	return result.ID, err
}

// foreign is 0 for an image that this machine runs, else 1.
func foreign(config json.RawMessage) int {
	var img image.Image
	if json.Unmarshal(config, &img.Config) == nil && img.Suits(machine()) {
		return 0
	}
	return 1
}

// files puts the files of the final stages where o says: of several platforms
// each into a directory of its own.
func (p *product) files(o *Export) error {
	below := make(map[string]*contents.Root)
	for _, b := range p.of {
		dirs := b.final.dirs(b)
		if len(dirs) == 0 {
			empty, err := b.workDir(b.ctx)
			if err != nil {
				return err
			}
			dirs = []string{empty}
		}
		dir := ""
		if len(p.of) > 1 {
			dir = strings.ReplaceAll(b.platform(), "/", "_")
		}
		below[dir] = contents.Open(dirs[0], dirs[1:])
	}
	if o.Dir == "" {
		return contents.Export(o.Tar, below)
	}
	for dir, root := range below {
		if err := unpackInto(filepath.Join(o.Dir, dir), root); err != nil {
			return err
		}
	}
	return nil
}

// unpackInto puts the files of root into a directory, which is made.
func unpackInto(dir string, root *contents.Root) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	dest, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer dest.Close()
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := root.Export(w)
		w.CloseWithError(err)
		packed <- err
	}()
	err = archive.Beneath(dest).Unpack(r, "/", false)
	r.CloseWithError(err)
	if failed := <-packed; failed != nil && !errors.Is(failed, io.ErrClosedPipe) && err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("export to %s: %w", dir, err)
	}
	return nil
}
