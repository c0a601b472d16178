// Package parse reads Dockerfiles with BuildKit's own parser, so that what
// docker understands is understood, and what it refuses is refused, in its
// words. Initialising that parser costs about a millisecond, so that it is a
// program of its own (build/dockerfile/program).
package parse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"skiff/build/dockerfile"
)

// Main reads a dockerfile.Question and writes the Answer. It returns the
// process's exit code.
func Main(in io.Reader, out io.Writer) int {
	var q dockerfile.Question
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		fmt.Fprintln(os.Stderr, "read the question:", err)
		return 2
	}
	if err := json.NewEncoder(out).Encode(Answer(q)); err != nil {
		fmt.Fprintln(os.Stderr, "write the answer:", err)
		return 1
	}
	return 0
}

// Answer parses.
func Answer(q dockerfile.Question) (a dockerfile.Answer) {
	text := q.Text
	offset := 0
	if q.Triggers {
		text, offset = append([]byte("FROM scratch\n"), text...), 1
	}
	file, err := Parse(text)
	if err != nil {
		e := &dockerfile.Error{}
		if !errors.As(err, &e) {
			e = &dockerfile.Error{Text: err.Error()}
		}
		e.Line = max(0, e.Line-offset)
		return dockerfile.Answer{Error: e}
	}
	return dockerfile.Answer{File: file}
}

// Parse reads a whole Dockerfile. Errors are *dockerfile.Error.
func Parse(text []byte) (_ *dockerfile.File, err error) {
	defer func() {
		// Not our code, and its input is anybody's.
		if r := recover(); r != nil {
			err = &dockerfile.Error{Text: fmt.Sprintf("the parser gave up: %v", r)}
		}
	}()
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, explain(err)
	}
	checks := newRules()
	stages, args, err := instructions.Parse(result.AST, checks.Linter)
	if err != nil {
		return nil, explain(err)
	}
	f := &dockerfile.File{Escape: result.EscapeToken}
	f.Syntax, _, _, _ = parser.DetectSyntax(text)
	f.Check, _, _, _ = parser.ParseDirective("check", text)
	checks.check(result, stages, args)
	f.Warnings = checks.found
	for _, a := range args {
		f.Args = append(f.Args, optionalPairs(a.Args)...)
	}
	flags := make(map[int][]string)
	for _, n := range result.AST.Children {
		flags[n.StartLine] = n.Flags
	}
	for i := range stages {
		s := &stages[i]
		stage := dockerfile.Stage{Name: strings.ToLower(s.Name), Base: s.BaseName, Platform: s.Platform}
		stage.Command = dockerfile.Command{Name: "from", Text: s.SourceCode}
		stage.Start, stage.End = lines(s.Location)
		for _, c := range s.Commands {
			command, err := translate(c)
			if err != nil {
				return nil, err
			}
			if command.Name == "run" {
				runFlags(&command, flags[command.Start])
			}
			stage.Commands = append(stage.Commands, command)
		}
		f.Stages = append(f.Stages, stage)
	}
	return f, nil
}

// explain finds the place of an error.
func explain(err error) error {
	e := &dockerfile.Error{Text: err.Error()}
	var l *parser.LocationError
	if errors.As(err, &l) && len(l.Locations) > 0 && len(l.Locations[0]) > 0 {
		e.Line, e.End = lines(l.Locations[0])
		e.Text = strings.TrimPrefix(e.Text, fmt.Sprintf("dockerfile parse error on line %d: ", e.Line))
	}
	return e
}

func lines(ranges []parser.Range) (start, end int) {
	if len(ranges) == 0 {
		return 0, 0
	}
	return ranges[0].Start.Line, ranges[len(ranges)-1].End.Line
}

// runFlags takes the flags of a RUN as they stand: their variables are
// expanded later.
func runFlags(c *dockerfile.Command, flags []string) {
	for _, f := range flags {
		name, value, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		switch name {
		case "mount":
			c.Mounts = append(c.Mounts, value)
		case "network":
			c.Network = value
		case "security":
			c.Security = value
		case "device":
			c.Devices = append(c.Devices, value)
		}
	}
}

