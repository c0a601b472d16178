package manifest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// registries is how registries are talked to; with insecure the one of ref may
// speak plain http.
func registries(e *env.Env, ref image.Reference, insecure bool) (message.Registries, error) {
	r, err := configuration.Read(e.Getenv)
	if insecure && !slices.Contains(r.Insecure, ref.Domain) {
		r.Insecure = append(r.Insecure, ref.Domain)
	}
	return r, err
}

// fetch gets a manifest from its registry.
func fetch(ctx context.Context, e *env.Env, ref image.Reference, insecure bool) (*message.Fetched, error) {
	r, err := registries(e, ref, insecure)
	if err != nil {
		return nil, err
	}
	f, err := client.Manifest(ctx, message.Manifest{Reference: ref.String(), Registries: r})
	if errors.Is(err, message.ErrNotFound) {
		return nil, failure.Local("no such manifest: %s", ref.Familiar())
	}
	return f, err
}

// entryOf describes an image's manifest.
func entryOf(ref string, f *message.Fetched) (entry, error) {
	one := entry{Ref: ref, Raw: f.Raw, Descriptor: descriptor{
		MediaType: f.MediaType, Digest: digestOf(f.Raw), Size: int64(len(f.Raw)),
	}}
	switch f.MediaType {
	case dockerImage:
		one.Schema2 = f.Raw
	case ociImage:
		one.OCI = f.Raw
	default:
		return one, failure.Local("%s is a manifest list", ref)
	}
	var has platform
	if err := json.Unmarshal(f.Config, &has); err != nil {
		return one, fmt.Errorf("read configuration of %s: %w", ref, err)
	}
	one.Descriptor.Platform = &has
	return one, nil
}

// members fetches the manifests that a list in a registry has.
func members(ctx context.Context, e *env.Env, ref image.Reference, f *message.Fetched, insecure bool) ([]entry, error) {
	found, err := descriptors(f)
	if err != nil {
		return nil, err
	}
	all := make([]entry, 0, len(found))
	for _, d := range found {
		at := image.Reference{Domain: ref.Domain, Path: ref.Path, Digest: d.Digest}
		member, err := fetch(ctx, e, at, insecure)
		if err != nil {
			return nil, err
		}
		one, err := entryOf(ref.String()+"@"+d.Digest, member)
		if err != nil {
			return nil, err
		}
		if d.Platform != nil {
			one.Descriptor.Platform = d.Platform
		}
		all = append(all, one)
	}
	return all, nil
}

func descriptors(f *message.Fetched) ([]descriptor, error) {
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(f.Raw, &index); err != nil {
		return nil, fmt.Errorf("read manifest list: %w", err)
	}
	return index.Manifests, nil
}

func isList(mediaType string) bool { return mediaType == dockerList || mediaType == ociIndex }

func digestOf(blob []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(blob)) }
