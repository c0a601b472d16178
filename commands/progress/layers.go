// Package progress shows how a transfer of images goes on: plain lines for a
// pipe, moving bars on a terminal. The lines of a pipe are docker's, which
// scripts read.
package progress

import (
	"fmt"
	"io"
	"strings"

	"skiff/commands/env"
	"skiff/commands/format"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

const (
	// barWidth is the length of a whole bar in characters, docker's.
	barWidth = 50
	// barRoom is what a line needs beside the bar.
	barRoom = 60
)

// Layers draws the events of one transfer.
type Layers struct {
	out      io.Writer
	terminal bool
	columns  int
	line     map[string]int    // line of a layer, from the top
	text     map[string]string // what stands there
	arrived  map[string]bool   // layers of which every byte is here
}

// NewLayers returns a display on out.
func NewLayers(out io.Writer) *Layers {
	_, columns := env.Size(out)
	return &Layers{
		out: out, terminal: env.Terminal(out), columns: int(columns),
		line: make(map[string]int), text: make(map[string]string), arrived: make(map[string]bool),
	}
}

// Event shows one event. It is not safe for concurrent use.
func (l *Layers) Event(e message.Event) {
	switch e.Kind {
	case message.Resolved:
		l.print(pulling(e.Name))
	case message.Note:
		l.print(format.Escape(e.Text))
	case message.LayerExists:
		l.set(e.Layer, "Already exists")
	case message.LayerQueued:
		l.set(e.Layer, "Pulling fs layer")
	case message.Pulled:
		l.print("Digest: " + format.Escape(e.Text))
	case message.LayerWaiting:
		l.set(e.Layer, "Waiting")
	case message.LayerArrived:
		l.set(e.Layer, "Verifying Checksum")
		l.arrived[e.Layer] = true
	case message.LayerUnpacking:
		// Unpacking begins with the first bytes; what is worth showing until the
		// last has come is how many have.
		if l.terminal && l.arrived[e.Layer] {
			l.set(e.Layer, "Extracting  "+l.bar(e.Offset, e.Size))
		}
	case message.LayerProgress:
		if l.terminal {
			l.set(e.Layer, "Downloading  "+l.bar(e.Offset, e.Size))
		}
	case message.LayerFetched:
		l.set(e.Layer, "Download complete")
	case message.LayerApplied:
		l.set(e.Layer, "Pull complete")
	case message.LayerPreparing:
		l.set(e.Layer, "Preparing")
	case message.LayerPushing:
		if l.terminal {
			l.set(e.Layer, "Pushing  "+l.bar(e.Offset, e.Size))
		}
	case message.LayerPushed:
		l.set(e.Layer, "Pushed")
	case message.LayerThere:
		l.set(e.Layer, "Layer already exists")
	case message.LayerMounted:
		l.set(e.Layer, "Mounted from "+format.Escape(e.Text))
	case message.Retrying:
		l.set(e.Layer, fmt.Sprintf("Retrying in %d seconds", int(e.Wait.Seconds()+0.5)))
	}
}

// Pulled prints docker's last lines about a pull.
func Pulled(out io.Writer, ref image.Reference, result message.Result) {
	fmt.Fprintf(out, "Digest: %s\n", result.Digest)
	Status(out, ref, result)
}

// Status prints whether a pull found anything new.
func Status(out io.Writer, ref image.Reference, result message.Result) {
	status := "Image is up to date"
	if result.Changed {
		status = "Downloaded newer image"
	}
	if ref.Digest != "" {
		ref.Tag = "" // the digest alone decided
	}
	fmt.Fprintf(out, "Status: %s for %s\n", status, ref.Familiar())
}

// pulling is docker's first line of a pull.
func pulling(name string) string {
	ref, err := image.ParseReference(name)
	if err != nil {
		return format.Escape(name)
	}
	what := ref.Tag
	if ref.Digest != "" {
		what = name
	}
	return what + ": Pulling from " + ref.Path
}

// print writes a line that stays.
func (l *Layers) print(text string) {
	fmt.Fprintln(l.out, text)
	// Layers that come are below it, also those of the image before.
	clear(l.line)
	clear(l.text)
	clear(l.arrived)
}

// set changes a layer's line: on a terminal in its place, else a new one.
func (l *Layers) set(layer, text string) {
	if l.text[layer] == text {
		return
	}
	id := format.ShortID(layer)
	if !l.terminal {
		l.text[layer] = text
		fmt.Fprintf(l.out, "%s: %s\n", id, text)
		return
	}
	at, ok := l.line[layer]
	if !ok {
		at = len(l.line)
		l.line[layer] = at
		fmt.Fprintln(l.out)
	}
	l.text[layer] = text
	// Up to the line, clear it, write, down again (ECMA-48: CUU, EL, CUD).
	up := len(l.line) - at
	fmt.Fprintf(l.out, "\x1b[%dA\x1b[2K\r%s: %s\r\x1b[%dB", up, id, text, up)
}

// bar draws how much of size has come.
func (l *Layers) bar(offset, size int64) string {
	if size <= 0 {
		return format.Size(offset)
	}
	numbers := fmt.Sprintf("%s/%s", format.Size(offset), format.Size(size))
	width := barWidth
	if l.columns < barRoom+barWidth {
		width = l.columns - barRoom
	}
	if width < 3 {
		return numbers
	}
	full := int(min(offset, size) * int64(width) / size)
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", width-full) + "]  " + numbers
}
