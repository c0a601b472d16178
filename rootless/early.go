package rootless

// #include "early.h"
// #include "entry.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"
)

// earlyLink is in the store's cache; early.c reads it.
const earlyLink = "early"

// StageTimerSlack is the timer slack that the stage runs with, in nanoseconds.
const StageTimerSlack = C.SKIFF_TIMER_SLACK

// EarlyStage is the program that the C entry started for an ordinary `run`, as
// the link of SetEarly told it to.
type EarlyStage struct {
	// FD is the socket to it, the taker's to close; 0 when there is none.
	FD int
	// What was the link's text.
	What string
	// Size of the program's file in bytes.
	Size int64
}

// TakeEarly hands over the early stage, once. ok is false when the command line
// is not one of those that get one.
func TakeEarly() (s EarlyStage, ok bool) {
	e := &C.skiff_entry
	s = EarlyStage{FD: int(e.early), What: C.GoString(&e.early_what[0]), Size: int64(e.early_size)}
	ok = e.plain != 0
	e.early, e.plain = 0, 0
	return s, ok
}

// SetEarly leaves word in the cache directory what the next ordinary `run` shall
// start: the name of a file in it, a blank, and the program's argument.
func SetEarly(cache, what string) error {
	if len(what) >= len(C.struct_skiff_entry{}.early_what)-1 {
		return fmt.Errorf("set early stage: %q is too long", what)
	}
	link := filepath.Join(cache, earlyLink)
	// Not by rename: nobody misses it for a moment, and nothing can be left.
	err := os.Remove(link)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = os.Symlink(what, link)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("set early stage: %w", err)
	}
	return nil
}

// EarlyEnviron is the environment of an early stage.
func EarlyEnviron() []string {
	var list []string
	for _, p := range unsafe.Slice(&C.skiff_early_env[0], C.SKIFF_EARLY_ENV) {
		list = append(list, C.GoString(p))
	}
	return list
}
