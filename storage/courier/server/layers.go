package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	cstorage "github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/lock"
)

// parallelLayers is how many layers are fetched and unpacked at once: docker's
// default of max-concurrent-downloads.
const parallelLayers = 3

// vanishedRetries is how often a transfer starts over because an image removal
// took a layer from under it.
const vanishedRetries = 5

// stack is a chain of layers in the store.
type stack struct {
	ids  []string // topmost first
	size int64    // bytes of the files in them
}

// top returns the id of the topmost layer, "" for an image without layers.
func (k stack) top() string {
	if len(k.ids) == 0 {
		return ""
	}
	return k.ids[0]
}

// push puts a layer on top.
func (k stack) push(l *cstorage.Layer) stack {
	var m image.LayerMetadata
	// A layer without our metadata counts as empty rather than failing a pull.
	_ = json.Unmarshal([]byte(l.Metadata), &m)
	return stack{ids: append([]string{l.ID}, k.ids...), size: k.size + m.Size}
}

// obtain puts the layers, base first, into the store and returns the stack.
// Layers that the store has are not fetched.
func (s *session) obtain(ctx context.Context, layers []layer) (stack, error) {
	chain := chainIDs(layers)
	present := 0
	for i := range layers {
		kind := message.LayerQueued
		if s.store.Exists(chain[i]) && present == i {
			present, kind = i+1, message.LayerExists
		}
		s.report(message.Event{Kind: kind, Layer: layers[i].name, Size: layers[i].size})
	}

	for i := present + parallelLayers; i < len(layers); i++ {
		s.report(message.Event{Kind: message.LayerWaiting, Layer: layers[i].name})
	}

	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, parallelLayers)
	results := make([]chan arrival, len(layers))
	if len(layers) > 0 {
		layers[0].base = true
	}
	for i := present; i < len(layers); i++ {
		results[i] = make(chan arrival, 1)
	}
	group.Go(func() error {
		for i := present; i < len(layers); i++ {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			group.Go(func() error {
				defer s.dieRefused()
				defer func() { <-slots }()
				a, err := s.receive(ctx, layers[i], chain[i])
				if err == nil {
					results[i] <- a
				}
				return err
			})
		}
		return nil
	})
	var have stack
	group.Go(func() (err error) {
		defer s.dieRefused()
		have, err = s.assemble(ctx, layers, chain, present, results)
		return err
	})
	err := group.Wait()
	for _, result := range results[present:] {
		select {
		case a := <-result:
			err = errors.Join(err, s.giveUp(a))
		default:
		}
	}
	return have, err
}

// assemble applies staged layers in their order as they become ready.
func (s *session) assemble(ctx context.Context, layers []layer, chain []string, present int, results []chan arrival) (stack, error) {
	var have stack
	for i := range layers {
		var a arrival
		if i >= present {
			select {
			case a = <-results[i]:
			case <-ctx.Done():
				return stack{}, context.Cause(ctx)
			}
		}
		l, err := s.apply(ctx, chain[i], have.top(), a.out)
		if err != nil {
			a.blob.leave()
			return stack{}, err
		}
		a.done()
		have = have.push(l)
		if i >= present {
			s.report(message.Event{Kind: message.LayerApplied, Layer: layers[i].name})
		}
	}
	return have, nil
}

// apply makes the staged layer out the layer id on top of parent, unless the
// store has got it meanwhile. With out nil it only looks. An empty id is
// derived from parent and out's digest.
func (s *session) apply(ctx context.Context, id, parent string, out *staged) (*cstorage.Layer, error) {
	if out == nil {
		return s.store.Layer(id)
	}
	// containers/storage would replace the contents of an existing layer, under
	// the feet of running containers; so nobody else may add it in between.
	guard, err := lock.Exclusive(ctx, filepath.Join(s.st.Dir, layersLock))
	if err != nil {
		return nil, errors.Join(err, s.discard(out))
	}
	defer guard.Release()
	if l, err := s.store.Layer(id); err == nil {
		return l, s.discard(out)
	}
	l, err := s.store.ApplyStagedLayer(cstorage.ApplyStagedLayerOptions{
		ID:          id,
		ParentLayer: parent,
		DiffOutput:  out,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("put layer %s in place: %w", id, err), s.discard(out))
	}
	// The contents were moved out of the staging directory; the library leaves
	// the empty shell.
	return l, s.discard(out)
}

// chainIDs returns the ids of the layers in the store: the hex part of the
// image specification's ChainID.
// https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
func chainIDs(layers []layer) []string {
	ids := make([]string, len(layers))
	var chain digest.Digest
	for i, l := range layers {
		chain = chainID(chain, l.diffID)
		ids[i] = chain.Encoded()
	}
	return ids
}

func chainID(parent, diffID digest.Digest) digest.Digest {
	if parent == "" {
		return diffID
	}
	return digest.FromString(parent.String() + " " + diffID.String())
}

// retryVanished runs a transfer again when a layer that it counted on has been
// removed meanwhile.
func (s *session) retryVanished(transfer func() error) error {
	for try := 0; ; try++ {
		err := transfer()
		if try == vanishedRetries || !errors.Is(err, cstorage.ErrLayerUnknown) {
			return err
		}
	}
}
