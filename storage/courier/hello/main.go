// Hello is the only program of the image skiff/hello, which is part of skiff
// and needs no registry. From inside its container it tells who it is, what it
// sees and what confines it, so that a newcomer sees that the container is
// real. Standard library only; it is built static and embedded.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// section is a titled block of the screen.
type section struct {
	title string
	rows  []row
}

// row is a line of a section: what, and how it is.
type row struct{ label, value string }

// proc is where the kernel tells about this process; tests have another.
type proc string

func main() {
	p := proc("/proc")
	write(os.Stdout, []section{whoIAm(p), whatISee(p), whatConfinesMe(p)})
}

// write prints the screen. What cannot be found out is said to be unknown:
// this program must never fail.
func write(w io.Writer, sections []section) {
	fmt.Fprint(w, "\nHello from a container made by skiff.\n")
	width := 0
	for _, s := range sections {
		for _, r := range s.rows {
			width = max(width, len(r.label))
		}
	}
	for _, s := range sections {
		fmt.Fprintf(w, "\n%s\n", s.title)
		for _, r := range s.rows {
			value := r.value
			if value == "" {
				value = "unknown"
			}
			// A long value goes on below its beginning.
			value = strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", width+5))
			fmt.Fprintf(w, "  %-*s   %s\n", width, r.label, value)
		}
	}
	fmt.Fprint(w, "\nNo daemon was asked, and nothing of this stays behind. Next, try:\n  skiff run -it --rm debian bash\n\n")
}

// read returns the contents of a file of ours, trimmed, or "".
func (p proc) read(name string) string {
	data, err := os.ReadFile(string(p) + "/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// status returns a line of /proc/self/status.
func (p proc) status(key string) string {
	for line := range strings.Lines(p.read("self/status")) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
