package contents

import (
	"io"
	"path"

	"skiff/storage/container/archive"
)

// PackLayer writes what the container changed to w as an image's layer
// (https://github.com/opencontainers/image-spec/blob/main/layer.md) and reports
// how many entries that are. What the container removed from an opaque
// directory is one mark, as long as the directory was there before.
func (r *Root) PackLayer(w io.Writer) (int, error) {
	p := archive.NewPacker(w)
	p.Xattrs = true
	err := r.walk(func(c *change) error {
		dir, base := path.Split(c.path)
		switch {
		case c.removed && c.hidden:
			return nil // the mark of the directory says it
		case c.removed:
			return p.Empty(dir + whiteoutPrefix + base)
		}
		if err := p.Add(int(c.at.Fd()), base, c.path, &c.stat); err != nil {
			return err
		}
		if c.opaque && !c.hidden && c.before != nil && c.before.isDir() {
			return p.Empty(path.Join(c.path, opaqueMark))
		}
		return nil
	})
	if err != nil {
		return p.Entries, err
	}
	return p.Entries, p.Close()
}
