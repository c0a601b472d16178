package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	cstorage "github.com/containers/storage"

	"skiff/storage/courier/message"
)

// shortID is how many hex digits docker shows of an ID.
const shortID = 12

// removal is one `rmi`: the rules, and their order, are those of docker's
// daemon/images/image_delete.go, because scripts depend on which combination
// of names, containers and force removes what.
type removal struct {
	*session
	want  *message.Remove
	names []string // that the image still has
	done  []message.Removed
}

// remove takes a name from an image, and deletes the image with its last name.
// The front holds the images lock.
func (s *session) remove(ctx context.Context, want *message.Remove) (message.Result, error) {
	if err := s.beginRemoval(ctx); err != nil {
		return message.Result{}, err
	}
	img, err := s.store.Image(want.ID)
	if err != nil {
		return message.Result{}, noSuchImage(want.ID)
	}
	r := &removal{session: s, want: want, names: sortedNames(img.Names)}
	if want.Reference != "" {
		err = r.byName()
	} else {
		err = r.byID()
	}
	if len(r.done) > 0 {
		err = errors.Join(err, s.syncRecords())
	}
	return message.Result{Removed: r.done}, err
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
		img, err := s.store.Image(id)
		if errors.Is(err, cstorage.ErrImageUnknown) {
			continue // somebody else was faster
		}
		r := &removal{session: s, want: &message.Remove{ID: id, Force: true}}
		if err == nil {
			r.names = sortedNames(img.Names)
			err = r.byID()
		}
		result.Removed = append(result.Removed, r.done...)
		failed = errors.Join(failed, err)
	}
	if len(result.Removed) > 0 {
		failed = errors.Join(failed, s.syncRecords())
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
	if err := r.untag(r.want.Reference); err != nil {
		return err
	}
	repository, digested := splitName(r.want.Reference)
	if !digested && !slices.ContainsFunc(r.names, func(n string) bool { name, d := splitName(n); return name == repository && !d }) {
		// Digests of a repository without a tag left go with the last tag.
		for _, name := range slices.Clone(r.names) {
			if of, d := splitName(name); of == repository && d {
				if err := r.untag(name); err != nil {
					return err
				}
			}
		}
	}
	if len(r.names) > 0 || len(r.want.Users) > 0 {
		return nil
	}
	return r.delete()
}

// byID removes the image with all its names. Forced while a stopped container
// stands on it, it loses its names and stays: the container's root is made of
// its layers.
func (r *removal) byID() error {
	if err := r.checkUsers(); err != nil {
		return err
	}
	if !r.want.Force && !singleReference(r.names) {
		return conflict(fmt.Sprintf("conflict: unable to delete %s (must be forced) - image is referenced in multiple repositories", short(r.want.ID)))
	}
	for _, name := range slices.Clone(r.names) {
		if err := r.untag(name); err != nil {
			return err
		}
	}
	if len(r.want.Users) > 0 {
		return nil
	}
	return r.delete()
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

func (r *removal) untag(name string) error {
	if err := r.store.RemoveNames(r.want.ID, []string{name}); err != nil {
		return fmt.Errorf("untag %s: %w", familiar(name), err)
	}
	r.names = slices.DeleteFunc(r.names, func(n string) bool { return n == name })
	r.done = append(r.done, message.Removed{Untagged: name})
	return nil
}

// delete removes the image and the layers that only it stands on.
func (r *removal) delete() error {
	layers, err := r.store.DeleteImage(r.want.ID, true)
	if errors.Is(err, cstorage.ErrNotAnImage) || errors.Is(err, cstorage.ErrImageUnknown) {
		return nil // somebody else was faster: it is gone
	}
	if err != nil {
		return fmt.Errorf("delete image %s: %w", short(r.want.ID), err)
	}
	r.done = append(r.done, message.Removed{Deleted: "sha256:" + r.want.ID})
	for _, layer := range layers {
		r.done = append(r.done, message.Removed{Deleted: "sha256:" + layer})
	}
	return nil
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
