// Package dockerfile holds what a Dockerfile says, as plain values: the program
// that parses (build/dockerfile/program) writes them as JSON, and the engine
// reads them. Nothing is expanded yet, because what variables mean is known only
// while building. Standard library only: both programs link it.
package dockerfile

import (
	"strconv"
	"strings"
)

// File is one Dockerfile.
type File struct {
	Escape rune // the character that continues a line
	Syntax string
	Args   []Pair // before the first FROM
	Stages []Stage
	// Check is the value of # check=.
	Check    string
	Warnings []Warning
}

// Warning is what one of BuildKit's rules has against a Dockerfile.
type Warning struct {
	Rule, URL string
	Text      string
	Line, End int // counted from 1
}

// Stage is a FROM and what follows it.
type Stage struct {
	Name     string // lower case, "" without AS
	Base     string
	Platform string
	Command
	Commands []Command
}

// Command is one instruction. Which fields are set depends on Name.
type Command struct {
	Name string // lower case: run, copy, ...
	Text string // as written, continuation lines joined
	// Start and End are its first and last line, counted from 1.
	Start, End int

	// Args are a command line, sources, ports, volumes, or the one word.
	Args []string
	// Shell says that Args is one line for the shell.
	Shell bool
	Pairs []Pair // env, label, arg

	// Of copy and add.
	Dest     string
	Files    []Heredoc // also of run
	From     string
	Chown    string
	Chmod    string
	Link     bool
	Parents  bool
	Exclude  []string
	Checksum string
	// KeepGit is --keep-git-dir, Unpack --unpack: "", "true" or "false".
	KeepGit, Unpack string

	// Of run.
	Mounts   []string
	Network  string
	Security string
	Devices  []string

	Health *Health
}

// Sources are the stages, images or contexts that the command takes files from.
func (c *Command) Sources() []string {
	var names []string
	if c.From != "" {
		names = append(names, c.From)
	}
	for _, m := range c.Mounts {
		for _, f := range strings.Split(m, ",") {
			if name, ok := strings.CutPrefix(f, "from="); ok && name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// Pair is one key and value; Missing says that there is no value at all.
type Pair struct {
	Key, Value string
	Missing    bool
	NoDelim    bool // ENV key value
}

// Heredoc is a file that stands in the Dockerfile itself.
type Heredoc struct {
	Name   string
	Data   string
	Expand bool
	Chomp  bool // <<-: leading tabs go
}

// Health is a health check; the durations are nanoseconds.
type Health struct {
	Test                                          []string
	Interval, Timeout, StartPeriod, StartInterval int64
	Retries                                       int
}

// Error is why a Dockerfile cannot be read, in BuildKit's words.
type Error struct {
	Text string
	Line int // 0 when unknown
	End  int
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return "dockerfile parse error on line " + strconv.Itoa(e.Line) + ": " + e.Text
	}
	return e.Text
}

// Answer is what the program writes: File or Error.
type Answer struct {
	File  *File  `json:",omitempty"`
	Error *Error `json:",omitempty"`
}

// Question is what the program reads.
type Question struct {
	Text []byte
	// Triggers says that Text has instructions of ONBUILD, one a line, and no
	// FROM; the answer has one stage.
	Triggers bool
}
