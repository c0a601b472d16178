package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/manifest"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	cstorage "github.com/containers/storage"

	"skiff/storage/atomicfile"
	"skiff/storage/courier/message"
	"skiff/storage/courier/registry"
)

const (
	// parallelPushes is docker's default of max-concurrent-uploads.
	parallelPushes = 5
	// pushedDir, below the store's cache, remembers as what each layer was sent.
	pushedDir = "pushed"
	// maxPushed is how many repositories are remembered for a layer.
	maxPushed = 16
)

// outgoing is an image on its way to a registry.
type outgoing struct {
	to     source
	host   string
	named  reference.Named
	config []byte
	layers []outgoingLayer // base first
	// annotations are the manifest's.
	annotations map[string]string
	// known are repositories of the same registry that may have the layers.
	known []string
}

// outgoingLayer is one of its layers.
type outgoingLayer struct {
	id     string // in the store
	diffID digest.Digest
	size   int64 // of the archive
	// as is how the layer is, or was once, at a registry; the zero value when
	// that is not known.
	as ispec.Descriptor
	// original says that as is what the image's own manifest has.
	original bool
}

// push sends an image to its registry and names it there: all of its platforms if
// the name stands for several.
func (s *session) push(ctx context.Context, want *message.Push) (message.Result, error) {
	named, tag, err := parseRemote(want.Reference)
	if err != nil {
		return message.Result{}, err
	}
	img, err := s.imageRecord(want.ID)
	if err != nil {
		return message.Result{}, err
	}
	if img == nil || !img.whole {
		return message.Result{}, message.Fail(message.ErrNotFound, "No such image: "+want.ID)
	}
	to, err := home(named, want.Registries)
	if err != nil {
		return message.Result{}, err
	}
	defer to.client.Close()
	var as ispec.Descriptor
	if platforms := img.standsFor(want.Reference); len(platforms) > 1 && want.Platform == "" {
		as, err = s.pushPlatforms(ctx, to, named, tag, platforms)
	} else {
		as, err = s.pushImage(ctx, to, named, want)
		if err == nil && want.Platform == "" {
			as, err = s.pushList(ctx, to, img, tag, as)
		} else if err == nil {
			err = to.retag(ctx, tag, as)
		}
	}
	if err != nil {
		return message.Result{}, err
	}
	result := message.Result{ID: want.ID, Digest: as.Digest.String(), Size: as.Size}
	return result, s.notePushed(want.ID, named, result.Digest)
}

// retag gives the manifest, which as holds, a tag.
func (to source) retag(ctx context.Context, tag string, as ispec.Descriptor) error {
	return pushFailure(to, to.client.PutManifest(ctx, to.repository, tag, as.MediaType, as.Data))
}

// pushImage sends one image, without a tag. The descriptor has the manifest.
func (s *session) pushImage(ctx context.Context, to source, named reference.Named, want *message.Push) (ispec.Descriptor, error) {
	out, original, mimeType, err := s.outgoing(named, want)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	for i := len(out.layers) - 1; i >= 0; i-- {
		s.report(message.Event{Kind: message.LayerPreparing, Layer: out.layers[i].diffID.String()})
	}
	out.to = to
	if err := s.pushLayers(ctx, out); err != nil {
		return ispec.Descriptor{}, pushFailure(to, err)
	}
	if err := to.putConfig(ctx, out.config); err != nil {
		return ispec.Descriptor{}, pushFailure(to, err)
	}
	blob := original
	if slices.ContainsFunc(out.layers, func(l outgoingLayer) bool { return !l.original }) {
		out.annotations = s.annotations(want.ID)
		if blob, mimeType, err = out.manifest(mimeType); err != nil {
			return ispec.Descriptor{}, err
		}
	}
	return ispec.Descriptor{MediaType: mimeType, Digest: digest.FromBytes(blob), Size: int64(len(blob)), Data: blob}, nil
}

// notePushed lets an image be known by the digest that it has in its repository.
func (s *session) notePushed(id string, named reference.Named, manifest string) error {
	name := named.Name() + "@" + manifest
	if s.named(id, []string{name}) {
		return nil
	}
	err := s.moveNames(id, []string{name}, nil)
	if errors.Is(err, message.ErrNotFound) {
		return nil // somebody has removed it meanwhile: it is pushed all the same
	}
	if err != nil {
		return err
	}
	return s.syncRecords()
}

