package image

import (
	"time"

	"skiff/storage/container"
)

// Image is one image of the store as its records say.
type Image struct {
	ID      string   // digest of the config, 64 hex digits without "sha256:"
	Names   []string // normalized tagged references: docker.io/library/alpine:latest
	Digests []string // normalized digested references: docker.io/library/alpine@sha256:...
	// ManifestDigest is the digest of the manifest that the image came with.
	ManifestDigest string
	// Graph is the directory of another engine's store that has the image, which
	// is only read (storage.AdditionalStores); empty for the user's own.
	Graph string
	// Layers are layers' directories relative to Store.Layers(), topmost first: of
	// our own the containers/storage layer ids.
	Layers  []string
	Size    int64     // bytes of the files in the layers
	Created time.Time // zero when the image does not say
	// Tagged is when the image came into the store or last got a name; zero
	// when unknown.
	Tagged time.Time
	// Platforms are the IDs of all images that a name of this one stands for, by
	// name; nil for an image of one platform. See Index.
	Platforms map[string][]string
	// Config is empty until ReadConfig; Resolve has read it.
	Config Config
}

// Config is the OCI image configuration
// (https://github.com/opencontainers/image-spec/blob/main/config.md) with
// docker's extra fields kept.
type Config struct {
	Created      *time.Time        `json:"created,omitempty"`
	Author       string            `json:"author,omitempty"`
	Comment      string            `json:"comment,omitempty"`
	Architecture string            `json:"architecture"`
	Variant      string            `json:"variant,omitempty"`
	OS           string            `json:"os"`
	OSVersion    string            `json:"os.version,omitempty"`
	Config       container.Process `json:"config"`
	RootFS       RootFS            `json:"rootfs"`
	History      []History         `json:"history,omitempty"`
}

// RootFS lists the layers' uncompressed digests, base first.
type RootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// History is one line of an image's history, oldest first.
type History struct {
	Created    *time.Time `json:"created,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	Author     string     `json:"author,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	EmptyLayer bool       `json:"empty_layer,omitempty"`
}
