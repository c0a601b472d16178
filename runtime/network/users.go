package network

import (
	"errors"

	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/network"
)

// User is a running container on a network.
type User struct {
	Container *container.Container
	Endpoint  network.Endpoint
}

// Users returns the running containers that are on each network, by its id. Those
// that cannot be read are reported in err beside the others.
func Users(st *storage.Store) (map[string][]User, error) {
	list, err := container.List(st)
	users := map[string][]User{}
	for _, c := range list {
		s, failed := c.Status()
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		for _, e := range Attachment(c, s).Endpoints {
			users[e.NetworkID] = append(users[e.NetworkID], User{c, e})
		}
	}
	return users, err
}
