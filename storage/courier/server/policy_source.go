package server

import (
	"context"
	"errors"
	"io"

	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/image"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"
)

// manifestSource shows a manifest that we have fetched to containers/image,
// whose policies judge it. Only signatures it looks up by itself.
type manifestSource struct {
	ref      types.ImageReference
	system   *types.SystemContext
	manifest []byte
	mimeType string
}

// judge returns the image that policies are asked about.
func judge(named reference.Named, system *types.SystemContext, manifest []byte, mimeType string) (types.UnparsedImage, error) {
	ref, err := docker.NewReference(named)
	if err != nil {
		return nil, err
	}
	return image.UnparsedInstance(&manifestSource{ref, system, manifest, mimeType}, nil), nil
}

var errManifestOnly = errors.New("only the manifest is here")

// Reference is what the user asked for.
func (m *manifestSource) Reference() types.ImageReference { return m.ref }

// Close has nothing to close.
func (m *manifestSource) Close() error { return nil }

// GetManifest returns the one manifest that there is.
func (m *manifestSource) GetManifest(_ context.Context, instance *digest.Digest) ([]byte, string, error) {
	if instance != nil && *instance != digest.FromBytes(m.manifest) {
		return nil, "", errManifestOnly
	}
	return m.manifest, m.mimeType, nil
}

// GetBlob is not what policies ask for.
func (m *manifestSource) GetBlob(context.Context, types.BlobInfo, types.BlobInfoCache) (io.ReadCloser, int64, error) {
	return nil, 0, errManifestOnly
}

// HasThreadSafeGetBlob says no.
func (m *manifestSource) HasThreadSafeGetBlob() bool { return false }

// GetSignatures looks for signatures of the manifest at the registry and in
// lookaside stores.
func (m *manifestSource) GetSignatures(ctx context.Context, _ *digest.Digest) (_ [][]byte, err error) {
	source, err := m.ref.NewImageSource(ctx, m.system)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	d := digest.FromBytes(m.manifest)
	return source.GetSignatures(ctx, &d)
}

// LayerInfosForCopy has nothing to replace.
func (m *manifestSource) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}
