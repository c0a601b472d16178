// Package change applies single Dockerfile instructions to an image's
// configuration, for `import --change` and `commit --change`. It knows the
// instructions that need neither a build nor a file; docker's list.
package change

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"skiff/storage/container"
)

// ErrSyntax says that a change is not an instruction that Apply knows; the
// error that carries it has docker's words.
var ErrSyntax = errors.New("not an instruction")

type syntaxError string

func syntax(format string, args ...any) error { return syntaxError(fmt.Sprintf(format, args...)) }

func (e syntaxError) Error() string { return string(e) }

// Is makes every syntaxError an ErrSyntax.
func (e syntaxError) Is(target error) bool { return target == ErrSyntax }

// apply is how each instruction changes a configuration; rest is what follows
// its name, without surrounding blanks and never empty.
var apply = map[string]func(c *container.Process, rest string) error{
	"CMD":         func(c *container.Process, rest string) error { c.Cmd = command(rest); return nil },
	"ENTRYPOINT":  func(c *container.Process, rest string) error { c.Entrypoint = command(rest); return nil },
	"ENV":         env,
	"EXPOSE":      expose,
	"HEALTHCHECK": healthcheck,
	"LABEL":       label,
	"ONBUILD":     onBuild,
	"STOPSIGNAL":  func(c *container.Process, rest string) error { c.StopSignal = rest; return nil },
	"USER":        func(c *container.Process, rest string) error { c.User = rest; return nil },
	"VOLUME":      volume,
	"WORKDIR":     workdir,
}

// Apply carries out changes on c in their order. On error c is half changed.
func Apply(c *container.Process, changes []string) error {
	for _, line := range changes {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, rest = strings.ToUpper(name), strings.TrimSpace(rest)
		f, ok := apply[name]
		switch {
		case !ok:
			return syntax("%s is not a valid change command", strings.ToLower(name))
		}
		if rest == "" {
			return syntax("dockerfile parse error line 1: %s requires at least one argument", name)
		}
		if err := f(c, rest); err != nil {
			return err
		}
	}
	return nil
}

// command reads the JSON form of a command, or wraps the shell form.
func command(rest string) []string {
	if words, ok := jsonWords(rest); ok {
		return words
	}
	return []string{"/bin/sh", "-c", rest}
}

func jsonWords(s string) ([]string, bool) {
	var words []string
	if !strings.HasPrefix(s, "[") || json.Unmarshal([]byte(s), &words) != nil {
		return nil, false
	}
	return words, true
}

func env(c *container.Process, rest string) error {
	pairs, err := pairs("ENV", rest)
	for _, p := range pairs {
		key, _, _ := strings.Cut(p, "=")
		at := slices.IndexFunc(c.Env, func(e string) bool { return strings.HasPrefix(e, key+"=") })
		if at >= 0 {
			c.Env[at] = p
		} else {
			c.Env = append(c.Env, p)
		}
	}
	return err
}

func label(c *container.Process, rest string) error {
	pairs, err := pairs("LABEL", rest)
	if c.Labels == nil {
		c.Labels = make(map[string]string)
	}
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		c.Labels[key] = value
	}
	return err
}

func expose(c *container.Process, rest string) error {
	if c.ExposedPorts == nil {
		c.ExposedPorts = make(map[string]struct{})
	}
	for _, port := range strings.Fields(rest) {
		number, protocol, given := strings.Cut(port, "/")
		if !given {
			protocol = "tcp"
		}
		first, last, _ := strings.Cut(number, "-")
		if last == "" {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || from == 0 || to < from {
			return fmt.Errorf("invalid containerPort: %s", port)
		}
		for n := from; n <= to; n++ {
			c.ExposedPorts[fmt.Sprintf("%d/%s", n, strings.ToLower(protocol))] = struct{}{}
		}
	}
	return nil
}

func volume(c *container.Process, rest string) error {
	paths, ok := jsonWords(rest)
	if !ok {
		paths = strings.Fields(rest)
	}
	if c.Volumes == nil {
		c.Volumes = make(map[string]struct{})
	}
	for _, p := range paths {
		if p == "" {
			return errors.New("VOLUME specified can not be an empty string")
		}
		c.Volumes[p] = struct{}{}
	}
	return nil
}

func workdir(c *container.Process, rest string) error {
	if !strings.HasPrefix(rest, "/") {
		rest = strings.TrimSuffix(c.WorkingDir, "/") + "/" + rest
	}
	c.WorkingDir = rest
	return nil
}

func onBuild(c *container.Process, rest string) error {
	trigger, _, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(trigger) {
	case "ONBUILD":
		return errors.New("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed") //nolint:staticcheck // docker's text
	case "FROM", "MAINTAINER":
		return fmt.Errorf("%s isn't allowed as an ONBUILD trigger", strings.ToUpper(trigger))
	}
	c.OnBuild = append(c.OnBuild, rest)
	return nil
}

// healthcheck reads [--interval=… --timeout=… …] CMD command, or NONE.
func healthcheck(c *container.Process, rest string) error {
	h := &container.Healthcheck{}
	for strings.HasPrefix(rest, "--") {
		option, after, _ := strings.Cut(rest, " ")
		rest = strings.TrimSpace(after)
		if err := healthOption(h, strings.TrimPrefix(option, "--")); err != nil {
			return err
		}
	}
	kind, after, _ := strings.Cut(rest, " ")
	after = strings.TrimSpace(after)
	switch strings.ToUpper(kind) {
	case "NONE":
		if after != "" {
			return errors.New("HEALTHCHECK NONE takes no arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		if after == "" {
			return errors.New("missing command after HEALTHCHECK CMD")
		}
		if words, ok := jsonWords(after); ok {
			h.Test = append([]string{"CMD"}, words...)
		} else {
			h.Test = []string{"CMD-SHELL", after}
		}
	default:
		return fmt.Errorf("unknown type %q in HEALTHCHECK (try CMD)", kind)
	}
	c.Healthcheck = h
	return nil
}

func healthOption(h *container.Healthcheck, option string) (err error) {
	name, value, _ := strings.Cut(option, "=")
	switch name {
	case "interval":
		h.Interval, err = time.ParseDuration(value)
	case "timeout":
		h.Timeout, err = time.ParseDuration(value)
	case "start-period":
		h.StartPeriod, err = time.ParseDuration(value)
	case "start-interval":
		h.StartInterval, err = time.ParseDuration(value)
	case "retries":
		h.Retries, err = strconv.Atoi(value)
	default:
		err = fmt.Errorf("unknown flag: %s", name)
	}
	return err
}

// pairs reads key=value words, with quotes and backslashes as in a shell, or
// the old form of one key, a blank and the value.
func pairs(instruction, rest string) ([]string, error) {
	words, err := split(rest)
	if err != nil {
		return nil, syntax("dockerfile parse error line 1: %s: %v", instruction, err)
	}
	if !strings.Contains(words[0], "=") {
		key, value, ok := strings.Cut(rest, " ")
		if !ok {
			return nil, syntax("dockerfile parse error line 1: %s must have two arguments", instruction)
		}
		return []string{key + "=" + strings.TrimSpace(value)}, nil
	}
	for _, w := range words {
		key, _, ok := strings.Cut(w, "=")
		if !ok {
			return nil, syntax("dockerfile parse error line 1: syntax error - can't find = in %q. Must be of the form: name=value", w)
		}
		if key == "" {
			return nil, fmt.Errorf("%s names can not be blank", instruction)
		}
	}
	return words, nil
}

// split breaks s at blanks outside of quotes and takes the quotes off.
func split(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			inWord = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("unexpected end of statement while looking for matching quote")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
