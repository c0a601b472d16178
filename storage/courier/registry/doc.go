// Package registry talks to image registries: the client's half of the OCI
// distribution specification, with what the network does to it. Requests are
// repeated when the registry is busy or the connection breaks, a transfer that
// stops moving is given up, and credentials go to nobody but the registry that
// they belong to. It knows nothing of images: manifests and blobs are bytes
// here. https://github.com/opencontainers/distribution-spec/blob/main/spec.md
//
// Start reading at Client in client.go.
package registry
