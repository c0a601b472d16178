package parse

import (
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"skiff/build/dockerfile"
)

// rules collects what BuildKit's rules have against a Dockerfile, all of them:
// what the user does not want to hear is left out later. What depends on the base
// image or the context the engine finds out.
type rules struct {
	*linter.Linter
	found []dockerfile.Warning
}

func newRules() *rules {
	r := &rules{}
	r.Linter = linter.New(&linter.Config{ExperimentalAll: true, Warn: func(rule, _, url, text string, location []parser.Range) {
		start, end := lines(location)
		r.found = append(r.found, dockerfile.Warning{Rule: rule, URL: url, Text: text, Line: start, End: end})
	}})
	return r
}

// check runs the rules that concern the whole file.
func (r *rules) check(result *parser.Result, stages []instructions.Stage, args []instructions.ArgCommand) {
	for _, w := range result.Warnings {
		if w.Location != nil && w.URL == linter.RuleNoEmptyContinuation.URL {
			r.Run(&linter.RuleNoEmptyContinuation, []parser.Range{*w.Location}, linter.RuleNoEmptyContinuation.Format())
		}
	}
	r.casing(stages)
	r.stageNames(stages)
	r.from(stages, args, shell.NewLex(result.EscapeToken))
	for i := range stages {
		r.stage(&stages[i])
	}
	for _, a := range args {
		for _, kv := range a.Args {
			r.secret("ARG", kv.Key, a.Location())
		}
	}
}

// consistent reports whether a word is in one case.
func consistent(s string) bool { return s == strings.ToLower(s) || s == strings.ToUpper(s) }

func (r *rules) casing(stages []instructions.Stage) {
	lower, upper := 0, 0
	count := func(s string) {
		switch {
		case !consistent(s):
		case s == strings.ToLower(s):
			lower++
		default:
			upper++
		}
	}
	for _, s := range stages {
		count(s.OrigCmd)
		for _, c := range s.Commands {
			count(c.Name())
		}
	}
	match := func(name string, location []parser.Range) {
		switch {
		case lower > upper && name != strings.ToLower(name):
			r.Run(&linter.RuleConsistentInstructionCasing, location, linter.RuleConsistentInstructionCasing.Format(name, "lowercase"))
		case lower <= upper && name != strings.ToUpper(name):
			r.Run(&linter.RuleConsistentInstructionCasing, location, linter.RuleConsistentInstructionCasing.Format(name, "uppercase"))
		}
	}
	for _, s := range stages {
		match(s.OrigCmd, s.Location)
		for _, c := range s.Commands {
			match(c.Name(), c.Location())
		}
	}
}

func (r *rules) stageNames(stages []instructions.Stage) {
	seen := make(map[string]bool)
	for _, s := range stages {
		if s.Name == "" {
			continue
		}
		if s.Name == "context" || s.Name == "scratch" {
			r.Run(&linter.RuleReservedStageName, s.Location, linter.RuleReservedStageName.Format(s.Name))
		}
		if seen[s.Name] {
			r.Run(&linter.RuleDuplicateStageName, s.Location, linter.RuleDuplicateStageName.Format(s.Name))
		}
		seen[s.Name] = true
	}
}

// predefined are the variables that FROM knows without an ARG.
var predefined = []string{
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
	"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT",
}

