// Package embedded is how the front program carries the stage, the network program
// and that of Kubernetes' types, which asks containers over the network, too. With the
// build tag "embed" their binaries are part of the front and are executed from where no
// container can write to them; without it the front links them and executes itself
// under other names, which is bigger in memory and slower to start.
//
// Building with the tag:
//
//	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o runtime/embedded/stage.bin ./runtime/stage/program
//	sha256sum <runtime/embedded/stage.bin | cut -c1-32 >runtime/embedded/stage.sum
//	go build -tags embed ...
package embedded
