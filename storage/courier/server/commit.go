package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	cstorage "github.com/containers/storage"
	"github.com/opencontainers/go-digest"

	"skiff/storage/container/contents"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// commit makes an image of a container: the layers of its image and one with
// what the container changed, if it changed anything.
func (s *session) commit(ctx context.Context, want *message.Commit) (message.Result, error) {
	parent, err := s.parentConfig(want.Image)
	if err != nil {
		return message.Result{}, err
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	var names []string
	if want.Reference != "" {
		names = []string{want.Reference}
	}
	id := ""
	err = s.retryVanished(func() error {
		have, err := s.existing(want.Layers)
		if err != nil {
			return err
		}
		config := *parent
		have, added, err := s.changes(ctx, want, have, parent.diffIDs)
		if err != nil {
			return err
		}
		raw, created, err := config.with(want, added)
		if err != nil {
			return err
		}
		manifest, err := s.manifestFor(raw, have, config.diffIDs, nil)
		if err != nil {
			return err
		}
		id, err = s.publish(ctx, candidate{config: raw, manifest: manifest, created: created, layers: have, names: names})
		return err
	})
	return message.Result{ID: id, Changed: true}, err
}

// existing is the stack of layers that the store has; ids topmost first.
func (s *session) existing(ids []string) (stack, error) {
	var have stack
	for i := len(ids) - 1; i >= 0; i-- {
		l, err := s.store.Layer(ids[i])
		if err != nil {
			return have, fmt.Errorf("layer %s: %w", ids[i], err)
		}
		have = have.push(l)
	}
	return have, nil
}

// changes puts the layer with the container's changes on top of have, whose
// layers unpacked from below. Its digest is "" when there are none: then there
// is no layer either.
func (s *session) changes(ctx context.Context, want *message.Commit, have stack, below []digest.Digest) (stack, digest.Digest, error) {
	lower := make([]string, len(want.Layers))
	for i, id := range want.Layers {
		lower[i] = filepath.Join(s.st.Layers(), id, "diff")
	}
	root := contents.Open(want.Upper, lower)
	entries := make(chan int, 1)
	open := func(context.Context) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			n, err := root.PackLayer(w)
			entries <- n
			w.CloseWithError(err)
		}()
		return r, nil
	}
	out, err := s.stage(ctx, layer{size: -1, open: open, base: len(want.Layers) == 0})
	if err != nil {
		return have, "", err
	}
	if <-entries == 0 {
		return have, "", s.discard(out)
	}
	diffID := out.UncompressedDigest
	chain := digest.Digest("")
	for _, d := range append(slices.Clone(below), diffID) {
		chain = chainID(chain, d)
	}
	l, err := s.apply(ctx, chain.Encoded(), have.top(), out)
	if err != nil {
		return have, "", err
	}
	return have.push(l), diffID, nil
}

// parentConfig is the configuration of the image that a container was made of,
// with all the fields that we do not know.
type parentConfig struct {
	fields  map[string]json.RawMessage
	history []json.RawMessage
	diffIDs []digest.Digest
}

func (s *session) parentConfig(id string) (*parentConfig, error) {
	c := &parentConfig{fields: make(map[string]json.RawMessage)}
	if id == "" {
		return c, nil
	}
	raw, err := s.store.ImageBigData(id, digest.NewDigestFromEncoded(digest.SHA256, id).String())
	if errors.Is(err, cstorage.ErrImageUnknown) {
		return nil, noSuchImage(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration of image %s: %w", short(id), err)
	}
	var known struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
		History []json.RawMessage `json:"history"`
	}
	if err = errors.Join(json.Unmarshal(raw, &c.fields), json.Unmarshal(raw, &known)); err != nil {
		return nil, fmt.Errorf("read configuration of image %s: %w", short(id), err)
	}
	c.history, c.diffIDs = known.History, known.RootFS.DiffIDs
	return c, nil
}

// with returns the new image's configuration; added is its new layer, if any.
// The fields are docker's.
// https://github.com/moby/docker-image-spec/blob/main/spec.md
func (c *parentConfig) with(want *message.Commit, added digest.Digest) (raw []byte, created time.Time, err error) {
	created = time.Now().UTC()
	if added != "" {
		c.diffIDs = append(slices.Clone(c.diffIDs), added)
	}
	line, err := json.Marshal(image.History{
		Created: &created, Author: want.Author, CreatedBy: want.CreatedBy, Comment: want.Message, EmptyLayer: added == "",
	})
	if err != nil {
		return nil, created, err
	}
	fields := maps.Clone(c.fields)
	// They spoke of the step that made the parent.
	for _, key := range []string{"docker_version", "comment", "parent", "id", "throwaway"} {
		delete(fields, key)
	}
	for key, value := range map[string]any{
		"author": want.Author, "config": want.Process, "container": want.Container, "container_config": want.Origin, "created": created,
		"history": append(slices.Clone(c.history), line),
		"rootfs":  map[string]any{"type": "layers", "diff_ids": c.diffIDs},
	} {
		if fields[key], err = json.Marshal(value); err != nil {
			return nil, created, err
		}
	}
	for key, value := range map[string]string{"os": "linux", "architecture": runtime.GOARCH} {
		if fields[key] == nil {
			fields[key] = json.RawMessage(`"` + value + `"`)
		}
	}
	if want.Author == "" {
		delete(fields, "author")
	}
	raw, err = json.Marshal(fields)
	return raw, created, err
}
