package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/pkg/blobinfocache/none"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
)

// remote is an image as the registry offers it.
type remote struct {
	source   types.ImageSource
	index    []byte // nil when the reference names a single manifest
	manifest []byte
	parsed   manifest.Manifest
	digest   digest.Digest // of index, or else of manifest
}

// pull fetches an image and names it.
func (s *session) pull(ctx context.Context, want *message.Pull) (message.Result, error) {
	named, err := reference.ParseNormalizedNamed(want.Reference)
	if err != nil {
		return message.Result{}, err
	}
	wanted, err := parsePlatform(want.Platform)
	if err != nil {
		return message.Result{}, err
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	r, err := s.resolve(ctx, named, wanted, want)
	if err != nil {
		return message.Result{}, pullFailure(named, err)
	}
	defer r.source.Close()
	s.report(message.Event{Kind: message.Resolved, Name: named.String()})

	names := namesFor(named, r.digest)
	id := r.parsed.ConfigInfo().Digest.Encoded()
	if s.whole(id) {
		changed := !s.named(id, names)
		if changed {
			err = s.rename(id, names)
		}
		if err == nil {
			s.reportPlatform(id, r, want)
		}
		return message.Result{ID: id, Digest: r.digest.String(), Changed: changed}, err
	}
	err = s.retryVanished(func() error {
		id, err = s.fetch(ctx, r, names)
		return err
	})
	if err != nil {
		return message.Result{}, pullFailure(named, err)
	}
	s.reportPlatform(id, r, want)
	return message.Result{ID: id, Digest: r.digest.String(), Changed: true}, nil
}

// reportPlatform tells, as docker does, that an image is not for the platform
// that was asked for. Of an index such an image is never chosen.
func (s *session) reportPlatform(id string, r *remote, want *message.Pull) {
	if want.Platform == "" || r.index != nil {
		return
	}
	wanted, err := parsePlatform(want.Platform)
	if err != nil {
		return // pull has refused it
	}
	var has imageConfig
	data, err := s.store.ImageBigData(id, "sha256:"+id)
	if err == nil {
		err = json.Unmarshal(data, &has)
	}
	if have := has.platform(); err == nil && !have.suits(wanted) {
		s.report(message.Event{Kind: message.Note, Text: fmt.Sprintf(
			"WARNING: image with reference %s was found but its platform (%s) does not match the specified platform (%s)",
			familiar(want.Reference), have, wanted)})
	}
}

// resolve asks the registry for the manifest and checks that the user's policy
// allows the image. The caller closes the source.
func (s *session) resolve(ctx context.Context, named reference.Named, wanted platform, want *message.Pull) (_ *remote, err error) {
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, err
	}
	system := systemContext(s.temp.Path, named, want.DockerConfig)
	source, err := ref.NewImageSource(ctx, system)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, source.Close())
		}
	}()
	unparsed := image.UnparsedInstance(source, nil)
	blob, mimeType, err := unparsed.Manifest(ctx)
	if err != nil {
		return nil, err
	}
	r := &remote{source: source, manifest: blob, digest: digest.FromBytes(blob)}
	if manifest.MIMETypeIsMultiImage(mimeType) {
		instance, err := choose(blob, mimeType, wanted)
		if err != nil {
			return nil, err
		}
		r.index = blob
		unparsed = image.UnparsedInstance(source, &instance)
		if r.manifest, mimeType, err = unparsed.Manifest(ctx); err != nil {
			return nil, err
		}
	}
	if err := allowed(ctx, system, unparsed); err != nil {
		return nil, err
	}
	if r.parsed, err = parseManifest(r.manifest, mimeType); err != nil {
		return nil, err
	}
	return r, checkDigest(r.parsed.ConfigInfo().Digest)
}

// fetch transfers layers and configuration and publishes the image.
func (s *session) fetch(ctx context.Context, r *remote, names []string) (string, error) {
	info := r.parsed.ConfigInfo()
	blob, _, err := r.source.GetBlob(ctx, info, none.NoCache)
	if err != nil {
		return "", err
	}
	config, err := readBlob(blob, info.Digest)
	if err = errors.Join(err, blob.Close()); err != nil {
		return "", err
	}
	infos := r.parsed.LayerInfos()
	parsed, err := parseConfig(config, len(infos))
	if err != nil {
		return "", err
	}
	layers := make([]layer, len(infos))
	for i, info := range infos {
		if err := checkDigest(info.Digest); err != nil {
			return "", err
		}
		// Addresses in a manifest could point a transfer, and its credentials,
		// anywhere; docker ignores them for linux too.
		info.URLs = nil
		layers[i] = layer{
			digest: info.Digest, size: info.Size, name: info.Digest.String(),
			diffID: parsed.RootFS.DiffIDs[i],
			open: func(ctx context.Context) (io.ReadCloser, error) {
				blob, _, err := r.source.GetBlob(ctx, info.BlobInfo, none.NoCache)
				return blob, err
			},
		}
	}
	have, err := s.obtain(ctx, layers)
	if err != nil {
		return "", err
	}
	c := candidate{config: config, manifest: r.manifest, index: r.index, layers: have, names: names}
	if parsed.Created != nil {
		c.created = *parsed.Created
	}
	return s.publish(ctx, c)
}

// namesFor returns what a pull of named is called in the store: the tag, if
// there is one, and the repository with the registry's digest.
func namesFor(named reference.Named, d digest.Digest) []string {
	var names []string
	if tagged, ok := named.(reference.NamedTagged); ok {
		plain, err := reference.WithTag(reference.TrimNamed(named), tagged.Tag())
		if _, digested := named.(reference.Digested); err == nil && !digested {
			names = append(names, plain.String())
		}
	}
	return append(names, fmt.Sprintf("%s@%s", named.Name(), d))
}
