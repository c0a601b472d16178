package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"skiff/runtime/network/wire"
	"skiff/runtime/stage/hub"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
	snetwork "skiff/storage/network"
)

// ErrSharesNetwork says that a container has no network namespace of its own to
// connect, in docker's words.
var ErrSharesNetwork = errors.New("container sharing network namespace with another container or host cannot be connected to any other network")

// Connect puts a container on one more network, at once when it runs. Its errors
// are in docker's words.
func Connect(ctx context.Context, c *container.Container, want container.Endpoint) error {
	return change(ctx, c, func(now []container.Endpoint) ([]container.Endpoint, *wire.Change, error) {
		e, err := WireEndpoint(c.Store, want, nil)
		if err != nil {
			return nil, nil, err
		}
		e.Aliases = slices.Concat(e.Aliases, c.Config.ServiceNames())
		if err := CheckEndpoint(e); err != nil {
			return nil, nil, err
		}
		for _, have := range now {
			if n, err := snetwork.Find(c.Store, have.Network); err == nil && n.ID == e.Network.ID {
				return nil, nil, fmt.Errorf("endpoint with name %s already exists in network %s", c.Config.Name, n.Name)
			}
		}
		want.Network = e.Network.Name
		return append(now, want), &wire.Change{ID: c.Config.ID, Connect: e}, nil
	})
}

// Disconnect takes a container off a network, at once when it runs. Its errors
// are in docker's words.
func Disconnect(ctx context.Context, c *container.Container, n *snetwork.Network) error {
	return change(ctx, c, func(now []container.Endpoint) ([]container.Endpoint, *wire.Change, error) {
		i := slices.IndexFunc(now, func(e container.Endpoint) bool { return e.Network == n.Name || e.Network == n.ID })
		if i < 0 {
			return nil, nil, fmt.Errorf("container %s is not connected to the network %s", c.Config.ID, n.Name)
		}
		return slices.Delete(now, i, i+1), &wire.Change{ID: c.Config.ID, Disconnect: n.ID}, nil
	})
}

// change lets decide say what networks the container shall be on and what to
// tell the network program of one that runs.
func change(ctx context.Context, c *container.Container, decide func([]container.Endpoint) ([]container.Endpoint, *wire.Change, error)) error {
	op, err := c.Lock(ctx)
	if err != nil {
		return err
	}
	defer op.Release()
	fresh, err := container.Load(c.Store, c.Config.ID)
	if err != nil {
		return err
	}
	mode := fresh.Config.Host.NetworkMode
	if !bridged(mode) {
		if mode == "none" {
			return errors.New("container cannot be connected to multiple networks with one of the networks in private (none) mode")
		}
		return ErrSharesNetwork
	}
	s, err := fresh.Status()
	if err != nil {
		return err
	}
	next, say, err := decide(slices.Clone(fresh.Config.Endpoints()))
	if err != nil {
		return err
	}
	if s.Running() {
		if err := tellHub(fresh, say); err != nil {
			return err
		}
	}
	fresh.Config.Networks, fresh.Config.Rewired = next, true
	return fresh.Save()
}

func tellHub(c *container.Container, say *wire.Change) error {
	h, err := hubOf(c.Store)
	if err != nil {
		return err
	}
	body, err := json.Marshal(say)
	if err != nil {
		return err
	}
	// A program that was killed is replaced by a monitor: not by us, who are
	// outside of the containers' user namespace.
	conn, _, err := hub.AskRunning(h, message.NetworkChange, body, message.NetworkChanged)
	if err != nil {
		return err
	}
	return conn.Close()
}
