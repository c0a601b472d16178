package server

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
	"skiff/storage/image"
	"skiff/storage/image/change"
)

// importTar makes an image of one layer.
func (s *session) importTar(ctx context.Context, in *os.File, want *message.Import) (message.Result, error) {
	wanted, err := parsePlatform(want.Platform)
	if err != nil {
		return message.Result{}, err
	}
	config := image.Config{Architecture: wanted.architecture, Variant: wanted.variant, OS: wanted.os}
	if err := change.Apply(&config.Config, want.Changes); err != nil {
		return message.Result{}, message.Fail(message.ErrInvalid, err.Error())
	}
	comment := want.Message
	if comment == "" {
		comment = "Imported from -"
		if want.URL != "" {
			comment = "Imported from " + want.URL
		}
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	open := func(context.Context) (io.ReadCloser, error) { return in, nil }
	if want.URL != "" {
		open = func(ctx context.Context) (io.ReadCloser, error) {
			in, err := download(ctx, want.URL)
			if err == nil {
				s.report(message.Event{Kind: message.Note, Text: "Downloading from " + want.URL})
			}
			return in, err
		}
	}
	var names []string
	if want.Reference != "" {
		names = []string{want.Reference}
	}
	id, err := s.buildSingle(ctx, layer{size: -1, open: open}, config, comment, names)
	return message.Result{ID: id, Changed: true}, err
}

// buildSingle publishes an image of one layer with the configuration, to which
// it adds what follows from the layer.
func (s *session) buildSingle(ctx context.Context, l layer, config image.Config, comment string, names []string) (string, error) {
	l.base = true
	out, err := s.stage(ctx, l)
	if err != nil {
		return "", err
	}
	diffID := out.UncompressedDigest
	applied, err := s.apply(ctx, diffID.Encoded(), "", out)
	if err != nil {
		return "", err
	}
	have := stack{}.push(applied)
	now := time.Now().UTC()
	if config.Created != nil {
		now = *config.Created
	}
	config.Created, config.Comment = &now, comment
	config.RootFS = image.RootFS{Type: "layers", DiffIDs: []string{diffID.String()}}
	config.History = []image.History{{Created: &now, Comment: comment}}
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	manifest, err := s.manifestFor(raw, have, []digest.Digest{diffID}, nil)
	if err != nil {
		return "", err
	}
	return s.publish(ctx, candidate{config: raw, manifest: manifest, created: now, layers: have, names: names})
}
