package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"

	"skiff/storage/courier/message"
)

// shortID is how many hex digits docker shows of an ID.
const shortID = 12

// removal is one `rmi`: the rules, and their order, are those of docker's
// daemon/images/image_delete.go, because scripts depend on which combination
// of names, containers and force removes what.
type removal struct {
	want  *message.Remove
	names []string // that the image still has
	done  []message.Removed
	gone  bool // the image goes, too
}

// remove takes a name from an image, and deletes the image with its last name.
// The front holds the images lock.
func (s *session) remove(ctx context.Context, want *message.Remove) (message.Result, error) {
	if err := s.beginRemoval(ctx); err != nil {
		return message.Result{}, err
	}
	img, err := s.imageRecord(want.ID)
	if err != nil {
		return message.Result{}, err
	}
	if img == nil {
		return message.Result{}, noSuchImage(want.ID)
	}
	r := &removal{want: want, names: sortedNames(img.names)}
	if want.Reference != "" {
		err = r.byName()
	} else {
		err = r.byID()
	}
	if err != nil {
		return message.Result{}, err
	}
	return s.carryOut(ctx, img, r)
}

// carryOut does what the rules came to.
func (s *session) carryOut(ctx context.Context, img *imageRecord, r *removal) (message.Result, error) {
	untagged := make([]string, 0, len(r.done))
	for _, d := range r.done {
		untagged = append(untagged, d.Untagged)
	}
	if err := s.dropNames(img.id, untagged, r.gone); err != nil {
		return message.Result{}, err
	}
	result := message.Result{Removed: r.done}
	if r.gone {
		result.Removed = append(result.Removed, message.Removed{Deleted: "sha256:" + img.id})
		layers, err := s.dropLayers(ctx, img.top)
		for _, id := range layers {
			result.Removed = append(result.Removed, message.Removed{Deleted: "sha256:" + id})
		}
		if err != nil {
			return result, err
		}
	}
	return result, s.syncRecords()
}

// prune removes images and, unless a transfer is under way, layers without one.
// The front holds the images lock.
func (s *session) prune(ctx context.Context, want *message.Prune) (message.Result, error) {
	var result message.Result
	failed := s.beginRemoval(ctx)
	if failed != nil {
		return result, failed
	}
	for _, id := range want.IDs {
		if err := context.Cause(ctx); err != nil {
			failed = errors.Join(failed, err)
			break
		}
		img, err := s.imageRecord(id)
		if err == nil && img == nil {
			continue // somebody else was faster
		}
		if err == nil {
			r := &removal{want: &message.Remove{ID: id, Force: true}, names: sortedNames(img.names)}
			var one message.Result
			if err = r.byID(); err == nil {
				one, err = s.carryOut(ctx, img, r)
			}
			result.Removed = append(result.Removed, one.Removed...)
		}
		failed = errors.Join(failed, err)
	}
	s.transfer.Release()
	_, err := s.healAlone()
	return result, errors.Join(failed, err)
}

// byName removes the name and, if it was the last one, the image.
// An image that a container stands on stays, without a name.
func (r *removal) byName() error {
	if !r.want.Force && singleReference(r.names) && len(r.want.Users) > 0 {
		return conflict(fmt.Sprintf("conflict: unable to delete %s (must be forced) - container %s is using its referenced image %s",
			familiar(r.want.Reference), short(r.want.Users[0].ID), short(r.want.ID)))
	}
	r.untag(r.want.Reference)
	repository, digested := splitName(r.want.Reference)
	if !digested && !slices.ContainsFunc(r.names, func(n string) bool { name, d := splitName(n); return name == repository && !d }) {
		// Digests of a repository without a tag left go with the last tag.
		for _, name := range slices.Clone(r.names) {
			if of, d := splitName(name); of == repository && d {
				r.untag(name)
			}
		}
	}
	r.gone = len(r.names) == 0 && len(r.want.Users) == 0 && !r.want.Member
	return nil
}

// byID removes the image with all its names. Forced while a stopped container
// stands on it, it loses its names and stays: the container's root is made of
// its layers.
func (r *removal) byID() error {
	if err := r.checkUsers(); err != nil {
		return err
	}
	if r.want.Member && len(r.names) == 0 {
		return conflict(fmt.Sprintf("conflict: unable to delete %s (cannot be forced) - another image's name stands for it on its platform", short(r.want.ID)))
	}
	if !r.want.Force && !singleReference(r.names) {
		return conflict(fmt.Sprintf("conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", short(r.want.ID)))
	}
	for _, name := range slices.Clone(r.names) {
		r.untag(name)
	}
	r.gone = len(r.want.Users) == 0 && !r.want.Member
	return nil
}

// checkUsers refuses an image that a container stands on: always when it runs,
// without force when it does not.
func (r *removal) checkUsers() error {
	for _, user := range r.want.Users {
		if user.Running {
			return conflict(fmt.Sprintf("conflict: unable to delete %s (cannot be forced) - image is being used by running container %s", short(r.want.ID), short(user.ID)))
		}
	}
	switch {
	case len(r.want.Users) == 0:
	case len(r.names) == 0:
		return conflict(fmt.Sprintf("conflict: unable to delete %s (cannot be forced) - image is being used by stopped container %s", short(r.want.ID), short(r.want.Users[0].ID)))
	case !r.want.Force:
		return conflict(fmt.Sprintf("conflict: unable to delete %s (must be forced) - image is being used by stopped container %s", short(r.want.ID), short(r.want.Users[0].ID)))
	}
	return nil
}

func (r *removal) untag(name string) {
	r.names = slices.DeleteFunc(r.names, func(n string) bool { return n == name })
	r.done = append(r.done, message.Removed{Untagged: name})
}

// singleReference reports whether the names are at most one tag and the
// digests of its repository.
func singleReference(names []string) bool {
	if len(names) <= 1 {
		return true
	}
	single, digested := "", make(map[string]bool)
	for _, name := range names {
		repository, isDigest := splitName(name)
		switch {
		case isDigest:
			digested[repository] = true
		case single != "":
			return false
		default:
			single = repository
		}
	}
	if single == "" {
		single, _ = splitName(names[0])
	}
	return len(digested) == 1 && digested[single]
}

// splitName returns the repository of a normalized reference and whether the
// reference is by digest.
func splitName(name string) (repository string, digested bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name, strings.Contains(name, "@")
	}
	_, digested = named.(reference.Digested)
	return named.Name(), digested
}

// sortedNames returns names in the order in which docker removes them.
func sortedNames(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return reference.FamiliarString(named)
}

func conflict(text string) error { return message.Fail(message.ErrInUse, text) }

func short(id string) string { return id[:min(shortID, len(id))] }
