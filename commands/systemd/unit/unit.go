// Package unit reads and writes systemd's unit files (systemd.syntax(7)): their
// sections, assignments, continued lines and quoted words. It knows no section
// and no key by name, and leaves specifiers (%h) as they are.
package unit

import (
	"fmt"
	"strings"
)

// MaxSize is the largest file in bytes that is read; systemd's own lines may
// have one MiB.
const MaxSize = 1 << 20

// Position is where something is said.
type Position struct {
	File string
	Line int // from 1
}

func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Error is a mistake at a place in a file.
type Error struct {
	Position
	Text string
}

func (e *Error) Error() string { return e.Position.String() + ": " + e.Text }

// Entry is one assignment. Value is without the blanks around it, continued
// lines joined by a blank.
type Entry struct {
	Position
	Key, Value string
}

// Section is what stands below one [Name]. A name that comes again goes on.
type Section struct {
	Position
	Name    string
	Entries []Entry
}

// File is a unit file and its drop-ins, in the order they are read.
type File struct {
	Sections []*Section
}

// Section returns the section of that name, nil where there is none.
func (f *File) Section(name string) *Section {
	for _, s := range f.Sections {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Add reads data, which lies in the file path, behind what f has already. On
// error, an *Error, f is what it was before plus what stood above the mistake.
func (f *File) Add(path string, data []byte) error {
	if len(data) > MaxSize {
		return &Error{Position{path, 1}, fmt.Sprintf("the file is larger than %d bytes", MaxSize)}
	}
	var section *Section
	var joined strings.Builder // what continued lines have said
	start := 0
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		at := Position{path, i + 1}
		line = strings.TrimSuffix(line, "\r")
		if strings.ContainsRune(line, 0) {
			return &Error{at, "a zero byte is no text"}
		}
		bare := strings.TrimSpace(line)
		if bare != "" && (bare[0] == '#' || bare[0] == ';') {
			continue // also between continued lines
		}
		if joined.Len() == 0 {
			start = i + 1
			if bare == "" {
				continue
			}
		}
		// The last line has nothing to go on with.
		if rest, goesOn := strings.CutSuffix(line, `\`); goesOn && i+1 < len(lines) {
			joined.WriteString(rest + " ")
			continue
		}
		joined.WriteString(line)
		text := strings.TrimSpace(joined.String())
		joined.Reset()
		at.Line = start
		switch {
		case text == "":
		case text[0] == '[':
			name, ok := strings.CutSuffix(text[1:], "]")
			if !ok || name == "" || strings.ContainsAny(name, "[]") {
				return &Error{at, fmt.Sprintf("invalid section header %q", text)}
			}
			if section = f.Section(name); section == nil {
				section = &Section{Position: at, Name: name}
				f.Sections = append(f.Sections, section)
			}
		default:
			key, value, ok := strings.Cut(text, "=")
			key = strings.TrimSpace(key)
			switch {
			case !ok:
				return &Error{at, fmt.Sprintf("missing '=' in %q", text)}
			case key == "" || strings.ContainsAny(key, " \t\"'\\"):
				return &Error{at, fmt.Sprintf("invalid key %q", key)}
			case section == nil:
				return &Error{at, fmt.Sprintf("key %s stands before any section", key)}
			}
			section.Entries = append(section.Entries, Entry{at, key, strings.TrimSpace(value)})
		}
	}
	if text := strings.TrimSpace(joined.String()); text != "" {
		return &Error{Position{path, start}, "the last line goes on after the end of the file"}
	}
	return nil
}

// All returns the entries of a key that count: an empty one takes back those
// before it.
func (s *Section) All(key string) []Entry {
	if s == nil {
		return nil
	}
	var out []Entry
	for _, e := range s.Entries {
		switch {
		case e.Key != key:
		case e.Value == "":
			out = nil
		default:
			out = append(out, e)
		}
	}
	return out
}

// Last returns the value that a key has in the end, empty when it has none.
func (s *Section) Last(key string) string {
	if all := s.All(key); len(all) > 0 {
		return all[len(all)-1].Value
	}
	return ""
}
