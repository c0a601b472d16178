package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// A cache that is shared is an image: its layers are those of steps, and its
// configuration has a field of ours that says which step made which.

// CacheRef is where a cache is read from or written to.
type CacheRef struct {
	// Kind is registry, local or inline.
	Kind string
	// Reference is that of a registry, normalized and tagged; Dir the directory of
	// a local one.
	Reference, Dir string
	// Max says that the steps of all stages are written, not only those that the
	// image consists of.
	Max bool
	// Lenient says that a failure to write is only worth a warning.
	Lenient bool
}

// Remote is how registries are reached.
type Remote struct {
	Pull     func(ctx context.Context, reference string) error
	Push     func(ctx context.Context, id, reference string) error
	Manifest func(ctx context.Context, reference string) (*message.Fetched, error)
}

// sharedField is the field of an image's configuration.
const sharedField = "skiff.build.cache"

// sharedVersion is the format of shared.
const sharedVersion = 1

// shared is what the field says.
type shared struct {
	Version int           `json:"version"`
	Records []sharedLayer `json:"records"`
}

// sharedLayer says which steps made a layer.
type sharedLayer struct {
	// Layer counts the image's from the bottom.
	Layer   int       `json:"layer"`
	Keys    []string  `json:"keys"`
	Text    string    `json:"text,omitempty"`
	Created time.Time `json:"created"`
}

// Names in the directory of a local cache.
const (
	localIndex   = "skiff-cache.json"
	localArchive = "cache.tar"
)

// imported is a cache of another build.
type imported struct {
	ref  CacheRef
	keys map[string]sharedLayer

	once   sync.Once
	layers []string // ids in the store, bottom first
	diffs  []string
	clean  func()
	err    error
}

// step is a layer of this build and what it is known by.
type made struct {
	layer *layer
	keys  []string
	text  string
}

// note remembers for an export what a step made.
func (b *builder) note(l *layer, keys []string, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.ContainsFunc(b.made, func(m made) bool { return m.layer.ID == l.ID }) {
		b.made = append(b.made, made{l, keys, text})
	}
}

// openImports reads what the caches know. One that cannot be read is no reason
// not to build.
func (b *builder) openImports(ctx context.Context) {
	for _, ref := range b.CacheFrom {
		task := b.Watch.Begin("importing cache manifest from " + ref.name())
		s, err := b.readShared(ctx, ref)
		if err == nil && s.Version != sharedVersion {
			err = errors.New("it has no cache of skiff's")
		}
		if err != nil {
			task.Warn("not used: " + err.Error())
			task.Done(nil)
			continue
		}
		in := &imported{ref: ref, keys: make(map[string]sharedLayer)}
		for _, l := range s.Records {
			for _, key := range l.Keys {
				in.keys[key] = l
			}
		}
		b.imports = append(b.imports, in)
		task.Done(nil)
	}
}

func (c *CacheRef) name() string {
	if c.Kind == "local" {
		return c.Dir
	}
	return c.Reference
}

