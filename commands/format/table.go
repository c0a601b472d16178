// Package format is how lists and documents are printed: docker's tables, its
// --format templates, JSON lines, human sizes and times. It knows no command
// and nothing of the store.
package format

import (
	"io"
	"strings"
	"unicode/utf8"
)

// gap is the space between two columns, minWidth a column's least width with
// it, as docker 28 prints them.
const (
	gap      = 3
	minWidth = 10
)

// writeTable writes lines of cells in columns. The last cell of a line is not
// padded; a line may have fewer cells than others.
func writeTable(w io.Writer, lines [][]string) error {
	var widths []int
	for _, line := range lines {
		for i, cell := range line {
			if i == len(widths) {
				widths = append(widths, minWidth-gap)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for i, cell := range line {
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(spaces(widths[i] + gap - utf8.RuneCountInString(cell)))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func spaces(n int) string { return strings.Repeat(" ", n) }

// Escape replaces control characters (C0, DEL, C1) by their Go escapes, so that
// what an image or a user put into a name cannot steer the reader's terminal.
func Escape(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return escape(s)
		}
	}
	return s
}

// EscapeText is Escape for text whose author may have meant newlines and tabs:
// the output of a template, an error of several lines.
func EscapeText(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		cells := strings.Split(l, "\t")
		for i, c := range cells {
			cells[i] = Escape(c)
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}

func escape(s string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r >= 0x7f && r < 0xa0:
			b.WriteString(`\x`)
			b.WriteByte(hex[r>>4&15])
			b.WriteByte(hex[r&15])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
