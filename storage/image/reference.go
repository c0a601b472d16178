package image

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidReference says that a string cannot be an image's name. The error
// that carries it has docker's words.
var ErrInvalidReference = errors.New("invalid reference format")

const (
	// DefaultTag is meant when a name has neither tag nor digest.
	DefaultTag = "latest"

	defaultDomain  = "docker.io"
	legacyDomain   = "index.docker.io"
	officialPrefix = "library/"
	maxPathLength  = 255 // characters of a repository's path
	maxTagLength   = 128
)

// Reference is a parsed name of an image in its normalized form:
// docker.io/library/alpine:3.20. The grammar is that of
// https://pkg.go.dev/github.com/distribution/reference, which the tests use as
// their judge; linking it would cost every command a millisecond of regular
// expressions.
type Reference struct {
	Domain string // docker.io; empty only for odd names like a_b.c/d
	Path   string // library/alpine
	Tag    string // 3.20; may be empty
	Digest string // sha256:<hex>; may be empty
}

// ParseReference reads a name as docker's users write it. It adds no tag; see
// WithDefaultTag. Errors are ErrInvalidReference.
func ParseReference(s string) (Reference, error) {
	if isHex(s, 64) {
		return Reference{}, invalid("invalid repository name (%s), cannot specify 64-byte hexadecimal strings", s)
	}
	domain, remainder := splitDomain(s)
	remote, _, _ := strings.Cut(remainder, ":")
	if strings.ToLower(remote) != remote {
		return Reference{}, invalid("invalid reference format: repository name (%s) must be lowercase", remote)
	}
	r, ok := matchReference(domain + "/" + remainder)
	if !ok {
		if _, ok := matchReference(strings.ToLower(domain + "/" + remainder)); ok {
			return Reference{}, invalid("repository name must be lowercase")
		}
		return Reference{}, ErrInvalidReference
	}
	if len(r.Path) > maxPathLength {
		return Reference{}, invalid("repository name must not be more than %d characters", maxPathLength)
	}
	if r.Digest != "" {
		if err := checkDigest(r.Digest); err != nil {
			return Reference{}, err
		}
	}
	return r, nil
}

// Name returns the reference without tag and digest.
func (r Reference) Name() string {
	if r.Domain == "" {
		return r.Path
	}
	return r.Domain + "/" + r.Path
}

// String returns the normalized form.
func (r Reference) String() string { return r.Name() + r.suffix() }

// FamiliarName returns the name as docker shows it: without docker.io/library/.
func (r Reference) FamiliarName() string {
	if r.Domain != defaultDomain {
		return r.Name()
	}
	if official, ok := strings.CutPrefix(r.Path, officialPrefix); ok && !strings.Contains(official, "/") {
		return official
	}
	return r.Path
}

// Familiar returns the reference as docker shows it.
func (r Reference) Familiar() string { return r.FamiliarName() + r.suffix() }

// WithDefaultTag returns the reference with the tag latest, if it had neither
// tag nor digest.
func (r Reference) WithDefaultTag() Reference {
	if r.Tag == "" && r.Digest == "" {
		r.Tag = DefaultTag
	}
	return r
}

func (r Reference) suffix() string {
	s := ""
	if r.Tag != "" {
		s = ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// Familiar returns the short form of a normalized reference, and s itself if it
// is none.
func Familiar(s string) string {
	r, err := ParseReference(s)
	if err != nil {
		return s
	}
	return r.Familiar()
}

// referenceError has docker's words for what is wrong with a name.
type referenceError string

func invalid(format string, args ...any) error { return referenceError(fmt.Sprintf(format, args...)) }

func (e referenceError) Error() string { return string(e) }

// Is makes every referenceError an ErrInvalidReference.
func (e referenceError) Is(target error) bool { return target == ErrInvalidReference }

// splitDomain takes the registry off a name, as docker guesses it.
func splitDomain(name string) (domain, remainder string) {
	first, rest, ok := strings.Cut(name, "/")
	switch {
	case !ok:
		return defaultDomain, officialPrefix + name
	case first == legacyDomain:
		domain, remainder = defaultDomain, rest
	case first == "localhost", strings.ContainsAny(first, ".:"), strings.ToLower(first) != first:
		domain, remainder = first, rest
	default:
		domain, remainder = defaultDomain, name
	}
	if domain == defaultDomain && !strings.Contains(remainder, "/") {
		remainder = officialPrefix + remainder
	}
	return domain, remainder
}

// matchReference reads [domain/]path[:tag][@digest].
func matchReference(s string) (Reference, bool) {
	var r Reference
	name, digest, digested := strings.Cut(s, "@")
	if digested && !isDigest(digest) {
		return r, false
	}
	r.Digest = digest
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, r.Tag = name[:colon], name[colon+1:]
		if !isTag(r.Tag) {
			return r, false
		}
	}
	if domain, path, ok := strings.Cut(name, "/"); ok && isDomain(domain) && isPath(path) {
		r.Domain, r.Path = domain, path
		return r, true
	}
	r.Path = name
	return r, isPath(name)
}

// isDomain matches host[:port].
func isDomain(s string) bool {
	host := s
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 && !strings.HasSuffix(s, "]") {
		port := s[colon+1:]
		if port == "" || strings.Trim(port, "0123456789") != "" {
			return false
		}
		host = s[:colon]
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:") == ""
	}
	for label := range strings.SplitSeq(host, ".") {
		if !isDomainLabel(label) {
			return false
		}
	}
	return true
}

func isDomainLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func isPath(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !isPathComponent(component) {
			return false
		}
	}
	return true
}

// isPathComponent matches [a-z0-9]+ with a separator between any two: a dot,
// one or two underscores, or dashes.
func isPathComponent(s string) bool {
	isWord := func(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }
	if s == "" || !isWord(s[0]) || !isWord(s[len(s)-1]) {
		return false
	}
	for i := 0; i < len(s); {
		if isWord(s[i]) {
			i++
			continue
		}
		end := i
		for end < len(s) && !isWord(s[end]) {
			end++
		}
		if separator := s[i:end]; separator != "." && separator != "_" && separator != "__" && strings.Trim(separator, "-") != "" {
			return false
		}
		i = end
	}
	return true
}

// isTag matches [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}.
func isTag(s string) bool {
	if s == "" || len(s) > maxTagLength || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.ContainsRune("_.-", rune(s[i])) {
			return false
		}
	}
	return true
}

// isDigest matches what looks like algorithm:hex; checkDigest is stricter.
func isDigest(s string) bool {
	algorithm, encoded, ok := strings.Cut(s, ":")
	if !ok || len(encoded) < 32 || strings.Trim(encoded, "0123456789abcdefABCDEF") != "" {
		return false
	}
	start := true
	for i := range len(algorithm) {
		c := algorithm[i]
		switch {
		case start && (!isAlphanumeric(c) || '0' <= c && c <= '9'):
			return false
		case isAlphanumeric(c):
			start = false
		case strings.ContainsRune("-_+.", rune(c)):
			start = true
		default:
			return false
		}
	}
	return !start
}

// checkDigest accepts a digest that an image of ours may have: sha256.
func checkDigest(s string) error {
	algorithm, encoded, _ := strings.Cut(s, ":")
	switch {
	case strings.ToLower(algorithm) != algorithm:
		return invalid("invalid checksum digest format")
	case algorithm != "sha256":
		return invalid("unsupported digest algorithm")
	case len(encoded) != 64:
		return invalid("invalid checksum digest length")
	case !isHex(encoded, 64):
		return invalid("invalid checksum digest format")
	}
	return nil
}

// isHex reports whether s is length lower-case hex digits.
func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
