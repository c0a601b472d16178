// The parser of Dockerfiles, a program of its own: see package parse.
package main

import (
	"os"

	"skiff/build/dockerfile/parse"
)

func main() { os.Exit(parse.Main(os.Stdin, os.Stdout)) }
