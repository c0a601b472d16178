//go:build embed

package server

import _ "embed"

// helloProgram is storage/courier/hello, a static binary. It is built first:
//
//	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o storage/courier/server/hello.bin ./storage/courier/hello
//
//go:embed hello.bin
var helloProgram string
