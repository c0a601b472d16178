package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	cstorage "github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skiff/storage/courier/message"
)

// pushPlatforms sends the images of all platforms that a name stands for and an
// index of them.
// https://github.com/opencontainers/image-spec/blob/main/image-index.md
func (s *session) pushPlatforms(ctx context.Context, to source, named reference.Named, tag string, ids []string) (ispec.Descriptor, error) {
	var members []ispec.Descriptor
	for _, id := range ids {
		one, err := s.pushImage(ctx, to, named, &message.Push{ID: id, Reference: named.String()})
		if err == nil {
			err = to.retag(ctx, one.Digest.String(), one)
		}
		if err != nil {
			return one, err
		}
		if one.Platform, err = s.platformOf(id); err != nil {
			return one, err
		}
		one.Data = nil
		members = append(members, one)
	}
	blob, err := newIndex(members)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	as := ispec.Descriptor{MediaType: ispec.MediaTypeImageIndex, Digest: digest.FromBytes(blob), Size: int64(len(blob)), Data: blob}
	return as, to.retag(ctx, tag, as)
}

// newIndex is the index of images of several platforms.
func newIndex(members []ispec.Descriptor) ([]byte, error) {
	return json.MarshalIndent(ispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ispec.MediaTypeImageIndex, Manifests: members,
	}, "", "  ")
}

// platformOf is what an image of the store is for, as its configuration says.
func (s *session) platformOf(id string) (*ispec.Platform, error) {
	data, err := s.store.ImageBigData(id, "sha256:"+id)
	if err != nil {
		return nil, err
	}
	return platformIn(data)
}

func platformIn(config []byte) (*ispec.Platform, error) {
	var p ispec.Platform
	if err := json.Unmarshal(config, &p); err != nil {
		return nil, fmt.Errorf("read image configuration: %w", err)
	}
	return &p, nil
}

// pushList gives the tag to the list of platforms that the image, sent as one,
// was pulled by, if the registry has all of its images or can take them from
// another of its repositories; else, as docker does, to the image alone.
func (s *session) pushList(ctx context.Context, to source, img *imageRecord, tag string, one ispec.Descriptor) (ispec.Descriptor, error) {
	list, mimeType, from := s.pulledList(to, img, one.Digest)
	if list == nil {
		return one, to.retag(ctx, tag, one)
	}
	as := ispec.Descriptor{MediaType: mimeType, Digest: digest.FromBytes(list), Size: int64(len(list)), Data: list}
	err := to.retag(ctx, one.Digest.String(), one)
	if err == nil {
		err = to.complete(ctx, list, mimeType, from)
	}
	if err == nil {
		err = to.retag(ctx, tag, as)
	}
	if err == nil {
		return as, nil
	}
	for _, line := range []string{
		"Not all multiplatform-content is present and only the available single-platform image was pushed",
		fmt.Sprintf("%s -> %s", as.Digest, one.Digest),
	} {
		s.report(message.Event{Kind: message.Note, Text: line})
	}
	return one, to.retag(ctx, tag, one)
}

// pulledList returns the list that has the manifest and by which the image was
// pulled, and the repositories of the same registry that had it.
func (s *session) pulledList(to source, img *imageRecord, member digest.Digest) (list []byte, mimeType string, from []source) {
	for _, name := range img.names {
		named, err := reference.ParseNormalizedNamed(name)
		if err != nil {
			continue
		}
		digested, ok := named.(reference.Digested)
		if !ok || list != nil && digested.Digest() != digest.FromBytes(list) {
			continue
		}
		if list == nil {
			blob, err := s.store.ImageBigData(img.id, cstorage.ImageDigestManifestBigDataNamePrefix+"-"+digested.Digest().String())
			if kind := manifest.GuessMIMEType(blob); err == nil && manifest.MIMETypeIsMultiImage(kind) && strings.Contains(string(blob), member.String()) {
				list, mimeType = blob, kind
			}
		}
		if list != nil && reference.Domain(named) == to.client.Host {
			from = append(from, source{to.client, reference.Path(named)})
		}
	}
	return list, mimeType, from
}

// complete lets the repository have all images of a list, each from one of the
// others where it lacks it.
func (to source) complete(ctx context.Context, list []byte, mimeType string, from []source) error {
	parsed, err := manifest.ListFromBlob(list, mimeType)
	if err != nil {
		return err
	}
	for _, member := range parsed.Instances() {
		if err := checkDigest(member); err != nil {
			return err
		}
		if _, err = to.client.ManifestDigest(ctx, to.repository, member.String()); err == nil {
			continue
		}
		for _, other := range from {
			if err = to.copyImage(ctx, other, member); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyImage lets the repository have an image of another one of its registry.
func (to source) copyImage(ctx context.Context, from source, d digest.Digest) error {
	blob, mimeType, err := from.client.Manifest(ctx, from.repository, d.String())
	if err != nil {
		return err
	}
	parsed, err := parseManifest(blob, mimeType)
	if err != nil {
		return err
	}
	wanted := []digest.Digest{parsed.ConfigInfo().Digest}
	for _, l := range parsed.LayerInfos() {
		wanted = append(wanted, l.Digest)
	}
	for _, d := range wanted {
		if err := checkDigest(d); err != nil {
			return err
		}
		if err := to.have(ctx, from, d.String()); err != nil {
			return err
		}
	}
	return to.client.PutManifest(ctx, to.repository, d.String(), manifestType(blob, mimeType), blob)
}
