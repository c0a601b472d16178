package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	cstorage "github.com/containers/storage"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"skiff/storage/courier/message"
)

// Names that tools give images in an OCI layout's index.
const (
	annotationName    = "io.containerd.image.name" // docker and containerd: the whole name
	annotationRefName = ispec.AnnotationRefName    // skopeo, umoci: whole name or tag
)

// load takes all images out of an archive. An archive that is both a docker
// archive and an OCI layout, as docker writes them, is read as the former: it
// has the tags.
func (s *session) load(ctx context.Context, in *os.File, want *message.Load) (message.Result, error) {
	platform, err := parsePlatform(want.Platform)
	if err != nil {
		return message.Result{}, err
	}
	wanted := wantedPlatform{platform, want.Platform != ""}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	a, err := s.openArchive(ctx, in)
	if err != nil {
		return message.Result{}, err
	}
	defer a.Close()
	var loaded []message.Loaded
	switch {
	case a.has("manifest.json"):
		loaded, err = s.loadDocker(ctx, a, wanted)
	case a.has("index.json"):
		loaded, err = s.loadOCI(ctx, a, wanted)
	default:
		err = message.Fail(message.ErrInvalid, "invalid archive: neither manifest.json nor index.json is in it")
	}
	if err == nil && a.has("index.json") && !wanted.only {
		err = s.loadPlatforms(ctx, a, loaded)
	}
	if err == nil && len(loaded) == 0 && wanted.only {
		err = message.Fail(message.ErrNoPlatform, fmt.Sprintf("requested platform (%s) not found", platform))
	}
	return message.Result{Loaded: loaded}, err
}

// wantedPlatform is which image of an index to load, and with only also which of
// the archive's images at all.
type wantedPlatform struct {
	platform
	only bool
}

// lets reports whether an image is to be loaded.
func (w wantedPlatform) lets(config *imageConfig) bool {
	return !w.only || config.platform().suits(w.platform)
}

// dockerItem is one image in a docker archive's manifest.json.
// https://github.com/moby/docker-image-spec/blob/main/v1.3.md#combined-image-json--filesystem-changeset-format
type dockerItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// loadDocker loads the images that manifest.json lists.
func (s *session) loadDocker(ctx context.Context, a *archiveFile, wanted wantedPlatform) ([]message.Loaded, error) {
	var items []dockerItem
	if err := a.readJSON("manifest.json", &items); err != nil {
		return nil, err
	}
	var loaded []message.Loaded
	for _, item := range items {
		names, err := normalizeAll(item.RepoTags)
		if err != nil {
			return loaded, err
		}
		config, err := a.read(item.Config)
		if err != nil {
			return loaded, err
		}
		parsed, err := parseConfig(config, len(item.Layers))
		if err != nil {
			return loaded, err
		}
		if !wanted.lets(parsed) {
			continue
		}
		layers := make([]layer, len(item.Layers))
		for i, name := range item.Layers {
			diffID := parsed.RootFS.DiffIDs[i]
			layers[i] = layer{size: -1, diffID: diffID, name: diffID.String(), open: a.opener(name)}
		}
		one, err := s.loadImage(ctx, unloaded{candidate: candidate{config: config, names: names}, parsed: parsed, layers: layers})
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, one)
	}
	return loaded, nil
}

// loadOCI loads the images of an OCI layout.
// https://github.com/opencontainers/image-spec/blob/main/image-layout.md
func (s *session) loadOCI(ctx context.Context, a *archiveFile, wanted wantedPlatform) ([]message.Loaded, error) {
	var index ispec.Index
	if err := a.readJSON("index.json", &index); err != nil {
		return nil, err
	}
	var loaded []message.Loaded
	for _, descriptor := range index.Manifests {
		names, err := annotatedNames(descriptor.Annotations)
		if err != nil {
			return loaded, err
		}
		one, err := s.loadManifest(ctx, a, descriptor.Digest, wanted, names)
		if errors.Is(err, errOtherPlatform) {
			continue
		}
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, one)
	}
	return loaded, nil
}

