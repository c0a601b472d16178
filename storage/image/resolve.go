package image

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"skiff/storage"
)

var (
	// ErrNotFound says that no image has this name or ID.
	ErrNotFound = errors.New("no such image")
	// ErrAmbiguous says that an ID prefix fits several images.
	ErrAmbiguous = errors.New("ambiguous image ID")
)

// NotFoundError is an ErrNotFound with docker's words.
type NotFoundError struct {
	// Reference is what was asked for, in familiar form and with its tag.
	Reference string
}

func (e *NotFoundError) Error() string { return "No such image: " + e.Reference }

// Is makes it an ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// List returns all images, without their configurations, in no particular
// order. One that is in the user's own store and in another is listed once, as
// its own.
func List(st *storage.Store) ([]*Image, error) {
	r, err := read(st)
	if err != nil {
		return nil, err
	}
	return r.match(func([]byte) bool { return true })
}

// WithPlatforms is List of the images with a name that stands for several, of which
// there are few.
func WithPlatforms(st *storage.Store) ([]*Image, error) {
	r, err := read(st)
	if err != nil {
		return nil, err
	}
	images, err := r.match(func(object []byte) bool { return Contains(object, []byte("platforms")) })
	return slices.DeleteFunc(images, func(img *Image) bool { return len(img.Platforms) == 0 }), err
}

// Resolve returns the image that ref means, with its configuration: a name, a
// name with digest, or an ID or the beginning of one. A name goes before an ID,
// as docker has it, and the user's own store before others. Errors: ErrNotFound,
// ErrAmbiguous, ErrInvalidReference.
func Resolve(st *storage.Store, ref string) (*Image, error) {
	img, err := Find(st, ref)
	if err != nil {
		return nil, err
	}
	return img, img.ReadConfig(st)
}

// Find is Resolve without reading the configuration.
func Find(st *storage.Store, ref string) (*Image, error) {
	r, err := read(st)
	if err != nil {
		return nil, err
	}
	return r.find(ref)
}

// allRecords are the image records of the user's store and of the others that
// it reads.
type allRecords struct {
	own    []byte
	others []*foreign
}

func read(st *storage.Store) (*allRecords, error) {
	own, err := readRecords(st.Graph())
	if err != nil {
		return nil, err
	}
	if st.AdditionalErr != nil {
		return nil, st.AdditionalErr
	}
	all := &allRecords{own: own}
	for _, graph := range st.Additional {
		f, err := readForeign(st, graph)
		if err != nil {
			return nil, fmt.Errorf("additional image store %s: %w", graph, err)
		}
		all.others = append(all.others, f)
	}
	return all, nil
}

func (a *allRecords) find(ref string) (*Image, error) {
	id := strings.TrimPrefix(ref, "sha256:")
	if isHex(id, 64) {
		return a.byPrefix(id, "sha256:"+id)
	}
	parsed, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	parsed = parsed.WithDefaultTag()
	img, err := a.byName(parsed)
	if img != nil || err != nil {
		return img, err
	}
	if isHex(id, len(id)) && id != "" {
		return a.byPrefix(id, parsed.Familiar())
	}
	return nil, &NotFoundError{Reference: parsed.Familiar()}
}

// byName returns the image with the name, or nil. With a digest the tag does
// not matter.
func (a *allRecords) byName(r Reference) (*Image, error) {
	if r.Digest != "" {
		r.Tag = ""
	}
	name := r.String()
	// The part of the name that podman's form of it has, too.
	needle := quoted(name)
	if len(a.others) > 0 {
		needle = needle[max(0, len(needle)-len(r.suffix())-2):]
	}
	images, err := a.match(func(object []byte) bool { return Contains(object, needle) })
	if err != nil {
		return nil, err
	}
	for _, img := range images {
		if slices.Contains(img.Names, name) || slices.Contains(img.Digests, name) {
			return img, nil
		}
	}
	return nil, nil
}

// byPrefix returns the only image whose ID begins with prefix. familiar is what
// the user is told when there is none.
func (a *allRecords) byPrefix(prefix, familiar string) (*Image, error) {
	needle := []byte(`"id":"` + prefix)
	images, err := a.match(func(object []byte) bool { return Contains(object, needle) })
	if err != nil {
		return nil, err
	}
	switch len(images) {
	case 0:
		return nil, &NotFoundError{Reference: familiar}
	case 1:
		return images[0], nil
	}
	return nil, fmt.Errorf("%w: multiple IDs found with provided prefix: %s", ErrAmbiguous, prefix)
}

// match returns the images among the records that candidate accepts.
func (a *allRecords) match(candidate func(object []byte) bool) ([]*Image, error) {
	var images []*Image
	for object := range elements(a.own) {
		if !candidate(object) {
			continue
		}
		r, err := parseRecord(object)
		if err != nil {
			return nil, err
		}
		img, err := r.image()
		if err != nil {
			return nil, err
		}
		if img != nil {
			images = append(images, img)
		}
	}
	if len(a.others) == 0 {
		return images, nil
	}
	seen := make(map[string]bool)
	for _, img := range images {
		seen[img.ID] = true
	}
	for _, f := range a.others {
		for object := range elements(f.data) {
			if !candidate(object) {
				continue
			}
			r, err := parseRecord(object)
			if err != nil {
				return nil, fmt.Errorf("additional image store %s: %w", f.graph, err)
			}
			if img := f.image(r); img != nil && !seen[img.ID] {
				seen[img.ID] = true
				images = append(images, img)
			}
		}
	}
	return images, nil
}
