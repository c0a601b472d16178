package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containers/image/v5/manifest"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// maxConfig is the largest image configuration that is accepted; registries
// and containers/image use the same bound for manifests.
const maxConfig = 4 << 20

// maxLayers is what overlayfs takes as lower layers of one mount.
const maxLayers = 500

// platform is what an image is for.
// https://github.com/opencontainers/image-spec/blob/main/image-index.md
type platform struct{ os, architecture, variant string }

// parsePlatform reads os[/architecture[/variant]]; empty means this machine's.
func parsePlatform(s string) (platform, error) {
	normal, err := image.ParsePlatform(s)
	parts := append(strings.Split(normal, "/"), "", "", "")
	return platform{parts[0], parts[1], parts[2]}, err
}

func (p platform) String() string {
	return strings.TrimSuffix(p.os+"/"+p.architecture+"/"+p.variant, "/")
}

// suits reports whether an image for p is one for wanted. A variant counts only
// where both have one: linux/arm64 asks for every variant.
func (p platform) suits(wanted platform) bool {
	return p.os == wanted.os && p.architecture == wanted.architecture &&
		(p.variant == wanted.variant || p.variant == "" || wanted.variant == "")
}

// choose returns the digest of the index's manifest for p.
func choose(index []byte, mimeType string, p platform) (digest.Digest, error) {
	list, err := manifest.ListFromBlob(index, mimeType)
	if err != nil {
		return "", message.Fail(message.ErrInvalid, "parse image index: "+err.Error())
	}
	instance, err := list.ChooseInstance(&types.SystemContext{
		OSChoice: p.os, ArchitectureChoice: p.architecture, VariantChoice: p.variant,
	})
	if err != nil {
		return "", message.Fail(message.ErrNoPlatform, fmt.Sprintf("no matching manifest for %s in the manifest list entries", p))
	}
	return instance, nil
}

// parseManifest reads the manifest of a single image.
func parseManifest(blob []byte, mimeType string) (manifest.Manifest, error) {
	if mimeType == "" {
		mimeType = manifest.GuessMIMEType(blob)
	}
	switch manifest.NormalizedMIMEType(mimeType) {
	case manifest.DockerV2Schema1MediaType, manifest.DockerV2Schema1SignedMediaType:
		return nil, message.Fail(message.ErrInvalid, "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported")
	}
	m, err := manifest.FromBlob(blob, mimeType)
	if err != nil {
		return nil, message.Fail(message.ErrInvalid, "parse image manifest: "+err.Error())
	}
	return m, nil
}

// imageConfig is the part of an image configuration that a transfer needs.
type imageConfig struct {
	Created      *time.Time `json:"created"`
	OS           string     `json:"os"`
	Architecture string     `json:"architecture"`
	Variant      string     `json:"variant"`
	RootFS       *struct {
		Type    string          `json:"type"`
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
}

func (c *imageConfig) platform() platform { return platform{c.OS, c.Architecture, c.Variant} }

// parseConfig reads and checks a configuration for an image with n layers.
func parseConfig(blob []byte, n int) (*imageConfig, error) {
	var c imageConfig
	if err := json.Unmarshal(blob, &c); err != nil {
		return nil, message.Fail(message.ErrInvalid, "parse image configuration: "+err.Error())
	}
	if c.RootFS == nil {
		return nil, message.Fail(message.ErrInvalid, "invalid rootfs in image configuration")
	}
	if len(c.RootFS.DiffIDs) != n {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("invalid rootfs in image configuration: %d layers in the manifest, %d diff IDs", n, len(c.RootFS.DiffIDs)))
	}
	if n > maxLayers {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("image has %d layers; overlay takes at most %d", n, maxLayers))
	}
	for _, d := range c.RootFS.DiffIDs {
		if err := checkDigest(d); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// checkDigest refuses what is not a sha256 digest: digests become file names.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("digest %q: %v", d, err))
	}
	if d.Algorithm() != digest.SHA256 {
		return message.Fail(message.ErrInvalid, fmt.Sprintf("digest %q: algorithm is not sha256", d))
	}
	return nil
}

// readBlob reads a small blob whole and checks its digest.
func readBlob(r io.Reader, want digest.Digest) ([]byte, error) {
	blob, err := readLimited(r, maxConfig)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(blob); got != want {
		return nil, message.Fail(message.ErrInvalid, fmt.Sprintf("image config verification failed for digest %s", want))
	}
	return blob, nil
}

var errTooLarge = errors.New("larger than allowed")

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	var buffer bytes.Buffer
	n, err := buffer.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = errTooLarge
	}
	return buffer.Bytes(), err
}
