package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"skiff/storage/container/archive"
	"skiff/storage/container/contents"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
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

// give does what o says.
func (b *builder) give(ctx context.Context, st *state, o *Export, r *Result) error {
	if o.Archive == nil {
		return b.files(st, o)
	}
	task := b.Watch.Begin("exporting to " + o.Kind + " image format")
	id, err := b.archive(ctx, st.clone(), o)
	if err == nil {
		task.Status("exporting layers done")
		task.Status("exporting config sha256:" + id + " done")
		r.ImageID = id
	}
	task.Done(err)
	return err
}

// archive writes the final state as an image.
func (b *builder) archive(ctx context.Context, st *state, o *Export) (string, error) {
	raw, created, err := b.configuration(st)
	if err != nil {
		return "", err
	}
	want := b.message(st, raw, created)
	want.Names = o.Names
	for _, l := range st.layers {
		want.Layers = append(want.Layers, message.StepLayer{Dir: l.dir, DiffID: l.DiffID})
	}
	f, err := o.Archive()
	if err != nil {
		return "", err
	}
	result, err := client.BuildArchive(ctx, b.st, f, want)
	return result.ID, err
}

// files puts the files of the final stage where o says.
func (b *builder) files(st *state, o *Export) (err error) {
	task := b.Watch.Begin("exporting to client")
	defer func() { task.Done(err) }()
	if len(b.Tags) > 0 && b.NoImage {
		task.Warn("no image is made, so that -t names nothing")
	}
	dirs := st.dirs(b)
	if len(dirs) == 0 {
		empty, err := b.workDir(b.ctx)
		if err != nil {
			return err
		}
		dirs = []string{empty}
	}
	root := contents.Open(dirs[0], dirs[1:])
	if o.Dir == "" {
		return root.Export(o.Tar)
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	dest, err := os.Open(o.Dir)
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
		return fmt.Errorf("export to %s: %w", o.Dir, err)
	}
	return nil
}