func (b *builder) readShared(ctx context.Context, ref CacheRef) (s shared, err error) {
	if ref.Kind == "local" {
		data, err := os.ReadFile(filepath.Join(ref.Dir, localIndex))
		if err != nil {
			return s, err
		}
		return s, json.Unmarshal(data, &s)
	}
	fetched, err := b.Remote.Manifest(ctx, ref.Reference)
	if err != nil {
		return s, err
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(fetched.Config, &fields); err != nil {
		return s, fmt.Errorf("its configuration: %w", err)
	}
	if fields[sharedField] == nil {
		return s, nil
	}
	return s, json.Unmarshal(fields[sharedField], &s)
}

// findImported returns the layer that another build made under one of the keys,
// brought here, or nil.
func (b *builder) findImported(ctx context.Context, keys []string) (*layer, error) {
	for _, in := range b.imports {
		for _, key := range keys {
			record, ok := in.keys[key]
			if !ok {
				continue
			}
			in.once.Do(func() { in.err = b.bring(ctx, in) })
			if in.err != nil {
				return nil, fmt.Errorf("import cache from %s: %w", in.ref.name(), in.err)
			}
			if record.Layer < 0 || record.Layer >= len(in.layers) {
				return nil, nil
			}
			return b.cache.adopt(in.layers[record.Layer], in.diffs[record.Layer], record.Text, record.Created, keys)
		}
	}
	return nil, nil
}

// bring puts the layers of a cache into the store.
func (b *builder) bring(ctx context.Context, in *imported) error {
	task := b.Watch.Begin("importing cache from " + in.ref.name())
	err := b.load(ctx, in)
	task.Done(err)
	return err
}

func (b *builder) load(ctx context.Context, in *imported) error {
	before, _ := image.Resolve(b.st, in.ref.Reference)
	var name string
	if in.ref.Kind == "local" {
		f, err := os.Open(filepath.Join(in.ref.Dir, localArchive))
		if err != nil {
			return err
		}
		defer f.Close()
		result, err := client.Load(ctx, b.st, f, message.Load{}, nil)
		if err != nil {
			return err
		}
		if len(result.Loaded) != 1 {
			return fmt.Errorf("%d images in its archive", len(result.Loaded))
		}
		name = "sha256:" + result.Loaded[0].ID
	} else {
		if err := b.Remote.Pull(ctx, in.ref.Reference); err != nil {
			return err
		}
		name = in.ref.Reference
	}
	img, err := image.Find(b.st, name)
	if err != nil {
		return err
	}
	if before == nil || before.ID != img.ID {
		// Nobody asked for the image; its layers are what is wanted, until the new
		// image has them.
		in.clean = func() {
			want := message.Remove{ID: img.ID}
			if in.ref.Kind != "local" {
				want.Reference = in.ref.Reference
			}
			_, _ = client.Remove(context.WithoutCancel(ctx), b.st, want)
		}
	}
	if err := img.ReadConfig(b.st); err != nil {
		return err
	}
	in.layers = slices.Clone(img.Layers)
	slices.Reverse(in.layers)
	in.diffs = img.Config.RootFS.DiffIDs
	if len(in.diffs) != len(in.layers) {
		return errors.New("its layers and their digests do not match")
	}
	return nil
}

// closeImports removes the images that were brought for their layers only.
func (b *builder) closeImports() {
	for _, in := range b.imports {
		if in.clean != nil {
			in.clean()
		}
	}
}

// adopt makes a layer of the store one of the cache's.
func (c *cache) adopt(id, diffID, text string, created time.Time, keys []string) (*layer, error) {
	l := &layer{Version: cacheVersion, ID: randomID(), Created: created, DiffID: diffID, Store: id, Boot: container.BootID()}
	dir := c.path(layersDir, l.ID)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if err := c.writeJSON(filepath.Join(dir, layerFile), l); err != nil {
		return nil, err
	}
	l.dir = filepath.Join(c.st.Layers(), id, diffDir)
	return l, c.remember(l, text, keys...)
}

// inline adds to a configuration what its layers were made by.
func (b *builder) inline(st *state, raw []byte, layers []*layer) ([]byte, error) {
	below := 0
	if st.base != nil {
		below = len(st.base.Layers)
	}
	s := shared{Version: sharedVersion}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, l := range layers {
		for _, m := range b.made {
			if m.layer.ID == l.ID {
				s.Records = append(s.Records, sharedLayer{Layer: below + i, Keys: m.keys, Text: m.text, Created: l.Created.UTC()})
			}
		}
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	var err error
	if fields[sharedField], err = json.Marshal(s); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}

// wantsInline reports whether the image itself is to be a cache.
func (b *builder) wantsInline() bool {
	return b.Args["BUILDKIT_INLINE_CACHE"] == "1" || slices.ContainsFunc(b.CacheTo, func(c CacheRef) bool { return c.Kind == "inline" })
}

// exportCaches writes the caches that were asked for.
func (b *builder) exportCaches(ctx context.Context, st *state) error {
	for _, to := range b.CacheTo {
		if to.Kind == "inline" {
			continue
		}
		task := b.Watch.Begin("exporting cache to " + map[string]string{"registry": "registry", "local": "client directory"}[to.Kind])
		err := b.exportCache(ctx, st.clone(), to)
		if err != nil && to.Lenient {
			task.Warn("not exported: " + err.Error())
			err = nil
		}
		task.Done(err)
		if err != nil {
			return fmt.Errorf("error writing cache to %s: %w", to.name(), err)
		}
	}
	return nil
}

func (b *builder) exportCache(ctx context.Context, st *state, to CacheRef) error {
	if to.Max {
		for _, m := range b.made {
			if !slices.ContainsFunc(st.layers, func(l *layer) bool { return l.ID == m.layer.ID }) {
				st.layers = append(st.layers, m.layer)
			}
		}
	}
	raw, created, err := b.configuration(st)
	if err == nil {
		raw, err = b.inline(st, raw, st.layers)
	}
	if err != nil {
		return err
	}
	want := b.message(st, raw, created, nil)
	for _, l := range st.layers {
		now := b.cache.layer(l.ID)
		if now == nil {
			return errors.New("a layer went from the build cache meanwhile; build again")
		}
		want.Layers = append(want.Layers, message.StepLayer{Dir: now.dir, DiffID: now.DiffID})
	}
	if to.Kind == "local" {
		return b.exportLocal(ctx, want, to.Dir)
	}
	result, err := client.Build(ctx, b.st, want)
	if err != nil {
		return err
	}
	err = b.Remote.Push(ctx, result.ID, to.Reference)
	if _, cleanErr := client.Remove(context.WithoutCancel(ctx), b.st, message.Remove{ID: result.ID}); err == nil {
		err = cleanErr
	}
	return err
}

// exportLocal writes a cache into a directory, the index last: what it says is
// there.
func (b *builder) exportLocal(ctx context.Context, want message.Build, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".skiff-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it has another name by then
	_, err = client.BuildArchive(ctx, b.st, f, message.BuildArchive{Images: []message.Build{want}})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	fields := make(map[string]json.RawMessage)
	if err := json.Unmarshal(want.Config, &fields); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, localIndex)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, localArchive)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, localIndex), fields[sharedField], 0o644)
}
