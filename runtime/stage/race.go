//go:build race

package stage

// raceEnviron lets the race detector, in a program that was built with it, say what it
// finds where the tests look (tests/harness): a role has no output of its own.
var raceEnviron = []string{"GORACE=log_path=/var/tmp/skiff-race/report"}
