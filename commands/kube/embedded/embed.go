//go:build embed

package embedded

// Dispatch does nothing in this build: the translator is a program of its own.
func Dispatch() {}
