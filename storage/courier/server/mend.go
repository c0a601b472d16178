package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/storage/pkg/ioutils"
	"github.com/containers/storage/pkg/lockfile"
	"github.com/opencontainers/go-digest"

	"skiff/storage/atomicfile"
	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
	"skiff/storage/image"
)

// errNoRegistry says that an image did not come from a registry.
var errNoRegistry = errors.New("it did not come from a registry")

// replace writes a whole table, whatever it was.
func (s *session) replace(t table, objects [][]byte) error {
	held, err := lockfile.GetLockFile(filepath.Join(s.st.Graph(), t.dir, t.name+".lock"))
	if err != nil {
		return fmt.Errorf("lock %s: %w", t.name, err)
	}
	held.Lock()
	defer held.Unlock()
	data := append(append([]byte{'['}, bytes.Join(objects, []byte{','})...), ']')
	if err := ioutils.AtomicWriteFile(s.path(t), data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", t.name, err)
	}
	if _, err := held.RecordWrite(); err != nil {
		return fmt.Errorf("write %s: %w", t.name, err)
	}
	return atomicfile.SyncDir(filepath.Dir(s.path(t)))
}

// open makes the store of containers/storage ready for what fetches.
func (c *checker) open() (err error) {
	if c.store == nil {
		c.store, err = openStore(c.st)
	}
	return err
}

// places are the registries that an image came from, as references to its very
// manifest.
func (i *storedImage) places() []reference.Named {
	var places []reference.Named
	for _, name := range sortedNames(i.Names) {
		named, err := reference.ParseNormalizedNamed(name)
		if _, digested := named.(reference.Digested); err != nil || !digested || i.Digest.Validate() != nil {
			continue
		}
		if exact, err := reference.WithDigest(reference.TrimNamed(named), i.Digest); err == nil {
			places = append(places, exact)
		}
	}
	return places
}

// mendData puts back a file that is kept with an image.
func (c *checker) mendData(ctx context.Context, i *storedImage, key string, want digest.Digest) (string, error) {
	path := image.DataFile(c.st.Graph(), i.ID, key)
	if key == image.SyncedKey {
		return "written again", c.writeData(path, []byte(image.SyncedVersion))
	}
	// The manifest is kept under two names.
	for _, other := range i.Data {
		if data, err := os.ReadFile(image.DataFile(c.st.Graph(), i.ID, other)); err == nil && digest.FromBytes(data) == want {
			return "put back from its copy", c.writeData(path, data)
		}
	}
	done, err := c.fetchAgain(ctx, i)
	if errors.Is(err, errNoRegistry) && key != "sha256:"+i.ID {
		return "", errors.New("it did not come from a registry; containers of the image are not affected")
	}
	return done, err
}

