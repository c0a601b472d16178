package flags

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"skiff/commands/failure"
)

// Lookup tells the caller's environment variables.
type Lookup func(name string) (value string, ok bool)

// Environ makes a Lookup of KEY=value entries.
func Environ(entries []string) Lookup {
	return func(name string) (string, bool) {
		for _, e := range entries {
			if k, v, ok := strings.Cut(e, "="); ok && k == name {
				return v, true
			}
		}
		return "", false
	}
}

// Environment returns the variables of --env-file and -e, in this order, a
// later one in place of an earlier. A name without a value copies the caller's
// and is dropped when the caller has none.
func Environment(files, values []string, caller Lookup) ([]string, error) {
	var env []string
	for _, path := range files {
		entries, err := readPairFile(path, caller)
		if err != nil {
			return nil, err
		}
		env = Merge(env, entries)
	}
	for _, v := range values {
		name, _, hasValue := strings.Cut(v, "=")
		if name == "" {
			return nil, &failure.Value{Flag: "env", Value: v, Err: fmt.Errorf("invalid environment variable: %s", v)}
		}
		if strings.ContainsRune(v, 0) {
			return nil, fmt.Errorf("invalid environment variable: %q contains a NUL byte", name)
		}
		if !hasValue {
			value, ok := caller(name)
			if !ok {
				continue
			}
			v = name + "=" + value
		}
		env = Merge(env, []string{v})
	}
	return env, nil
}

// Merge returns base with the entries of over: one of the same name replaces
// it in its place, others follow.
func Merge(base, over []string) []string {
	merged := append([]string(nil), base...)
	at := make(map[string]int, len(base)+len(over))
	for i, b := range merged {
		name, _, _ := strings.Cut(b, "=")
		if _, twice := at[name]; !twice {
			at[name] = i
		}
	}
	for _, o := range over {
		name, _, _ := strings.Cut(o, "=")
		if i, there := at[name]; there {
			merged[i] = o
			continue
		}
		at[name] = len(merged)
		merged = append(merged, o)
	}
	return merged
}

// Labels returns the labels of --label-file and -l; one without a value is
// empty.
func Labels(files, values []string) (map[string]string, error) {
	var all []string
	for _, path := range files {
		entries, err := readPairFile(path, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, entries...)
	}
	labels := make(map[string]string, len(all)+len(values))
	for _, l := range append(all, values...) {
		name, value, _ := strings.Cut(l, "=")
		if name == "" {
			return nil, fmt.Errorf("invalid label '%s': empty name", l)
		}
		labels[name] = value
	}
	return labels, nil
}

func readPairFile(path string, caller Lookup) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	pairs, err := readPairs(f, caller)
	if err != nil {
		return nil, fmt.Errorf("invalid env file (%s): %w", path, err)
	}
	return pairs, nil
}

// maxPairs is how many bytes of a file are read: far above what execve(2) takes,
// and an end to what a pipe without one would bring.
const maxPairs = 16 << 20

// readPairs reads lines of name=value: no quoting, no continuation, # only at
// the start of a line, the value as it stands. A name alone takes the caller's
// value, or stays alone where there is no Lookup.
func readPairs(r io.Reader, caller Lookup) ([]string, error) {
	var pairs []string
	limited := &io.LimitedReader{R: r, N: maxPairs + 1}
	scanner := bufio.NewScanner(limited)
	for n := 1; scanner.Scan(); n++ {
		text := scanner.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if !utf8.ValidString(text) {
			return nil, fmt.Errorf("invalid utf8 bytes at line %d: %q", n, text)
		}
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" || text[0] == '#' {
			continue
		}
		name, _, hasValue := strings.Cut(text, "=")
		if strings.ContainsFunc(name, unicode.IsSpace) && (hasValue || caller != nil) {
			return nil, fmt.Errorf("variable '%s' contains whitespaces", name)
		}
		if name == "" {
			return nil, fmt.Errorf("no variable name on line '%s'", text)
		}
		if strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("NUL byte at line %d", n)
		}
		if !hasValue && caller != nil {
			value, ok := caller(name)
			if !ok {
				continue
			}
			text = name + "=" + value
		}
		pairs = append(pairs, text)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("more than %d MiB", maxPairs>>20)
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return nil, errors.New("a line is longer than 64 KiB")
		}
		return nil, err
	}
	return pairs, nil
}
