package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
	"skiff/storage/reserve"
)

// remote is an image as the registry offers it.
type remote struct {
	sources  []source // the first one had the manifest
	index    []byte   // nil when the reference names a single manifest
	manifest []byte
	parsed   manifest.Manifest
	digest   digest.Digest // of index, or else of manifest
}

// pull fetches an image, or all of a repository, and names it.
func (s *session) pull(ctx context.Context, want *message.Pull) (_ message.Result, err error) {
	named, err := reference.ParseNormalizedNamed(want.Reference)
	if err != nil {
		return message.Result{}, err
	}
	named = withoutIdleTag(named)
	if _, err := parsePlatform(want.Platform); err != nil {
		return message.Result{}, err
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	// Room that cannot be made now is made by the next pull.
	_ = s.trimPartials(maxPartials)
	defer func() {
		if isFull(err) {
			// Whoever frees space must find it freed, parts of other layers too.
			_ = s.trimPartials(0)
		}
	}()
	from, err := sources(named, want.Registries)
	if err != nil {
		return message.Result{}, err
	}
	defer closeSources(from)
	if want.AllTags {
		return s.pullAll(ctx, reference.TrimNamed(named), from, want)
	}
	return s.pullOne(ctx, named, from, want)
}

// isFull reports whether err says that the disk is full. What the processes that
// unpack layers say is text by the time it comes here.
func isFull(err error) bool {
	return err != nil && (reserve.IsFull(err) ||
		strings.Contains(err.Error(), unix.ENOSPC.Error()) || strings.Contains(err.Error(), unix.EDQUOT.Error()))
}

func closeSources(all []source) {
	for _, from := range all {
		from.client.Close()
	}
}

// pullAll fetches each image that has a tag. What is there when one fails stays.
func (s *session) pullAll(ctx context.Context, named reference.Named, from []source, want *message.Pull) (message.Result, error) {
	var tags []string
	var err error
	for _, place := range from {
		if tags, err = place.client.Tags(ctx, place.repository); err == nil {
			break
		}
	}
	if err != nil {
		return message.Result{}, pullFailure(named, err)
	}
	var all message.Result
	for _, tag := range tags {
		tagged, err := reference.WithTag(named, tag)
		if err != nil {
			return all, message.Fail(message.ErrInvalid, fmt.Sprintf("registry %s names a tag %q: %v", reference.Domain(named), tag, err))
		}
		one, err := s.pullOne(ctx, tagged, from, want)
		if err != nil {
			return all, err
		}
		s.report(message.Event{Kind: message.Pulled, Name: tagged.String(), Text: one.Digest})
		all.ID, all.Digest, all.Changed = one.ID, one.Digest, all.Changed || one.Changed
	}
	return all, nil
}

// pullOne fetches one image and names it.
func (s *session) pullOne(ctx context.Context, named reference.Named, from []source, want *message.Pull) (message.Result, error) {
	wanted, err := parsePlatform(want.Platform)
	if err != nil {
		return message.Result{}, err
	}
	r, err := s.resolve(ctx, named, wanted, from)
	if err != nil {
		return message.Result{}, pullFailure(named, err)
	}

	names := namesFor(named, r.digest)
	id := r.parsed.ConfigInfo().Digest.Encoded()
	if want.Beside {
		if holder, err := s.store.Image(names[0]); err == nil && holder.ID != id && s.whole(holder.ID) {
			return s.pullBeside(ctx, r, id, holder.ID, names[0], want)
		}
	}
	changed := true
	if s.whole(id) {
		if err = s.keepList(id, r); err != nil {
			return message.Result{}, err
		}
		if changed = !s.named(id, names); changed {
			err = s.rename(id, names)
		}
	} else {
		publish := func(c ...candidate) error { return s.publishAll(c, id, names, nil) }
		err = s.retryVanished(func() error { return s.fetch(ctx, r, registry.Patience(want.Registries.Patience), publish) })
	}
	if err != nil {
		return message.Result{}, pullFailure(named, err)
	}
	s.reportPlatform(id, r, want)
	return message.Result{ID: id, Digest: r.digest.String(), Changed: changed}, nil
}

// keepList lets an image that there is have the list by which it was pulled now.
func (s *session) keepList(id string, r *remote) error {
	if r.index == nil {
		return nil
	}
	img, err := s.store.Image(id)
	if err != nil || slices.Contains(img.BigDataNames, manifestKey(r.digest)) {
		return err
	}
	return s.store.SetImageBigData(id, manifestKey(r.digest), r.index, manifest.Digest)
}

// pullBeside fetches an image for another platform than that of the one that has
// the name, which stays with it.
func (s *session) pullBeside(ctx context.Context, r *remote, id, holder, name string, want *message.Pull) (message.Result, error) {
	publish := func(c ...candidate) error {
		platforms, err := s.platformsBeside(holder, name, id, c)
		if err != nil {
			return err
		}
		return s.publishAll(c, holder, []string{name}, platforms)
	}
	var err error
	if s.whole(id) {
		err = publish()
	} else {
		err = s.retryVanished(func() error { return s.fetch(ctx, r, registry.Patience(want.Registries.Patience), publish) })
	}
	if err != nil {
		return message.Result{}, err
	}
	return message.Result{ID: id, Digest: r.digest.String(), Changed: true}, nil
}

// platformsBeside returns the IDs of the images that the name of holder stands for
// with the image id among them, which may be the only one of fresh.
func (s *session) platformsBeside(holder, name, id string, fresh []candidate) ([]string, error) {
	record, err := s.imageRecord(holder)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, noSuchImage(holder)
	}
	var added *ispec.Platform
	if len(fresh) == 0 {
		added, err = s.platformOf(id)
	} else {
		added, err = platformIn(fresh[0].config)
	}
	if err != nil {
		return nil, err
	}
	platforms := []string{holder}
	for _, other := range record.standsFor(name) {
		p, err := s.platformOf(other)
		if other == holder || err != nil || p.OS == added.OS && p.Architecture == added.Architecture && p.Variant == added.Variant {
			continue // gone, or replaced
		}
		platforms = append(platforms, other)
	}
	return append(platforms, id), nil
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

// resolve asks for the manifest, one place after the other, and checks that the
// user's policy allows the image.
func (s *session) resolve(ctx context.Context, named reference.Named, wanted platform, from []source) (*remote, error) {
	what := "latest"
	if tagged, ok := named.(reference.NamedTagged); ok {
		what = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		what = digested.Digest().String()
		if err := checkDigest(digested.Digest()); err != nil {
			return nil, err
		}
	}
	var failed error
	for i, place := range from {
		blob, mimeType, err := place.client.Manifest(ctx, place.repository, what)
		if err != nil {
			failed = err
			continue
		}
		// The others have the blobs too, if this one loses them.
		r := &remote{sources: append([]source{place}, from[i+1:]...), manifest: blob, digest: digest.FromBytes(blob)}
		s.report(message.Event{Kind: message.Resolved, Name: named.String()})
		return r, s.read(ctx, r, named, mimeType, wanted)
	}
	return nil, failed
}

// read understands the manifest in r, and fetches the one for the platform if it
// is an index.
func (s *session) read(ctx context.Context, r *remote, named reference.Named, mimeType string, wanted platform) (err error) {
	if mimeType = manifestType(r.manifest, mimeType); manifest.MIMETypeIsMultiImage(mimeType) {
		instance, err := choose(r.manifest, mimeType, wanted)
		if err != nil {
			return err
		}
		if err := checkDigest(instance); err != nil {
			return err
		}
		r.index = r.manifest
		place := r.sources[0]
		if r.manifest, mimeType, err = place.client.Manifest(ctx, place.repository, instance.String()); err != nil {
			return err
		}
		mimeType = manifestType(r.manifest, mimeType)
	}
	system := &types.SystemContext{DockerRegistryUserAgent: userAgent}
	image, err := judge(named, system, r.manifest, mimeType)
	if err != nil {
		return err
	}
	if err := allowed(ctx, system, image); err != nil {
		return err
	}
	if r.parsed, err = parseManifest(r.manifest, mimeType); err != nil {
		return err
	}
	return checkDigest(r.parsed.ConfigInfo().Digest)
}

// manifestType is the kind of a manifest: what the registry says, or else what
// it looks like.
func manifestType(blob []byte, said string) string {
	if said == "" || said == "text/plain" || said == "application/json" || said == "application/octet-stream" {
		return manifest.GuessMIMEType(blob)
	}
	return said
}

// fetch transfers layers and configuration and has the image published, or nothing
// where another pull was faster.
func (s *session) fetch(ctx context.Context, r *remote, patience registry.Patience, publish func(...candidate) error) error {
	f := &fetcher{sources: r.sources, patience: patience, report: s.report}
	info := r.parsed.ConfigInfo()
	id := info.Digest.Encoded()
	config, err := s.small(ctx, f, blob{digest: info.Digest, size: info.Size}, func() bool { return s.whole(id) })
	if err != nil {
		return err
	}
	if config == nil {
		return publish()
	}
	infos := r.parsed.LayerInfos()
	parsed, err := parseConfig(config, len(infos))
	if err != nil {
		return err
	}
	layers := make([]layer, len(infos))
	for i, info := range infos {
		if err := checkDigest(info.Digest); err != nil {
			return err
		}
		// The addresses (urls) that a manifest may give for a layer could point a
		// transfer anywhere; docker ignores them for linux too.
		layers[i] = layer{digest: info.Digest, size: info.Size, name: info.Digest.String(), diffID: parsed.RootFS.DiffIDs[i], from: f}
	}
	have, err := s.obtain(ctx, layers)
	if err != nil {
		return err
	}
	c := candidate{config: config, manifest: r.manifest, index: r.index, layers: have}
	if parsed.Created != nil {
		c.created = *parsed.Created
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err = publish(c); err == nil {
		s.forgetPartial(info.Digest.Encoded())
	}
	return err
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
