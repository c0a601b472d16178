package container

import (
	"errors"
	"fmt"
	"os"
)

// Rename gives the container another name, durably. It returns a
// *NameTakenError or *InvalidNameError as docker words them. A crash leaves it
// with one of the two names, and at worst a second one that nobody else can
// take until it is removed.
//
// Requires c's op lock, exclusive.
func (c *Container) Rename(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	before := c.Config.Name
	if err := claimName(c.Store, name, c.Config.ID); err != nil {
		return err
	}
	c.Config.Name = name
	if err := c.Save(); err != nil {
		c.Config.Name = before
		return errors.Join(err, dropName(c.Store, name, c.Config.ID))
	}
	if err := dropName(c.Store, before, c.Config.ID); err != nil {
		return err
	}
	if _, err := os.Lstat(c.Dir()); errors.Is(err, os.ErrNotExist) {
		// It was to vanish at its end and has just ended, without knowing of this name.
		return errors.Join(fmt.Errorf("%q: %w", c.Config.ID, ErrNotFound), dropName(c.Store, name, c.Config.ID))
	}
	return nil
}