// outgoing reads an image from the store.
func (s *session) outgoing(named reference.Named, want *message.Push) (*outgoing, []byte, string, error) {
	img, err := s.store.Image(want.ID)
	if err != nil {
		return nil, nil, "", err
	}
	config, err := s.store.ImageBigData(want.ID, "sha256:"+want.ID)
	if err != nil {
		return nil, nil, "", err
	}
	original, err := s.store.ImageBigData(want.ID, cstorage.ImageDigestBigDataKey)
	if err != nil {
		return nil, nil, "", err
	}
	mimeType := manifest.GuessMIMEType(original)
	parsed, err := parseManifest(original, mimeType)
	if err != nil {
		return nil, nil, "", err
	}
	infos := parsed.LayerInfos()
	has, err := parseConfig(config, len(infos))
	if err != nil {
		return nil, nil, "", err
	}
	if wanted, err := parsePlatform(want.Platform); err != nil || want.Platform != "" && !has.platform().suits(wanted) {
		if err == nil {
			err = message.Fail(message.ErrNoPlatform, fmt.Sprintf(
				"image with reference %s was found but does not provide the specified platform (%s)", familiar(want.Reference), wanted))
		}
		return nil, nil, "", err
	}
	out := &outgoing{host: reference.Domain(named), named: named, config: config, layers: make([]outgoingLayer, len(infos))}
	id := img.TopLayer
	for i := len(infos) - 1; i >= 0; i-- {
		l, err := s.store.Layer(id)
		if err != nil {
			return nil, nil, "", err
		}
		out.layers[i] = outgoingLayer{id: id, diffID: has.RootFS.DiffIDs[i], size: l.UncompressedSize}
		if compressed(infos[i].MediaType) {
			out.layers[i].as = ispec.Descriptor{MediaType: infos[i].MediaType, Digest: infos[i].Digest, Size: infos[i].Size}
			out.layers[i].original = true
		}
		id = l.Parent
	}
	for _, name := range img.Names {
		other, err := reference.ParseNormalizedNamed(name)
		if err == nil && reference.Domain(other) == out.host && reference.Path(other) != reference.Path(named) && !slices.Contains(out.known, reference.Path(other)) {
			out.known = append(out.known, reference.Path(other))
		}
	}
	return out, original, mimeType, nil
}

// compressed reports whether a layer of this media type is one that registries
// are given.
func compressed(mediaType string) bool {
	return strings.HasSuffix(mediaType, "gzip") || strings.HasSuffix(mediaType, "+zstd")
}

// pushLayers makes sure that the repository has each layer, topmost first.
func (s *session) pushLayers(ctx context.Context, out *outgoing) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelPushes)
	for i := len(out.layers) - 1; i >= 0; i-- {
		group.Go(func() error {
			defer s.dieRefused()
			return s.pushLayer(ctx, out, &out.layers[i])
		})
	}
	return group.Wait()
}

// pushLayer finds the layer in the repository or in another one of the same
// registry, or sends it.
func (s *session) pushLayer(ctx context.Context, out *outgoing, l *outgoingLayer) error {
	name := l.diffID.String()
	remembered := s.recallPushed(l.diffID)
	for _, candidate := range []struct {
		as       ispec.Descriptor
		original bool
		in       []string
	}{{l.as, l.original, out.known}, {remembered.Descriptor, false, remembered.on(out.host)}} {
		if candidate.as.Digest == "" || !candidate.original && candidate.as.Digest == l.as.Digest {
			continue
		}
		there, err := out.to.client.HasBlob(ctx, out.to.repository, candidate.as.Digest.String())
		if err != nil {
			return err
		}
		if there {
			l.as, l.original = candidate.as, candidate.original
			s.report(message.Event{Kind: message.LayerThere, Layer: name})
			s.rememberPushed(l.diffID, l.as, out)
			return nil
		}
		for _, from := range candidate.in {
			if from == out.to.repository {
				continue
			}
			mounted, err := out.to.client.Mount(ctx, out.to.repository, candidate.as.Digest.String(), from)
			if err == nil && mounted {
				l.as, l.original = candidate.as, candidate.original
				s.report(message.Event{Kind: message.LayerMounted, Layer: name, Text: from})
				s.rememberPushed(l.diffID, l.as, out)
				return nil
			}
			// Another repository may be one that we may not read: then it is sent.
		}
	}
	wait := out.to.client.Backoff(func(d time.Duration, _ error) {
		s.report(message.Event{Kind: message.Retrying, Layer: name, Wait: d})
	})
	for {
		as, err := s.sendLayer(ctx, out, l)
		if err == nil {
			l.as, l.original = as, l.original && as.Digest == l.as.Digest
			s.report(message.Event{Kind: message.LayerPushed, Layer: name})
			s.rememberPushed(l.diffID, l.as, out)
			return nil
		}
		if !registry.Temporary(err) || !wait.Wait(ctx, err, 0) {
			return err
		}
	}
}