// from runs the rules about the line of a FROM.
func (r *rules) from(stages []instructions.Stage, args []instructions.ArgCommand, lex *shell.Lex) {
	var env []string
	declared := make(map[string]bool)
	for _, name := range predefined {
		declared[name] = true
		env = append(env, name+"=\x00"+name) // like no other word
	}
	for _, a := range args {
		for _, kv := range a.Args {
			declared[kv.Key] = true
			if kv.Value == nil {
				continue
			}
			value, _, err := lex.ProcessWord(*kv.Value, shell.EnvsFromSlice(env))
			if err == nil {
				env = append(env, kv.Key+"="+value)
			}
		}
	}
	for _, s := range stages {
		name, err := lex.ProcessWordWithMatches(s.BaseName, shell.EnvsFromSlice(env))
		if err != nil {
			continue
		}
		for variable := range name.Unmatched {
			if !declared[variable] {
				r.Run(&linter.RuleUndefinedArgInFrom, s.Location, linter.RuleUndefinedArgInFrom.Format(variable, ""))
			}
		}
		if len(name.Matched)+len(name.Unmatched) > 0 && !strings.Contains(name.Result, "\x00") && !baseName.MatchString(name.Result) {
			r.Run(&linter.RuleInvalidDefaultArgInFrom, s.Location, linter.RuleInvalidDefaultArgInFrom.Format(s.BaseName))
		}
		if s.Platform == "" {
			continue
		}
		platform, err := lex.ProcessWordWithMatches(s.Platform, shell.EnvsFromSlice(env))
		switch {
		case err != nil:
		case len(platform.Matched)+len(platform.Unmatched) == 0:
			parts := strings.Split(platform.Result, "/")
			if len(parts) > 1 && (strings.Contains(s.Name, parts[0]) || strings.Contains(s.Name, parts[1])) {
				continue
			}
			r.Run(&linter.RuleFromPlatformFlagConstDisallowed, s.Location, linter.RuleFromPlatformFlagConstDisallowed.Format(platform.Result))
		case platform.Result == "\x00TARGETPLATFORM":
			r.Run(&linter.RuleRedundantTargetPlatform, s.Location, linter.RuleRedundantTargetPlatform.Format(s.Platform))
		}
	}
}

// baseName is what an image's name may look like, roughly.
var baseName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*[a-zA-Z0-9]$|^[a-zA-Z0-9]$`)

// stage runs the rules about the instructions of a stage.
func (r *rules) stage(s *instructions.Stage) {
	once := make(map[string][]parser.Range)
	only := func(c instructions.Command) {
		if before, ok := once[c.Name()]; ok {
			r.Run(&linter.RuleMultipleInstructionsDisallowed, before, linter.RuleMultipleInstructionsDisallowed.Format(c.Name()))
		}
		once[c.Name()] = c.Location()
	}
	ownShell := false
	for _, command := range s.Commands {
		switch c := command.(type) {
		case *instructions.ShellCommand:
			ownShell = true
		case *instructions.EnvCommand:
			r.legacy(c.Name(), c.Env, c.Location())
			for _, kv := range c.Env {
				r.secret("ENV", kv.Key, c.Location())
			}
		case *instructions.LabelCommand:
			r.legacy(c.Name(), c.Labels, c.Location())
		case *instructions.ArgCommand:
			for _, kv := range c.Args {
				r.secret("ARG", kv.Key, c.Location())
			}
		case *instructions.CmdCommand:
			only(c)
			if c.PrependShell && !ownShell {
				r.Run(&linter.RuleJSONArgsRecommended, c.Location(), linter.RuleJSONArgsRecommended.Format(c.Name()))
			}
		case *instructions.EntrypointCommand:
			only(c)
			if c.PrependShell && !ownShell {
				r.Run(&linter.RuleJSONArgsRecommended, c.Location(), linter.RuleJSONArgsRecommended.Format(c.Name()))
			}
		case *instructions.HealthCheckCommand:
			only(c)
		case *instructions.ExposeCommand:
			for _, port := range c.Ports {
				r.port(port, c.Location())
			}
		}
	}
}

func (r *rules) legacy(name string, pairs instructions.KeyValuePairs, location []parser.Range) {
	for _, kv := range pairs {
		if kv.NoDelim {
			r.Run(&linter.RuleLegacyKeyValueFormat, location, linter.RuleLegacyKeyValueFormat.Format(name))
		}
	}
}

func (r *rules) port(port string, location []parser.Range) {
	if strings.Contains(port, "$") {
		return
	}
	ports, proto, _ := strings.Cut(port, "/")
	if proto != strings.ToLower(proto) {
		r.Run(&linter.RuleExposeProtoCasing, location, linter.RuleExposeProtoCasing.Format(port))
	}
	if strings.Contains(ports, ":") {
		r.Run(&linter.RuleExposeInvalidFormat, location, linter.RuleExposeInvalidFormat.Format(port))
	}
}

// What names of secrets have in them, and what tells that they are none;
// BuildKit's words.
var (
	secretName = regexp.MustCompile(`(?i)(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)`)
	publicName = regexp.MustCompile(`(?i)(?:_|^)(?:public|file|version)(?:_|$)`)
)

func (r *rules) secret(instruction, key string, location []parser.Range) {
	if secretName.MatchString(key) && !publicName.MatchString(key) {
		r.Run(&linter.RuleSecretsUsedInArgOrEnv, location, linter.RuleSecretsUsedInArgOrEnv.Format(instruction, key))
	}
}
