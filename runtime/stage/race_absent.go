//go:build !race

package stage

// raceEnviron is empty: no race detector.
var raceEnviron []string
