package image

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"skiff/commands/env"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
)

// Docker's columns of `images --tree`, behind the names, and their widths.
var treeColumns = []struct {
	title string
	width int
	right bool
}{{"ID", 12, false}, {"DISK USAGE", 10, true}, {"CONTENT SIZE", 12, true}, {"EXTRA", 5, false}}

const (
	treeGap = 3
	// treeWidth is the width of a line that is no terminal's.
	treeWidth   = 80
	treeWarning = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on."
	treeLegend  = " Info ->  U  In Use "
	untagged    = "<untagged>"
)

// printTree prints each image with the platform that the store has of it: docker's
// view of several, of which there is one here.
func printTree(e *env.Env, st *storage.Store, images []*image.Image) error {
	used, err := imagesInUse(st)
	if err != nil {
		return err
	}
	names := len("IMAGE")
	platforms := make([]string, len(images))
	for i, img := range images {
		if err := img.ReadConfig(st); err != nil {
			return err
		}
		platforms[i] = "└─ " + format.Escape(img.Platform())
		names = max(names, utf8.RuneCountInString(platforms[i]), len(untagged))
		for _, name := range img.Names {
			names = max(names, utf8.RuneCountInString(image.Familiar(name)))
		}
	}
	w := &treeWriter{w: e.Out, names: names}
	w.printf("%s\n%*s\n\n", treeWarning, treeWidth, treeLegend)
	titles := make([]string, len(treeColumns))
	for i, c := range treeColumns {
		titles[i] = c.title
	}
	w.line("IMAGE", titles...)
	for i, img := range images {
		extra := ""
		if used[img.ID] {
			extra = "U"
		}
		size, content := format.Size(img.Size), "N/A"
		if n, err := contentSize(st, img); err == nil {
			content = format.Size(n)
		}
		// Only the last name, the shortest, has the rest of the line.
		all := familiarAll(img.Names)
		slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
		if len(all) == 0 {
			all = []string{untagged}
		}
		for _, name := range all[:len(all)-1] {
			w.printf("%s\n", name)
		}
		w.line(all[len(all)-1], format.ShortID(img.ID), size, content, extra)
		manifest := format.ShortID(img.ManifestDigest)
		w.line(platforms[i], manifest, size, content, extra)
		w.printf("\n")
	}
	return w.err
}

// treeWriter prints lines of the tree and keeps the first error.
type treeWriter struct {
	w     io.Writer
	names int // width of the first column
	err   error
}

func (t *treeWriter) printf(layout string, values ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, layout, values...)
	}
}

func (t *treeWriter) line(name string, cells ...string) {
	t.printf("%s%s", name, strings.Repeat(" ", max(0, t.names-utf8.RuneCountInString(name))))
	for i, c := range treeColumns {
		width := c.width
		if !c.right {
			width = -width
		}
		t.printf("%*s%*s", treeGap, "", width, cells[i])
	}
	t.printf("\n")
}

// imagesInUse are the IDs of the images that containers were made from. Of a
// container that cannot be read nobody knows.
func imagesInUse(st *storage.Store) (map[string]bool, error) {
	containers, err := container.List(st)
	if containers == nil && err != nil {
		return nil, err
	}
	used := make(map[string]bool)
	for _, c := range containers {
		for _, id := range c.Config.Images() {
			used[id] = true
		}
	}
	return used, nil
}

// contentSize is how many bytes an image has in a registry: its manifest and
// what that names. Of an image that was made here the layers are not compressed.
func contentSize(st *storage.Store, img *image.Image) (int64, error) {
	raw, err := img.Manifest(st)
	if err != nil {
		return 0, err
	}
	type blob struct {
		Size int64 `json:"size"`
	}
	var m struct {
		Config blob   `json:"config"`
		Layers []blob `json:"layers"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return 0, err
	}
	n := int64(len(raw)) + m.Config.Size
	for _, l := range m.Layers {
		n += l.Size
	}
	return n, nil
}