func (c *checker) writeData(path string, data []byte) error {
	if _, err := os.Lstat(path); err == nil {
		if _, err := c.setAside("image-data", path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.WriteBy(filepath.Join(c.temp.Path, "data"), path, data, 0o600, atomicfile.Durable)
}

// fetchAgain sets an image aside and pulls it again by its digest. Layers that are
// whole stay. An image that no registry has stays aside.
func (c *checker) fetchAgain(ctx context.Context, i *storedImage) (string, error) {
	aside, err := c.setImageAside(i)
	if err != nil {
		return "", err
	}
	if err := c.pullAgain(ctx, i); err != nil {
		return fmt.Sprintf("set aside as %s (%v); %s, and its containers work as before", aside, err, bringBack([]*storedImage{i})), nil
	}
	return "fetched again from its registry", nil
}

func (c *checker) pullAgain(ctx context.Context, i *storedImage) error {
	failed := errNoRegistry
	for _, named := range i.places() {
		if failed = c.pullFrom(ctx, named, i); failed == nil {
			return nil
		}
	}
	return failed
}

func (c *checker) pullFrom(ctx context.Context, named reference.Named, i *storedImage) error {
	if err := c.open(); err != nil {
		return err
	}
	// What has no record would be in the way of what gets one.
	for _, id := range i.ours.Layers {
		if dir := filepath.Join(c.st.Layers(), id); !c.recorded(layerTable, id) && exists(dir) {
			if _, err := c.setAside("layer-"+short(id), dir); err != nil {
				return err
			}
		}
	}
	from, err := sources(named, c.want.Registries)
	if err != nil {
		return err
	}
	defer closeSources(from)
	r, err := c.resolve(ctx, named, platform{}, from)
	if err != nil {
		return err
	}
	if r.parsed.ConfigInfo().Digest.Encoded() != i.ID {
		return errors.New("the registry has another image of that digest")
	}
	publish := func(all ...candidate) error { return c.publishAll(all, i.ID, i.Names, nil) }
	return c.fetch(ctx, r, registry.Patience(c.want.Registries.Patience), publish)
}

// setImageAside takes an image out of the store: its record and its files are put
// where nothing looks.
func (c *checker) setImageAside(i *storedImage) (string, error) {
	dir := filepath.Join(c.st.Graph(), imageTable.dir, i.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "record.json"), i.object, 0o600); err != nil {
		return "", err
	}
	if err := c.dropRecords(imageTable, []string{i.ID}); err != nil {
		return "", err
	}
	aside, err := c.setAside("image-"+short(i.ID), dir)
	delete(c.images, i.ID)
	return aside, err
}

func (c *checker) dropRecords(t table, ids []string) error {
	return c.edit(t, func(objects [][]byte) ([][]byte, error) {
		return slices.DeleteFunc(objects, func(o []byte) bool { return slices.Contains(ids, image.Field(o, "id")) }), nil
	}, nil)
}

// mendLayer fetches the blob of a layer again and puts it in the place of the
// damaged one. Where no registry has it, the images that stand on it are set aside.
func (c *checker) mendLayer(ctx context.Context, l image.Layer) (string, error) {
	failed := errNoRegistry
	for _, id := range sortedKeys(c.images) {
		i := c.images[id]
		n := slices.Index(i.ours.Layers, l.ID)
		if n < 0 {
			continue
		}
		for _, named := range i.places() {
			if failed = c.fetchLayer(ctx, named, i, len(i.ours.Layers)-1-n, l); failed == nil {
				return "fetched again from " + reference.Domain(named), nil
			}
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
		}
	}
	return c.setLayerAside(l, failed)
}

// fetchLayer fetches layer number n, counted from the bottom, of an image.
func (c *checker) fetchLayer(ctx context.Context, named reference.Named, i *storedImage, n int, l image.Layer) error {
	if err := c.open(); err != nil {
		return err
	}
	data, err := os.ReadFile(image.DataFile(c.st.Graph(), i.ID, "manifest"))
	if err != nil {
		return err
	}
	if digest.FromBytes(data) != i.Digest {
		return errors.New("its manifest is damaged")
	}
	parsed, err := parseManifest(data, "")
	if err != nil {
		return err
	}
	infos := parsed.LayerInfos()
	if n >= len(infos) {
		return errors.New("its manifest has fewer layers")
	}
	from, err := sources(named, c.want.Registries)
	if err != nil {
		return err
	}
	defer closeSources(from)
	f := &fetcher{sources: from, patience: registry.Patience(c.want.Registries.Patience), report: func(message.Event) {}}
	wanted := layer{digest: infos[n].Digest, size: infos[n].Size, diffID: digest.Digest(l.DiffID), base: n == 0, from: f}
	p, err := c.openPartial(ctx, l.ID)
	if err != nil {
		return err
	}
	defer p.remove()
	out, _, err := c.stageFetched(ctx, wanted, p)
	if err != nil {
		return err
	}
	return errors.Join(c.exchange(l, out), c.discard(out))
}

// exchange puts unpacked contents in the place of a layer's. Containers that run
// keep what they have mounted.
func (c *checker) exchange(l image.Layer, out *staged) error {
	dir := filepath.Join(c.st.Layers(), l.ID)
	diff := filepath.Join(dir, "diff")
	mode := fs.FileMode(baseRootMode)
	if below, err := os.Stat(filepath.Join(c.st.Layers(), l.Parent, "diff")); err == nil && l.Parent != "" {
		mode = below.Mode()
	}
	if out.RootDirMode == nil {
		if err := os.Chmod(out.Target, mode); err != nil {
			return err
		}
	}
	split, err := c.compressSplit(out.TarSplit)
	if err != nil {
		return err
	}
	if exists(diff) {
		if _, err := c.setAside("layer-"+short(l.ID), diff); err != nil {
			return err
		}
	}
	for _, d := range []string{dir, filepath.Join(dir, "work"), filepath.Join(dir, "merged")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	if err := os.Rename(out.Target, diff); err != nil {
		return err
	}
	if err := os.Rename(split, filepath.Join(c.st.Graph(), layerTable.dir, l.ID+".tar-split.gz")); err != nil {
		return err
	}
	return c.sync()
}

// compressSplit writes the headers of a layer as containers/storage keeps them.
func (c *checker) compressSplit(headers *os.File) (path string, err error) {
	if _, err := headers.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(c.temp.Path, "tar-split-")
	if err != nil {
		return "", err
	}
	defer f.Close()
	w := gzip.NewWriter(f)
	if _, err := io.Copy(w, headers); err != nil {
		return "", err
	}
	return f.Name(), errors.Join(w.Close(), f.Chmod(0o600))
}

// setLayerAside takes the images that stand on a layer out of the store, and the
// layer with those on top of it.
func (c *checker) setLayerAside(l image.Layer, why error) (string, error) {
	var images []string
	var gone []*storedImage
	for _, id := range sortedKeys(c.images) {
		if i := c.images[id]; slices.Contains(i.ours.Layers, l.ID) {
			images, gone = append(images, i.name()), append(gone, i)
			if _, err := c.setImageAside(i); err != nil {
				return "", err
			}
		}
	}
	layers := []string{l.ID}
	for n := 0; n < len(layers); n++ {
		for id, other := range c.layers {
			if other.Parent == layers[n] && !slices.Contains(layers, id) {
				layers = append(layers, id)
			}
		}
	}
	if err := c.dropRecords(layerTable, layers); err != nil {
		return "", err
	}
	for _, id := range layers {
		delete(c.layers, id)
		if dir := filepath.Join(c.st.Layers(), id); exists(dir) {
			if _, err := c.setAside("layer-"+short(id), dir); err != nil {
				return "", err
			}
		}
		// Headers without a layer are of no use to anybody.
		if err := os.Remove(filepath.Join(c.st.Graph(), layerTable.dir, id+".tar-split.gz")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	text := "set aside in " + c.st.Damaged()
	if len(images) > 0 {
		text += fmt.Sprintf(" with the images %s (%v); %s, and their containers work as before", strings.Join(images, ", "), why, bringBack(gone))
	}
	return text, nil
}

// bringBack words what the user does about images that were set aside.
func bringBack(images []*storedImage) string {
	var pulls, names []string
	for _, i := range images {
		if len(i.places()) > 0 {
			pulls = append(pulls, "`skiff pull "+i.name()+"`")
		} else {
			names = append(names, i.name())
		}
	}
	var ways []string
	if len(pulls) > 0 {
		ways = append(ways, strings.Join(pulls, ", ")+" when the registry answers")
	}
	if len(names) > 0 {
		ways = append(ways, "load or build "+strings.Join(names, ", ")+" again")
	}
	return strings.Join(ways, "; ")
}

// linkLength is how many characters containers/storage gives a short name.
const linkLength = 26

// mendLinks makes the short names of all layers again that lack one, and then what
// names those below.
func (c *checker) mendLinks() (string, error) {
	names := filepath.Join(c.st.Layers(), "l")
	if err := os.MkdirAll(names, 0o755); err != nil {
		return "", err
	}
	for id := range c.layers {
		if dir := filepath.Join(c.st.Layers(), id); exists(dir) {
			if err := c.mendLink(names, dir, id); err != nil {
				return "", err
			}
		}
	}
	for id, l := range c.layers {
		path := filepath.Join(c.st.Layers(), id, "lower")
		if have, err := os.ReadFile(path); l.Parent == "" || err == nil && string(have) == c.lower(l) || !exists(filepath.Dir(path)) {
			continue
		}
		if err := c.writeLink(path, c.lower(l)); err != nil {
			return "", err
		}
	}
	return "made again", nil
}

func (c *checker) mendLink(names, dir, id string) error {
	target := filepath.Join("..", id, "diff")
	have, err := os.ReadFile(filepath.Join(dir, "link"))
	name := string(bytes.TrimSpace(have))
	if err == nil && name != "" && !strings.ContainsAny(name, "/.") {
		if leads, err := os.Readlink(filepath.Join(names, name)); err == nil && leads == target {
			return nil
		}
	}
	var random [linkLength]byte
	_, _ = rand.Read(random[:]) // never fails
	name = base32.StdEncoding.EncodeToString(random[:])[:linkLength]
	// A name that led here before is of no use to anybody.
	for _, old := range list(names) {
		if leads, err := os.Readlink(filepath.Join(names, old)); err == nil && leads == target {
			name = old
		}
	}
	if !exists(filepath.Join(names, name)) {
		if err := os.Symlink(target, filepath.Join(names, name)); err != nil {
			return err
		}
	}
	return c.writeLink(filepath.Join(dir, "link"), name)
}

func (c *checker) writeLink(path, text string) error {
	temp := filepath.Join(c.temp.Path, "link")
	_ = os.Remove(temp) // of the last one, should that have failed
	return atomicfile.WriteBy(temp, path, []byte(text), 0o644, atomicfile.Durable)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