func translate(from instructions.Command) (dockerfile.Command, error) {
	c := dockerfile.Command{Name: strings.ToLower(from.Name())}
	if s, ok := from.(fmt.Stringer); ok {
		c.Text = s.String()
	}
	c.Start, c.End = lines(from.Location())
	switch i := from.(type) {
	case *instructions.EnvCommand:
		c.Pairs = pairs(i.Env)
	case *instructions.LabelCommand:
		c.Pairs = pairs(i.Labels)
	case *instructions.ArgCommand:
		c.Pairs = optionalPairs(i.Args)
	case *instructions.MaintainerCommand:
		c.Args = []string{i.Maintainer}
	case *instructions.AddCommand:
		sources(&c, &i.SourcesAndDest)
		c.Chown, c.Chmod, c.Link, c.Exclude, c.Checksum = i.Chown, i.Chmod, i.Link, i.ExcludePatterns, i.Checksum
		c.KeepGit, c.Unpack = optionalBool(i.KeepGitDir), optionalBool(i.Unpack)
	case *instructions.CopyCommand:
		sources(&c, &i.SourcesAndDest)
		c.From, c.Chown, c.Chmod, c.Link, c.Exclude, c.Parents = i.From, i.Chown, i.Chmod, i.Link, i.ExcludePatterns, i.Parents
	case *instructions.OnbuildCommand:
		c.Args = []string{i.Expression}
	case *instructions.WorkdirCommand:
		c.Args = []string{i.Path}
	case *instructions.RunCommand:
		commandLine(&c, &i.ShellDependantCmdLine)
	case *instructions.CmdCommand:
		commandLine(&c, &i.ShellDependantCmdLine)
	case *instructions.EntrypointCommand:
		commandLine(&c, &i.ShellDependantCmdLine)
	case *instructions.HealthCheckCommand:
		h := i.Health
		c.Health = &dockerfile.Health{
			Test: h.Test, Interval: int64(h.Interval), Timeout: int64(h.Timeout), StartPeriod: int64(h.StartPeriod),
			StartInterval: int64(h.StartInterval), Retries: h.Retries,
		}
	case *instructions.ExposeCommand:
		c.Args = i.Ports
	case *instructions.UserCommand:
		c.Args = []string{i.User}
	case *instructions.VolumeCommand:
		c.Args = i.Volumes
	case *instructions.StopSignalCommand:
		c.Args = []string{i.Signal}
	case *instructions.ShellCommand:
		c.Args = i.Shell
	default:
		return c, &dockerfile.Error{Text: "unknown instruction: " + strings.ToUpper(c.Name), Line: c.Start, End: c.End}
	}
	return c, nil
}

func commandLine(c *dockerfile.Command, l *instructions.ShellDependantCmdLine) {
	c.Args, c.Shell = l.CmdLine, l.PrependShell
	for _, f := range l.Files {
		c.Files = append(c.Files, dockerfile.Heredoc{Name: f.Name, Data: f.Data, Chomp: f.Chomp})
	}
}

func sources(c *dockerfile.Command, s *instructions.SourcesAndDest) {
	c.Args, c.Dest = s.SourcePaths, s.DestPath
	for _, f := range s.SourceContents {
		c.Files = append(c.Files, dockerfile.Heredoc{Name: f.Path, Data: f.Data, Expand: f.Expand})
	}
}

func pairs(list instructions.KeyValuePairs) []dockerfile.Pair {
	var out []dockerfile.Pair
	for _, p := range list {
		out = append(out, dockerfile.Pair{Key: p.Key, Value: p.Value, NoDelim: p.NoDelim})
	}
	return out
}

func optionalPairs(list []instructions.KeyValuePairOptional) []dockerfile.Pair {
	var out []dockerfile.Pair
	for _, p := range list {
		out = append(out, dockerfile.Pair{Key: p.Key, Value: p.ValueString(), Missing: p.Value == nil})
	}
	return out
}

func optionalBool(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}
