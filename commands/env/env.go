// Package env is all that a command may touch of the world outside: streams,
// clock, environment variables and the user's store. Tests make one of their
// own. It is a leaf: no package of commands/ stands below it.
package env

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/temp"
)

// Env is the world as one command sees it. Fields are set once, before the
// first command runs.
type Env struct {
	In  *os.File
	Out io.Writer
	Err io.Writer
	// Program is the name in usage texts: skiff, or docker when invoked so.
	Program string
	Clock   func() time.Time
	Getenv  func(string) string
	// Environ lists the caller's variables as KEY=value.
	Environ func() []string
	// Debug is set by -D: errors show their chain.
	Debug bool
	// Release, when not nil, takes the signals SIGINT and SIGTERM from the
	// context back: a command that passes signals on calls it first.
	Release func()
	// OpenStore replaces the user's store, for tests.
	OpenStore func() (*storage.Store, error)
	// Recover, when not nil, is called once for the user's own store if something
	// unpublished lies in it, which may be what a dead process left.
	Recover func(*storage.Store)

	once     sync.Once
	store    *storage.Store
	storeErr error
}

// New returns the process's own world. program is argv[0].
func New(program string) *Env {
	name := filepath.Base(program)
	if name != "docker" {
		name = "skiff"
	}
	return &Env{
		In:      os.Stdin,
		Out:     os.Stdout,
		Err:     os.Stderr,
		Program: name,
		Clock:   time.Now,
		Getenv:  os.Getenv,
		Environ: os.Environ,
	}
}

// Printing returns the same world with other outputs.
func (e *Env) Printing(out, errOut io.Writer) *Env {
	return &Env{
		In: e.In, Out: out, Err: errOut, Program: e.Program, Clock: e.Clock, Getenv: e.Getenv, Environ: e.Environ, Debug: e.Debug,
		Release: e.Release, OpenStore: e.Store,
	}
}

// Docker reports whether the program was invoked under docker's name, so that
// its texts must be docker's to the byte.
func (e *Env) Docker() bool { return e.Program == "docker" }

// Store returns the user's store, opened at the first call.
func (e *Env) Store() (*storage.Store, error) {
	e.once.Do(func() {
		open := e.OpenStore
		if open == nil {
			open = e.openStore
		}
		e.store, e.storeErr = open()
	})
	return e.store, e.storeErr
}

func (e *Env) openStore() (*storage.Store, error) {
	dir, err := storage.Locate(e.Getenv, rootless.UID())
	if err != nil {
		return nil, err
	}
	// Files can be made, and owners compared, only once the ids are mapped.
	if err := rootless.Await(); err != nil {
		return nil, err
	}
	st, err := storage.Open(dir, os.Getuid())
	if err == nil {
		st.Additional, st.AdditionalErr = storage.AdditionalStores(e.Getenv)
	}
	if err == nil && e.Recover != nil && temp.Dirty(st) {
		e.Recover(st)
	}
	return st, err
}

// TakeSignals stops ctx from being cancelled by SIGINT and SIGTERM from now
// on; the caller handles them itself.
func (e *Env) TakeSignals(context.Context) {
	if e.Release != nil {
		e.Release()
	}
}

// Terminal reports whether w is a terminal. It answers for *os.File only.
func Terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Size returns the rows and columns of the terminal w, zeros when it is none.
func Size(w any) (rows, cols uint16) {
	f, ok := w.(*os.File)
	if !ok || f == nil {
		return 0, 0
	}
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return ws.Row, ws.Col
}
