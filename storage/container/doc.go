// Package container is a container's directory: how it is published and named,
// its configuration, the state that its monitor leaves, and its removal. It
// does not start anything (runtime/lifecycle does) and knows no flag.
//
// A container is <store>/containers/<id>/ with config.json, upper/, work/,
// log files, state.json and lock (the run lock); and the symbolic
// link by-name/<name>. The directory appears whole, by rename; the name is
// claimed by creating the link, which fails when it exists.
package container
