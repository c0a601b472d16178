// Package contents reads what a container's root is made of, its writable layer
// over the layers of its image, without mounting them: what the container
// changed, that as an image's layer, and the whole as one tree. Nothing mounted
// in the container is part of it, as with docker.
//
// The owner of the files may be hostile and change them meanwhile: every name
// is opened in the directory that it was found in and never through a symbolic
// link. It must run inside the user namespace, if there is one. Start reading
// at Open.
//
// https://docs.kernel.org/filesystems/overlayfs.html
package contents
