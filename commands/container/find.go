package container

import (
	"errors"

	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
	"skiff/storage"
	"skiff/storage/container"
)

// find returns the container that ref names, or docker's words for why not.
func find(st *storage.Store, ref string) (*container.Container, error) {
	c, err := container.Find(st, ref)
	return c, inWords(err, ref, c)
}

// inWords gives docker's words to what the layers below say about the
// container that the user called ref. c may be nil.
func inWords(err error, ref string, c *container.Container) error {
	var said *failure.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
		return err
	case errors.Is(err, container.ErrNotFound):
		return failure.Engine(err, "No such container: %s", ref)
	case errors.Is(err, container.ErrAmbiguous):
		return failure.Engine(err, "multiple IDs found with provided prefix: %s", ref)
	case errors.Is(err, lifecycle.ErrNotRunning) && c != nil:
		return failure.Engine(err, "container %s is not running", c.Config.ID)
	}
	return err
}
