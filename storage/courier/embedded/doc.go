// Package embedded is how the front program carries the courier. With the build
// tag "embed" the courier's binary is part of the front and is executed from a
// sealed memfd; without it the front links the courier and executes itself
// under another name, which makes every start of the front slower.
//
// Building with the tag, in this order:
//
//	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o storage/courier/server/hello.bin ./storage/courier/hello
//	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -tags "embed containers_image_openpgp \
//	    exclude_graphdriver_btrfs exclude_graphdriver_zfs exclude_graphdriver_aufs" \
//	    -o storage/courier/embedded/courier.bin ./storage/courier
//	go build -tags embed ...
package embedded

// Argv0 is the name that the courier runs under.
const Argv0 = "skiff:courier"
