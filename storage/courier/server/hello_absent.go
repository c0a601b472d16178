//go:build !embed

package server

// helloProgram is missing in a build without the tag embed.
const helloProgram = ""
