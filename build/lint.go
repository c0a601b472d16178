package build

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"github.com/moby/patternmatcher"

	"skiff/build/dockerfile"
)

// checks says which rules count; it is what # check= and the build argument
// BUILDKIT_DOCKERFILE_CHECK say.
type checks struct {
	skip, experimental       []string
	skipAll, experimentalAll bool
	asError                  bool
}

// experimentalRules count only for who asks for them.
var experimentalRules = []string{"InvalidDefinitionDescription"}

func parseChecks(text string) (checks, error) {
	var c checks
	if text = strings.TrimSpace(text); text == "" {
		return c, nil
	}
	for _, part := range strings.Split(text, ";") {
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return c, fmt.Errorf("invalid check option %q", part)
		}
		var list []string
		for _, rule := range strings.Split(value, ",") {
			list = append(list, strings.TrimSpace(rule))
		}
		all := len(list) == 1 && list[0] == "all"
		switch strings.TrimSpace(key) {
		case "skip":
			c.skip, c.skipAll = list, all
		case "experimental":
			c.experimental, c.experimentalAll = list, all
		case "error":
			switch list[0] {
			case "true":
				c.asError = true
			case "false":
			default:
				return c, fmt.Errorf("failed to parse check option %q: invalid boolean", part)
			}
		default:
			return c, fmt.Errorf("invalid check option %q", key)
		}
	}
	return c, nil
}

func (c *checks) wants(rule string) bool {
	if slices.Contains(experimentalRules, rule) {
		return c.experimentalAll || slices.Contains(c.experimental, rule)
	}
	return !c.skipAll && !slices.Contains(c.skip, rule)
}

// LintError says that rules were violated that # check=error=true makes errors.
type LintError struct{ Rules []string }

func (e *LintError) Error() string {
	return "lint violation found for rules: " + strings.Join(e.Rules, ", ")
}

const ruleURL = "https://docs.docker.com/go/dockerfile/rule/"

// warn notes what a rule has against a command.
func (b *builder) warn(c *dockerfile.Command, rule, page, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.warnings = append(b.warnings, dockerfile.Warning{Rule: rule, URL: ruleURL + page + "/", Text: text, Line: c.Start, End: c.End})
}

// violations are what the rules that count have found, by line.
func (b *builder) violations() ([]dockerfile.Warning, error) {
	text := b.file.Check
	if own, ok := b.Args["BUILDKIT_DOCKERFILE_CHECK"]; ok {
		text = own
	}
	c, err := parseChecks(text)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []dockerfile.Warning
	var rules []string
	for _, w := range append(slices.Clone(b.file.Warnings), b.warnings...) {
		if c.wants(w.Rule) && !slices.Contains(out, w) {
			out = append(out, w)
			if !slices.Contains(rules, w.Rule) {
				rules = append(rules, w.Rule)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Line < out[j].Line })
	if c.asError && len(rules) > 0 && !b.Check {
		sort.Strings(rules)
		err = &LintError{rules}
	}
	return out, err
}

// undefined reports variables that nothing has defined.
func (e *evaluation) undefined(c *dockerfile.Command, unmatched map[string]struct{}) {
	if e.foreign {
		return
	}
	for name := range unmatched {
		known := slices.ContainsFunc(e.declared, func(p dockerfile.Pair) bool { return p.Key == name }) ||
			slices.Contains(proxies, name)
		if !known {
			e.warn(c, "UndefinedVar", "undefined-var", fmt.Sprintf("Usage of undefined variable '$%s'", name))
		}
	}
}

// ignoredSource reports a source of COPY that .dockerignore leaves out.
func (e *evaluation) ignoredSource(c *dockerfile.Command, m *patternmatcher.PatternMatcher, name string) {
	name = strings.Trim(name, "/")
	if m == nil || name == "" || name == "." || strings.ContainsAny(name, `*?[\\`) {
		return
	}
	if ignored, err := m.MatchesOrParentMatches(name); err == nil && ignored {
		verb := map[string]string{"copy": "Copy", "add": "Add"}[c.Name]
		e.warn(c, "CopyIgnoredFile", "copy-ignored-file", fmt.Sprintf("Attempting to %s file %q that is excluded by .dockerignore", verb, name))
	}
}

// PrintViolation writes one as `build --check` does.
func PrintViolation(w io.Writer, v dockerfile.Warning, name string, source []byte) {
	f := Failure{File: name, Source: source, Start: v.Line, End: v.End}
	fmt.Fprintf(w, "\nWARNING: %s - %s\n%s\n%s", v.Rule, v.URL, v.Text, f.Excerpt())
}