// sendLayer compresses the layer and sends it while it is being read.
func (s *session) sendLayer(ctx context.Context, out *outgoing, l *outgoingLayer) (ispec.Descriptor, error) {
	archive, err := layerTar(s.st, l.id)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	defer archive.Close()
	upload, err := out.to.client.Upload(ctx, out.to.repository)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	plain := &blobReader{ctx: ctx, r: archive, progress: func(offset int64) {
		s.report(message.Event{Kind: message.LayerPushing, Layer: l.diffID.String(), Offset: offset, Size: l.size})
	}}
	r, w := io.Pipe()
	go func() {
		packed := gzip.NewWriter(w)
		_, err := io.Copy(packed, plain)
		if err == nil {
			err = packed.Close()
		}
		if err == nil && plain.digest() != l.diffID {
			err = message.Fail(message.ErrInvalid, fmt.Sprintf("layer %s of the store is damaged: it is %s now", l.diffID, plain.digest()))
		}
		w.CloseWithError(err)
	}()
	sent := newMeter(r)
	err = upload.Send(ctx, sent, -1)
	// Without a reader the compressor would wait for ever.
	r.CloseWithError(errors.New("not sent"))
	if err != nil {
		return ispec.Descriptor{}, err
	}
	as := ispec.Descriptor{MediaType: ispec.MediaTypeImageLayerGzip, Digest: sent.digest(), Size: sent.n}
	return as, upload.Finish(ctx, as.Digest.String())
}

// putConfig sends the configuration unless it is there.
func (to source) putConfig(ctx context.Context, config []byte) error {
	d := digest.FromBytes(config).String()
	there, err := to.client.HasBlob(ctx, to.repository, d)
	if err != nil || there {
		return err
	}
	return to.client.PutBlob(ctx, to.repository, d, config)
}

// manifest makes a manifest of the layers as they were sent, of the kind that the
// image came with.
func (out *outgoing) manifest(mimeType string) ([]byte, string, error) {
	configType, layerType := ispec.MediaTypeImageConfig, ""
	if mimeType == manifest.DockerV2Schema2MediaType {
		configType, layerType = manifest.DockerV2Schema2ConfigMediaType, manifest.DockerV2Schema2LayerMediaType
	} else {
		mimeType = ispec.MediaTypeImageManifest
	}
	m := ispec.Manifest{
		MediaType: mimeType,
		Config:    ispec.Descriptor{MediaType: configType, Digest: digest.FromBytes(out.config), Size: int64(len(out.config))},
		Layers:    make([]ispec.Descriptor, len(out.layers)),

		Annotations: out.annotations,
	}
	m.SchemaVersion = 2
	for i, l := range out.layers {
		m.Layers[i] = l.as
		if layerType != "" && !strings.HasSuffix(l.as.MediaType, "+zstd") {
			m.Layers[i].MediaType = layerType
		} else if !strings.HasSuffix(l.as.MediaType, "+zstd") {
			m.Layers[i].MediaType = ispec.MediaTypeImageLayerGzip
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "   ")
	err := encoder.Encode(m)
	return bytes.TrimSpace(b.Bytes()), mimeType, err
}

// pushed remembers as what a layer was sent, and where. It is a convenience: it
// saves sending again what a registry has.
type pushed struct {
	Version    int
	Descriptor ispec.Descriptor
	// Repositories are host/path, the latest first.
	Repositories []string
}

// on returns the paths of the repositories on a registry.
func (p pushed) on(host string) (paths []string) {
	for _, r := range p.Repositories {
		if path, ok := strings.CutPrefix(r, host+"/"); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

const pushedVersion = 1

func (s *session) recallPushed(diffID digest.Digest) pushed {
	var p pushed
	data, err := os.ReadFile(filepath.Join(s.st.Cache(), pushedDir, diffID.Encoded()))
	if err != nil || json.Unmarshal(data, &p) != nil || p.Version != pushedVersion || checkDigest(p.Descriptor.Digest) != nil {
		return pushed{}
	}
	return p
}

// rememberPushed is allowed to fail: then the layer is sent again some day.
func (s *session) rememberPushed(diffID digest.Digest, as ispec.Descriptor, out *outgoing) {
	p := s.recallPushed(diffID)
	if p.Descriptor.Digest != as.Digest {
		p = pushed{}
	}
	where := out.host + "/" + out.to.repository
	p.Version, p.Descriptor = pushedVersion, as
	p.Repositories = append([]string{where}, slices.DeleteFunc(p.Repositories, func(r string) bool { return r == where })...)
	p.Repositories = p.Repositories[:min(len(p.Repositories), maxPushed)]
	data, err := json.Marshal(p)
	if err != nil {
		return
	}
	dir := filepath.Join(s.st.Cache(), pushedDir)
	if os.MkdirAll(dir, 0o700) == nil {
		_ = atomicfile.Reclaim(dir, diffID.Encoded())
		_ = atomicfile.Fill(filepath.Join(dir, diffID.Encoded()), data, 0o600, atomicfile.Volatile)
	}
}
