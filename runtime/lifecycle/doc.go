// Package lifecycle is the verbs of a container's life: start, attach, exec,
// signal, stop, wait and remove. It runs in the front program, prepares what
// the stage program (runtime/stage) then applies, and talks to the monitor that
// stage becomes. It prints nothing and knows no flag.
//
// A Session is the front's end of a running process's streams; commands copy
// between it and the terminal.
package lifecycle
