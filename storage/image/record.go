package image

import "time"

// SyncedKey names the big data item that marks an image as whole and durable:
// it comes with the record, after the contents of all layers were synced. An image
// without it does not exist for us; the next transfer that is alone deletes it.
const SyncedKey = "skiff.synced"

// SyncedVersion is the content of the mark that this program writes.
const SyncedVersion = "1"

// Metadata is what we keep in containers/storage's metadata of an image, so
// that listing and resolving need one file however many images there are.
type Metadata struct {
	// Layers are layer ids, topmost first.
	Layers []string `json:"layers,omitempty"`
	// Size is the sum of the sizes of the files in the layers, in bytes.
	Size int64 `json:"size"`
	// Created is when the image says it was made, if it does.
	Created time.Time `json:"created,omitzero"`
	// Tagged is when the image last got a name.
	Tagged time.Time `json:"tagged,omitzero"`
	// Platforms are the IDs of the images that a name of this one stands for, this
	// one's own among them, where it stands for one of each platform. An entry
	// counts while the image has the name.
	Platforms map[string][]string `json:"platforms,omitempty"`
}

// LayerMetadata is what we keep in containers/storage's metadata of a layer.
type LayerMetadata struct {
	// Size is the sum of the sizes of the files in the layer, in bytes.
	Size int64 `json:"size"`
}
