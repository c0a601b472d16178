// Package embedded is how the front program carries the stage. With the build
// tag "embed" the stage's binary is part of the front and is executed from
// where no container can write to it; without it the front links the stage and executes itself under
// another name, which is bigger in memory and slower to start.
//
// Building with the tag:
//
//	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o runtime/embedded/stage.bin ./runtime/stage/program
//	sha256sum <runtime/embedded/stage.bin | cut -c1-32 >runtime/embedded/stage.sum
//	go build -tags embed ...
package embedded
