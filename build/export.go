package build

import (
	"errors"
	"fmt"
	"io"
	"os"

	"skiff/storage/container/archive"
	"skiff/storage/container/contents"
)

// Export is where the files of the final stage go instead of an image.
type Export struct {
	// Dir is a directory to put them into, which is made; the files are the
	// user's own then. Without it Tar gets them as a tar stream.
	Dir string
	Tar io.Writer
}

// files puts the files of the final stage where o says.
func (b *builder) files(st *state, o *Export) (err error) {
	task := b.Watch.Begin("exporting to client")
	defer func() { task.Done(err) }()
	if len(b.Tags) > 0 {
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
