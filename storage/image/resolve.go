package image

import (
	"bytes"
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
	// ErrDamaged says that the file of image records is cut off.
	ErrDamaged = errors.New("file is cut off")
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
// order.
func List(st *storage.Store) ([]*Image, error) {
	data, err := readRecords(st)
	if err != nil {
		return nil, err
	}
	return match(data, func([]byte) bool { return true })
}

// Resolve returns the image that ref means, with its configuration: a name, a
// name with digest, or an ID or the beginning of one. A name goes before an ID,
// as docker has it. Errors: ErrNotFound, ErrAmbiguous, ErrInvalidReference.
func Resolve(st *storage.Store, ref string) (*Image, error) {
	data, err := readRecords(st)
	if err != nil {
		return nil, err
	}
	img, err := find(data, ref)
	if err != nil {
		return nil, err
	}
	return img, img.ReadConfig(st)
}

// Find is Resolve without reading the configuration.
func Find(st *storage.Store, ref string) (*Image, error) {
	data, err := readRecords(st)
	if err != nil {
		return nil, err
	}
	return find(data, ref)
}

func find(data []byte, ref string) (*Image, error) {
	id := strings.TrimPrefix(ref, "sha256:")
	if isHex(id, 64) {
		return byPrefix(data, id, "sha256:"+id)
	}
	parsed, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	parsed = parsed.WithDefaultTag()
	img, err := byName(data, parsed)
	if img != nil || err != nil {
		return img, err
	}
	if isHex(id, len(id)) && id != "" {
		return byPrefix(data, id, parsed.Familiar())
	}
	return nil, &NotFoundError{Reference: parsed.Familiar()}
}

// byName returns the image with the name, or nil. With a digest the tag does
// not matter.
func byName(data []byte, r Reference) (*Image, error) {
	if r.Digest != "" {
		r.Tag = ""
	}
	name := r.String()
	needle := quoted(name)
	images, err := match(data, func(object []byte) bool { return bytes.Contains(object, needle) })
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
func byPrefix(data []byte, prefix, familiar string) (*Image, error) {
	needle := []byte(`"id":"` + prefix)
	images, err := match(data, func(object []byte) bool { return bytes.Contains(object, needle) })
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
func match(data []byte, candidate func(object []byte) bool) ([]*Image, error) {
	var images []*Image
	for object := range elements(data) {
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
	return images, nil
}
