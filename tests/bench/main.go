// Command bench measures skiff beside crun, podman and docker on this machine,
// all in one run. The contestants take turns, because a shared machine changes
// its mind from minute to minute: only ratios of one run say something. A peer
// that is not installed has a row that says so.
//
//	go run ./tests/bench -skiff bin/skiff -write docs/benchmarks.md
//
// As root it measures as the test user, whose processes it starts without any
// wrapper; peers that need root (docker's engine) are measured only then.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

func main() {
	skiff := flag.String("skiff", "bin/skiff", "the program to measure")
	rounds := flag.Int("rounds", 40, "how often each command runs")
	only := flag.String("only", "", "measure only this: build, logs, many, network, pull, runs (beside crun alone), store, units")
	write := flag.String("write", "", "file whose table is replaced by the result")
	flag.Parse()
	if err := run(*skiff, *rounds, *only, *write); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parts can be measured alone.
var parts = map[string]func(*place, []*contestant, *report){
	"build": measureBuilds, "logs": measureLogs, "many": measureMany, "network": measureNetworks, "pull": measurePulls, "store": measureStore,
	"units": measureUnits,
}

func run(skiff string, rounds int, only, write string) (err error) {
	path, err := filepath.Abs(skiff)
	if err != nil {
		return err
	}
	place, err := newPlace(path)
	if err != nil {
		return err
	}
	defer place.close()
	// Ctrl-C must end the engines that were started, too.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, syscall.SIGINT, syscall.SIGTERM)
	var r report
	go func() {
		<-interrupted
		fmt.Print(r.String()) // what there is
		place.close()
		os.Exit(130)
	}()
	r.begin(place, rounds)
	contestants := place.contestants()
	if only == "many" || only == "logs" || only == "units" {
		contestants = slices.DeleteFunc(contestants, func(c *contestant) bool { return c.name != "skiff" })
	}
	if only == "runs" {
		contestants = slices.DeleteFunc(contestants, func(c *contestant) bool { return c.name == "podman" || c.name == "docker" })
	}
	place.setUp(contestants, &r)
	if measure := parts[only]; measure != nil {
		measure(place, contestants, &r)
		fmt.Print(r.String())
		return nil
	}
	measureRuns(place, contestants, rounds, &r)
	if only == "runs" {
		measureCrowd(place, contestants, &r)
		measureMemory(place, contestants, &r) // which ends the containers that were started
		fmt.Print(r.String())
		return nil
	}
	measureQueries(place, contestants, rounds, &r)
	measureCrowd(place, contestants, &r)
	measureBuilds(place, contestants, &r)
	measureMemory(place, contestants, &r)
	measurePulls(place, contestants, &r)
	measureStore(place, contestants, &r)
	measureMany(place, contestants, &r)
	measureUnits(place, contestants, &r)
	measureLogs(place, contestants, &r)
	measureNetworks(place, contestants, &r)
	r.end(place)
	fmt.Print(r.String())
	if write == "" {
		return nil
	}
	return r.writeInto(write)
}
