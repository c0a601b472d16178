package flags

import (
	"errors"
	"slices"
	"strings"
	"time"

	"skiff/commands/failure"
)

// Filters are the values of --filter by key.
type Filters map[string][]string

// ParseFilters reads key=value entries. A key that is not allowed is docker's
// "invalid filter".
func ParseFilters(values []string, allowed ...string) (Filters, error) {
	f := Filters{}
	for _, v := range values {
		key, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, &failure.Value{Flag: "filter", Value: v, Err: errors.New("bad format of filter (expected name=value)")}
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if !slices.Contains(allowed, key) {
			return nil, failure.Engine(nil, "invalid filter '%s'", key)
		}
		f[key] = append(f[key], strings.TrimSpace(value))
	}
	return f, nil
}

// Any reports whether there is no filter of that key, or test accepts one of
// its values.
func (f Filters) Any(key string, test func(value string) bool) bool {
	return len(f[key]) == 0 || slices.ContainsFunc(f[key], test)
}

// Labels reports whether labels satisfy every label filter: "key" or
// "key=value".
func (f Filters) Labels(labels map[string]string) bool {
	for _, want := range f["label"] {
		key, value, hasValue := strings.Cut(want, "=")
		if have, ok := labels[key]; !ok || hasValue && have != value {
			return false
		}
	}
	return true
}

// Spares reports whether labels fit one of the label! filters, which keep
// things from being pruned.
func (f Filters) Spares(labels map[string]string) bool {
	for _, not := range f["label!"] {
		key, value, hasValue := strings.Cut(not, "=")
		if have, ok := labels[key]; ok && (!hasValue || have == value) {
			return true
		}
	}
	return false
}

// Until returns the moment that an until filter names; what was made later is
// kept. Zero: no limit.
func (f Filters) Until(now time.Time) (time.Time, error) {
	switch len(f["until"]) {
	case 0:
		return time.Time{}, nil
	case 1:
		return ParseTime(f["until"][0], now)
	}
	return time.Time{}, failure.Engine(nil, "more than one until filter specified")
}

// FormatUsage is docker's help text of --format.
const FormatUsage = "Format output using a custom template: " +
	"'table': Print output in table format with column headers (default), " +
	"'table TEMPLATE': Print output in table format using the given Go template, " +
	"'json': Print in JSON format, " +
	"'TEMPLATE': Print output using the given Go template"

// InspectFormatUsage is docker's help text of inspect's --format.
const InspectFormatUsage = "Format output using a custom template: " +
	"'json': Print in JSON format, 'TEMPLATE': Print output using the given Go template"
