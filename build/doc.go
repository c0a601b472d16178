// Package build makes images of Dockerfiles. Stages that the target needs are
// evaluated side by side; each instruction that changes files is a step, with a
// key that is made of everything it depends on (key.go), and its result is kept
// under that key (cache.go), so that it is done once. A RUN is a container of
// runtime/lifecycle over the layers so far; what it writes is the next layer and
// is never copied. Nothing is in the store before the courier has published the
// whole image.
//
// The package knows no flag and no terminal: who watches is told through
// Watcher. Start reading at Build.
package build