// loadPlatforms also loads the images for other platforms, where a name of what
// was loaded stands in the archive for an index and all of its images are there.
func (s *session) loadPlatforms(ctx context.Context, a *archiveFile, loaded []message.Loaded) error {
	var index ispec.Index
	if err := a.readJSON("index.json", &index); err != nil {
		return err
	}
	for _, descriptor := range index.Manifests {
		names, err := annotatedNames(descriptor.Annotations)
		if err != nil || len(names) == 0 || !manifest.MIMETypeIsMultiImage(descriptor.MediaType) {
			continue
		}
		at := slices.IndexFunc(loaded, func(l message.Loaded) bool { return slices.Contains(l.Names, names[0]) })
		if at < 0 {
			continue
		}
		members, err := a.members(descriptor.Digest)
		if err != nil {
			return err
		}
		var all []unloaded
		var ids []string
		for _, member := range members {
			one, err := readManifest(a, member, wantedPlatform{})
			if err != nil {
				return err
			}
			all, ids = append(all, one), append(ids, one.id())
		}
		if len(ids) < 2 || !slices.Contains(ids, loaded[at].ID) {
			continue
		}
		err = s.retryVanished(func() error {
			var fresh []candidate
			for _, one := range all {
				if s.whole(one.id()) {
					continue
				}
				c, err := s.fill(ctx, one)
				if err != nil {
					return err
				}
				fresh = append(fresh, c)
			}
			return s.publishAll(fresh, loaded[at].ID, names, ids)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// members are the digests of an index's images, if the archive has all of them.
// What BuildKit says about images (attestations) is not one.
func (a *archiveFile) members(d digest.Digest) ([]digest.Digest, error) {
	blob, err := a.readBlob(d)
	if err != nil {
		return nil, err
	}
	var index ispec.Index
	if err := json.Unmarshal(blob, &index); err != nil {
		return nil, message.Fail(message.ErrInvalid, "parse image index: "+err.Error())
	}
	var all []digest.Digest
	for _, member := range index.Manifests {
		if member.Platform == nil || member.Platform.OS == "unknown" {
			continue
		}
		if checkDigest(member.Digest) != nil || !a.has(blobName(member.Digest)) {
			return nil, nil
		}
		all = append(all, member.Digest)
	}
	return all, nil
}

// errOtherPlatform says that an image is not for the platform that was asked for.
var errOtherPlatform = errors.New("image of another platform")

// unloaded is an image that stands in an archive.
type unloaded struct {
	candidate
	parsed *imageConfig
	layers []layer
}

func (u *unloaded) id() string { return digest.FromBytes(u.config).Encoded() }

// loadManifest loads the image whose manifest, or index, has the digest.
func (s *session) loadManifest(ctx context.Context, a *archiveFile, d digest.Digest, wanted wantedPlatform, names []string) (message.Loaded, error) {
	one, err := readManifest(a, d, wanted)
	if err != nil {
		return message.Loaded{}, err
	}
	one.names = names
	return s.loadImage(ctx, one)
}

// readManifest reads what an archive says of the image whose manifest, or index,
// has the digest.
func readManifest(a *archiveFile, d digest.Digest, wanted wantedPlatform) (unloaded, error) {
	blob, err := a.readBlob(d)
	if err != nil {
		return unloaded{}, err
	}
	if mimeType := manifest.GuessMIMEType(blob); manifest.MIMETypeIsMultiImage(mimeType) {
		instance, err := choose(blob, mimeType, wanted.platform)
		if err != nil {
			return unloaded{}, err
		}
		if blob, err = a.readBlob(instance); err != nil {
			return unloaded{}, err
		}
	}
	m, err := parseManifest(blob, "")
	if err != nil {
		return unloaded{}, err
	}
	config, err := a.readBlob(m.ConfigInfo().Digest)
	if err != nil {
		return unloaded{}, err
	}
	infos := m.LayerInfos()
	parsed, err := parseConfig(config, len(infos))
	if err != nil {
		return unloaded{}, err
	}
	if !wanted.lets(parsed) {
		return unloaded{}, errOtherPlatform
	}
	layers := make([]layer, len(infos))
	for i, info := range infos {
		if err := checkDigest(info.Digest); err != nil {
			return unloaded{}, err
		}
		layers[i] = layer{
			digest: info.Digest, size: info.Size, diffID: parsed.RootFS.DiffIDs[i], name: info.Digest.String(),
			open: a.opener(blobName(info.Digest)),
		}
	}
	return unloaded{candidate: candidate{config: config, manifest: blob}, parsed: parsed, layers: layers}, nil
}

// loadImage puts one image into the store.
func (s *session) loadImage(ctx context.Context, one unloaded) (message.Loaded, error) {
	id := one.id()
	s.reportMoved(id, one.names)
	err := s.retryVanished(func() error {
		if s.whole(id) {
			return s.rename(id, one.names)
		}
		c, err := s.fill(ctx, one)
		if err != nil {
			return err
		}
		_, err = s.publish(ctx, c)
		return err
	})
	return message.Loaded{ID: id, Names: one.names}, err
}

// fill puts the layers of an image into the store.
func (s *session) fill(ctx context.Context, one unloaded) (c candidate, err error) {
	c = one.candidate
	if one.parsed.Created != nil {
		c.created = *one.parsed.Created
	}
	if c.layers, err = s.obtain(ctx, one.layers); err != nil {
		return c, err
	}
	if c.manifest == nil {
		c.manifest, err = s.manifestFor(c.config, c.layers, one.parsed.RootFS.DiffIDs, nil)
	}
	return c, err
}

// reportMoved tells, as docker does, which names are about to leave an image.
func (s *session) reportMoved(id string, names []string) {
	for _, name := range names {
		if old, err := s.store.Image(name); err == nil && old.ID != id && s.whole(old.ID) {
			s.report(message.Event{Kind: message.Note, Text: fmt.Sprintf(
				"The image %s already exists, renaming the old one with ID sha256:%s to empty string", familiar(name), old.ID)})
		}
	}
}

// manifestFor makes a manifest for an image that came without one: its layers
// uncompressed, as the store can give them out again.
func (s *session) manifestFor(config []byte, have stack, diffIDs []digest.Digest, annotations map[string]string) ([]byte, error) {
	layers := make([]ispec.Descriptor, len(diffIDs))
	for i, diffID := range diffIDs {
		l, err := s.store.Layer(have.ids[len(have.ids)-1-i])
		if err != nil {
			return nil, err
		}
		layers[i] = ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: diffID, Size: l.UncompressedSize}
	}
	return newManifest(config, layers, annotations)
}

// newManifest is the manifest of an image with these layers, base first.
func newManifest(config []byte, layers []ispec.Descriptor, annotations map[string]string) ([]byte, error) {
	m := ispec.Manifest{
		MediaType:   ispec.MediaTypeImageManifest,
		Config:      ispec.Descriptor{MediaType: ispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
		Layers:      layers,
		Annotations: annotations,
	}
	m.SchemaVersion = 2
	return json.Marshal(m)
}

// annotations are those of the image's own manifest.
func (s *session) annotations(id string) map[string]string {
	raw, err := s.store.ImageBigData(id, cstorage.ImageDigestBigDataKey)
	if err != nil {
		return nil // a manifest that is lost is made again without them
	}
	var m ispec.Manifest
	_ = json.Unmarshal(raw, &m)
	return m.Annotations
}

// opener returns a function that opens a layer in the archive.
func (a *archiveFile) opener(name string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		r, err := a.open(name)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(r), nil
	}
}

// readBlob returns a small blob of an OCI layout and checks its digest.
func (a *archiveFile) readBlob(d digest.Digest) ([]byte, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	r, err := a.open(blobName(d))
	if err != nil {
		return nil, err
	}
	return readBlob(r, d)
}

func blobName(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

// annotatedNames returns the names that an OCI layout's index gives an image. A
// bare tag, which skopeo and umoci write, says nothing about a repository.
func annotatedNames(annotations map[string]string) ([]string, error) {
	name := annotations[annotationName]
	if name == "" && strings.ContainsAny(annotations[annotationRefName], "/:") {
		name = annotations[annotationRefName]
	}
	if name == "" {
		return nil, nil
	}
	return normalizeAll([]string{name})
}

// maxNames is how many names an image of an archive may bring: each command that
// looks for an image reads them all.
const maxNames = 10_000

// normalizeAll returns the references in their full form, tagged, each once.
func normalizeAll(references []string) ([]string, error) {
	var names []string
	have := make(map[string]bool)
	for _, r := range references {
		named, err := reference.ParseNormalizedNamed(r)
		if err != nil {
			return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("invalid tag %q", r))
		}
		if name := reference.TagNameOnly(named).String(); !have[name] {
			have[name] = true
			names = append(names, name)
		}
	}
	if len(names) > maxNames {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("an image has %d names; %d are allowed", len(names), maxNames))
	}
	return names, nil
}
