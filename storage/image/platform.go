package image

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"skiff/storage"
)

// A name may stand for several images, one for each platform: the image for this
// machine has it, and its record lists the others, which have no name of their
// own. An image-spec index is made of them when they leave the store.
// https://github.com/opencontainers/image-spec/blob/main/image-index.md

// Members returns the IDs of the images that live by another one's name.
func Members(images []*Image) map[string]bool {
	of := make(map[string]bool)
	for _, img := range images {
		for _, ids := range img.Platforms {
			for _, id := range ids {
				if id != img.ID {
					of[id] = true
				}
			}
		}
	}
	return of
}

// ParsePlatform reads os[/architecture[/variant]], where a single word is the
// architecture unless it is an operating system, and returns the whole of it.
// Empty means this machine's.
func ParsePlatform(text string) (string, error) {
	os, architecture, variant := "linux", runtime.GOARCH, ""
	if text == "" {
		return os + "/" + architecture, nil
	}
	parts := strings.Split(strings.ToLower(text), "/")
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
			return "", fmt.Errorf("%q is an invalid component of %q: platform specifier component must match %q: invalid argument", part, text, `^[A-Za-z0-9_.-]+$`)
		}
	}
	switch {
	case len(parts) == 1 && (parts[0] == "linux" || parts[0] == "windows"):
		os = parts[0]
	case len(parts) == 1:
		architecture = parts[0]
	case len(parts) == 2:
		os, architecture = parts[0], parts[1]
	case len(parts) == 3:
		os, architecture, variant = parts[0], parts[1], parts[2]
	default:
		return "", fmt.Errorf("%q: cannot parse platform specifier: invalid argument", text)
	}
	switch architecture { // the names of uname(1) are in use too
	case "x86_64", "x86-64":
		architecture = "amd64"
	case "aarch64":
		architecture = "arm64"
	case "armhf":
		architecture, variant = "arm", "v7"
	}
	return strings.TrimSuffix(os+"/"+architecture+"/"+variant, "/"), nil
}

// Platform is os/architecture[/variant] of an image whose configuration is read.
func (img *Image) Platform() string {
	return strings.TrimSuffix(strings.Join([]string{img.Config.OS, img.Config.Architecture, img.Config.Variant}, "/"), "/")
}

// Suits reports whether an image whose configuration is read is one for
// platform, in any form that ParsePlatform reads. A variant counts only where both
// have one.
func (img *Image) Suits(platform string) bool {
	platform, err := ParsePlatform(platform)
	is := img.Platform()
	return err == nil && (is == platform || strings.HasPrefix(is, platform+"/") || strings.HasPrefix(platform, is+"/"))
}

// Variant returns that of the images that name, normalized and tagged, stands
// for which is for platform, with its configuration: img itself if no other is. A
// configuration without its digest is *atomicfile.DamagedError.
func (img *Image) Variant(st *storage.Store, name, platform string) (*Image, error) {
	if err := img.verifyConfig(st); err != nil || platform == "" || img.Suits(platform) {
		return img, err
	}
	for _, id := range img.Platforms[name] {
		if id == img.ID {
			continue
		}
		other, err := Find(st, "sha256:"+id)
		if err == nil {
			err = other.verifyConfig(st)
		}
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil || other.Suits(platform) {
			return other, err
		}
	}
	return img, nil
}

// Orphans returns the IDs of the images that nobody can name any more once img
// has lost the names.
func Orphans(images []*Image, img *Image, names []string) []string {
	kept, nameless := make(map[string]bool), make(map[string]bool)
	for _, other := range images {
		nameless[other.ID] = len(other.Names)+len(other.Digests) == 0
		for name, ids := range other.Platforms {
			if other.ID == img.ID && slices.Contains(names, name) {
				continue
			}
			for _, id := range ids {
				kept[id] = true
			}
		}
	}
	var gone []string
	for _, name := range names {
		for _, id := range img.Platforms[name] {
			if id != img.ID && nameless[id] && !kept[id] && !slices.Contains(gone, id) {
				gone = append(gone, id)
			}
		}
	}
	return gone
}

// NameOf returns the name, normalized, by which ref means img; empty when that is
// by its ID.
func (img *Image) NameOf(ref string) string {
	parsed, err := ParseReference(ref)
	if err != nil {
		return ""
	}
	parsed = parsed.WithDefaultTag()
	if parsed.Digest != "" {
		parsed.Tag = ""
	}
	if name := parsed.String(); slices.Contains(img.Names, name) || slices.Contains(img.Digests, name) {
		return name
	}
	return ""
}
