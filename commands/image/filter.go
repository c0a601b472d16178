package image

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/image"
)

// condition decides on one image, and may take names from what is shown of it.
type condition func(*image.Image) (bool, error)

// filter returns the images that fulfil the user's conditions.
func filter(e *env.Env, st *storage.Store, images []*image.Image, f flags.Filters) ([]*image.Image, error) {
	conditions, err := conditions(e, st, f)
	if err != nil {
		return nil, err
	}
	var kept []*image.Image
	for _, img := range images {
		keep := true
		for _, c := range conditions {
			if keep, err = c(img); err != nil {
				return nil, err
			}
			if !keep {
				break
			}
		}
		if keep {
			kept = append(kept, img)
		}
	}
	return kept, nil
}

func conditions(e *env.Env, st *storage.Store, f flags.Filters) ([]condition, error) {
	var all []condition
	for _, value := range f["dangling"] {
		dangling := value == "true" || value == "1"
		if !dangling && value != "false" && value != "0" {
			return nil, failure.Engine(nil, "invalid filter 'dangling=[%s]'", value)
		}
		all = append(all, func(img *image.Image) (bool, error) { return (len(img.Names) == 0) == dangling, nil })
	}
	for _, ref := range f["before"] {
		limit, err := image.Find(st, ref)
		if err != nil {
			return nil, err
		}
		all = append(all, func(img *image.Image) (bool, error) { return img.Created.Before(limit.Created), nil })
	}
	for _, ref := range f["since"] {
		limit, err := image.Find(st, ref)
		if err != nil {
			return nil, err
		}
		all = append(all, func(img *image.Image) (bool, error) { return img.Created.After(limit.Created), nil })
	}
	for _, when := range f["until"] {
		limit, err := parseUntil(when, e.Clock())
		if err != nil {
			return nil, err
		}
		all = append(all, func(img *image.Image) (bool, error) { return img.Created.Before(limit), nil })
	}
	if len(f["reference"]) > 0 {
		all = append(all, func(img *image.Image) (bool, error) { return matchReferences(img, f["reference"]) })
	}
	// Last, because it reads a file of each image.
	if len(f["label"]) > 0 {
		all = append(all, func(img *image.Image) (bool, error) {
			err := img.ReadConfig(st)
			return err == nil && f.Labels(img.Config.Config.Labels), err
		})
	}
	return all, nil
}

// matchReferences leaves those names that fit one of the patterns.
func matchReferences(img *image.Image, patterns []string) (bool, error) {
	match := func(name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, name) })
	}
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return false, fmt.Errorf("invalid pattern %q: %w", p, err)
		}
	}
	not := func(name string) bool { return !match(name) }
	img.Names = slices.DeleteFunc(slices.Clone(img.Names), not)
	img.Digests = slices.DeleteFunc(slices.Clone(img.Digests), not)
	return len(img.Names)+len(img.Digests) > 0, nil
}

// fits reports whether a pattern means the image's name: its familiar form as a
// whole, or without tag and digest.
// https://pkg.go.dev/github.com/distribution/reference#FamiliarMatch
func fits(pattern, name string) bool {
	r, err := image.ParseReference(name)
	if err != nil {
		return false
	}
	for _, form := range []string{r.Familiar(), r.FamiliarName(), r.String(), r.Name()} {
		if ok, err := path.Match(pattern, form); ok && err == nil {
			return true
		}
	}
	return false
}

// parseUntil reads a point in time: a date, a Unix time, or a duration before
// now.
func parseUntil(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	var seconds, nanoseconds int64
	if n, err := fmt.Sscanf(strings.Replace(s, ".", " ", 1), "%d %d", &seconds, &nanoseconds); n == 0 {
		return time.Time{}, fmt.Errorf("failed to parse %q as a time: %w", s, err)
	}
	return time.Unix(seconds, nanoseconds), nil
}
