package build

import (
	"skiff/storage/image"
	"skiff/storage/lock"
	"skiff/storage/temp"
)

// look asks for something of the store of images that the build will stand on
// while nobody can remove any, and keeps the layer whose id it returns.
func (b *builder) look(ask func() (layer string, err error)) error {
	images, err := lock.Shared(b.ctx, b.st.ImagesLock())
	if err != nil {
		return err
	}
	defer images.Release()
	id, err := ask()
	if err != nil || id == "" {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held[id] {
		return nil
	}
	if b.holds == nil {
		if b.holds, err = temp.Make(b.ctx, b.st); err != nil {
			return err
		}
		b.held = make(map[string]bool)
	}
	b.held[id] = true
	return b.holds.Hold(id)
}

// find looks for an image in the store, for the platform if the name stands for
// one.
func (b *builder) find(ref image.Reference, platform string) (img *image.Image, err error) {
	err = b.look(func() (string, error) {
		if img, err = image.Find(b.st, ref.String()); err != nil {
			return "", err
		}
		if img, err = img.Variant(b.st, img.NameOf(ref.String()), platform); err != nil || len(img.Layers) == 0 || img.Graph != "" {
			return "", err
		}
		return img.Layers[0], nil
	})
	return img, err
}

// cached returns the layer that a step with this key made, or nil.
func (b *builder) cached(key string) *layer {
	l := b.cache.find(key)
	if l == nil || l.Store == "" {
		return l
	}
	err := b.look(func() (string, error) {
		if l = b.cache.layer(l.ID); l == nil {
			return "", nil
		}
		return l.Store, nil
	})
	if err != nil {
		return nil // it is made again
	}
	return l
}
