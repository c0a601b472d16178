package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"skiff/storage/courier/client"
	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/lock"
)

// publish makes the final states images with the wanted names. What is there
// already is not made again.
func (p *product) publish(ctx context.Context, r *Result) (err error) {
	task := p.of[0].Watch.Begin("exporting to image")
	defer func() { task.Done(err) }()
	tags := p.of[0].Tags
	if len(p.of) == 1 {
		err = p.of[0].publish(ctx, task, tags, r)
	} else {
		err = p.publishAll(ctx, task, r)
	}
	if err != nil {
		return err
	}
	for _, name := range tags {
		task.Status("naming to " + name + " done")
	}
	return nil
}

// publishAll makes an image for each platform. The names are those of the one for
// this machine, and stand for all.
func (p *product) publishAll(ctx context.Context, task Task, r *Result) error {
	var ids []string
	main := 0
	for i, b := range p.of {
		one := &Result{}
		if err := b.publish(ctx, task, nil, one); err != nil {
			return err
		}
		r.Changed = r.Changed || one.Changed
		if slices.Contains(ids, one.ImageID) {
			continue // of two variants one image may be made
		}
		ids = append(ids, one.ImageID)
		if strings.HasPrefix(b.platform(), machine()) {
			main = i
		}
	}
	r.ImageID = ids[min(main, len(ids)-1)]
	for _, name := range p.of[0].Tags {
		if err := client.Tag(ctx, p.of[0].st, message.Tag{ID: r.ImageID, Reference: name, Platforms: ids}); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the final state an image with these names.
func (b *builder) publish(ctx context.Context, task Task, names []string, r *Result) error {
	st := b.final
	raw, created, err := b.configuration(st)
	if err != nil {
		return err
	}
	known := keyOf("image", st.key, baseID(st), string(raw), layerIDs(st), b.Annotations)
	if r.ImageID = b.existing(st, known); r.ImageID == "" {
		if r.ImageID, err = b.export(ctx, st, b.message(st, raw, created, names)); err != nil {
			return err
		}
		r.Changed = true
		_ = b.cache.writeJSON(b.cache.path(recordsDir, known), imageRecord{cacheVersion, r.ImageID})
	} else if r.Changed, err = b.tag(ctx, r.ImageID, names); err != nil {
		return err
	}
	task.Status("exporting layers done")
	task.Status("writing image sha256:" + r.ImageID + " done")
	return nil
}

// configuration is that of the image that the state becomes, without rootfs, and
// the image's time.
func (b *builder) configuration(st *state) (raw []byte, created time.Time, err error) {
	for _, kv := range b.Labels {
		if st.config.Config.Labels == nil {
			st.config.Config.Labels = make(map[string]string)
		}
		st.config.Config.Labels[kv.Key] = kv.Value
	}
	created = b.date(st)
	config := st.config
	config.RootFS = image.RootFS{}
	config.Created = &created
	config.Comment = ""
	raw, err = json.Marshal(config)
	if err == nil && b.wantsInline() {
		raw, err = b.inline(st, raw, st.layers)
	}
	return raw, created, err
}

// message asks the courier for the image, without its new layers.
func (b *builder) message(st *state, raw []byte, created time.Time, names []string) message.Build {
	want := message.Build{Config: raw, Created: created, Names: names, Annotations: b.Annotations}
	if st.base != nil {
		want.Base, want.DiffIDs = st.base.Layers, st.config.RootFS.DiffIDs
		if len(want.DiffIDs) != len(want.Base) {
			want.DiffIDs = st.base.Config.RootFS.DiffIDs
		}
	}
	return want
}

// imageRecord says which image a final state became.
type imageRecord struct {
	Version int
	Image   string
}

func layerIDs(st *state) []string {
	ids := make([]string, len(st.layers))
	for i, l := range st.layers {
		ids[i] = l.ID
	}
	return ids
}

func baseID(st *state) string {
	if st.base == nil {
		return ""
	}
	return st.base.ID
}

// existing returns the image that the same state became before, if it is still
// there.
func (b *builder) existing(_ *state, key string) string {
	var r imageRecord
	if !readJSON(b.cache.path(recordsDir, key), &r) || r.Version != cacheVersion || r.Image == "" {
		return ""
	}
	if _, err := image.Find(b.st, "sha256:"+r.Image); err != nil {
		return ""
	}
	return r.Image
}

// tag gives an image the names that it lacks.
func (b *builder) tag(ctx context.Context, id string, names []string) (changed bool, err error) {
	img, err := image.Find(b.st, "sha256:"+id)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if slices.Contains(img.Names, name) && img.Platforms[name] == nil {
			continue
		}
		if err := client.Tag(ctx, b.st, message.Tag{ID: id, Reference: name}); err != nil {
			return changed, err
		}
		changed = true
	}
	return changed, nil
}

// date gives the history's lines times, as BuildKit does: a line without a layer
// has that of the layer before it, the first ones that of the first new layer.
// It returns the image's.
func (b *builder) date(st *state) time.Time {
	var last *time.Time
	for i := range st.config.History {
		h := &st.config.History[i]
		if h.Created == nil && !h.EmptyLayer {
			h.Created = last
		}
		if h.Created != nil {
			last = h.Created
		}
	}
	if b.Epoch != nil {
		last = b.Epoch
	}
	fresh := b.fresh(st)
	if fresh == nil {
		fresh = last
	}
	if fresh == nil {
		// Nothing has a time: that of the first such build.
		raw, _ := json.Marshal(st.config)
		now := b.cache.created(keyOf("created", st.key, string(raw)), b.now().Truncate(time.Second))
		fresh = &now
	}
	before := fresh
	for i := range st.config.History {
		h := &st.config.History[i]
		if b.Epoch != nil && h.Comment == historyComment {
			h.Created = b.Epoch
		}
		if h.Created == nil {
			h.Created = before
		} else if len(st.layers) > 0 && h.Comment == historyComment {
			before = h.Created
		}
	}
	if len(st.config.History) > 0 {
		return *st.config.History[len(st.config.History)-1].Created
	}
	return *fresh
}

// fresh is the time of the first layer that is not the base's.
func (b *builder) fresh(st *state) *time.Time {
	if len(st.layers) == 0 {
		return nil
	}
	return &st.layers[0].Created
}

// export has the courier make the image of the layers.
func (b *builder) export(ctx context.Context, st *state, want message.Build) (string, error) {
	// Alone, the layers' directories may become the image's; else another build
	// may stand on them, and they are copied.
	b.cache.close()
	alone, err := lock.TryExclusive(b.cache.path(usersLock))
	if errors.Is(err, lock.ErrBusy) {
		alone, err = lock.Shared(ctx, b.cache.path(usersLock))
		if err != nil {
			return "", err
		}
		b.cache.users = alone
		alone = nil
	} else if err != nil {
		return "", err
	} else {
		b.cache.users = alone
	}
	layers := st.layers
	for i, l := range layers {
		// Somebody may have published, or pruned, it since we looked.
		now := b.cache.layer(l.ID)
		if now == nil {
			return "", fmt.Errorf("layer %d of the image went from the build cache meanwhile; build again", i+1)
		}
		layers[i] = now
		// A layer that is the store's already is not moved out of it.
		want.Layers = append(want.Layers, message.StepLayer{Dir: now.dir, Move: alone != nil && now.Store == "", DiffID: now.DiffID})
	}
	result, err := client.Build(ctx, b.st, want)
	if err != nil {
		return "", err
	}
	for i, l := range result.Layers {
		layers[i].DiffID, layers[i].Store = l.DiffID, l.ID
		if err := b.cache.published(layers[i]); err != nil {
			return "", err
		}
	}
	return result.ID, nil
}
