// Skiff is a container engine without a daemon. This file only starts the
// command line; package commands is where to read on.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	dockerfile "skiff/build/dockerfile/embedded"
	"skiff/commands"
	"skiff/commands/env"
	kube "skiff/commands/kube/embedded"
	"skiff/commands/systemd"
	"skiff/rootless"
	stage "skiff/runtime/embedded"
	"skiff/storage/courier/credential"
	courier "skiff/storage/courier/embedded"
)

func main() {
	// It lives for milliseconds; what it reads of a large store is some megabytes.
	debug.SetGCPercent(400)
	// One file, several programs: it may have been started as another of them.
	stage.Dispatch()
	courier.Dispatch()
	dockerfile.Dispatch()
	kube.Dispatch()
	if len(os.Args) == 1 && os.Args[0] == rootless.RoleHelper {
		credential.Serve(os.NewFile(rootless.HelperFD, "helper"))
		return
	}
	if systemd.IsGenerator(os.Args[0]) {
		os.Exit(systemd.Generator(env.New(os.Args[0]), os.Args))
	}
	os.Exit(run())
}

// run is main with an exit code, so that its deferred calls happen.
func run() int {
	e := env.New(os.Args[0])
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	e.Release = func() { signal.Stop(signals) }
	go func() {
		if s, ok := (<-signals).(syscall.Signal); ok {
			// A second signal ends the program at once.
			signal.Stop(signals)
			cancel(commands.Interrupted{Signal: s})
		}
	}()
	return commands.Run(ctx, e, os.Args)
}
