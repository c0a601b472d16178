package message

import "errors"

// What a failure is about; errors.Is finds them through a Failure that crossed
// the pipe.
var (
	// ErrNotFound: the registry or the store does not have it.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the registry refuses this user.
	ErrDenied = errors.New("access denied")
	// ErrUnreachable: no registry answered.
	ErrUnreachable = errors.New("registry unreachable")
	// ErrNoPlatform: the image exists, but not for the wanted platform.
	ErrNoPlatform = errors.New("no image for the platform")
	// ErrInUse: a container or another name still needs the image.
	ErrInUse = errors.New("image in use")
	// ErrInvalid: the archive, manifest or layer is not what it claims to be.
	ErrInvalid = errors.New("invalid image")
	// ErrCanceled: the front or a signal ended the work.
	ErrCanceled = errors.New("canceled")
	// ErrNoOverlay: neither the kernel nor fuse-overlayfs can hold the store.
	ErrNoOverlay = errors.New("no overlay file system")
)

// sentinels gives each cause the name that travels in Failure.Cause.
var sentinels = [...]struct {
	name string
	err  error
}{
	{"not-found", ErrNotFound},
	{"denied", ErrDenied},
	{"unreachable", ErrUnreachable},
	{"no-platform", ErrNoPlatform},
	{"in-use", ErrInUse},
	{"invalid", ErrInvalid},
	{"canceled", ErrCanceled},
	{"no-overlay", ErrNoOverlay},
}

// Failure is an error that crosses the pipe. Its text is docker's where docker
// has one.
type Failure struct {
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
	Cause  string `json:"cause,omitempty"`
}

// Fail returns a failure with docker's text that errors.Is recognises as cause.
func Fail(cause error, text string) *Failure {
	return &Failure{Text: text, Cause: nameOf(cause)}
}

// FailureOf turns any error into one that can cross the pipe.
func FailureOf(err error) *Failure {
	f := &Failure{Text: err.Error()}
	if inner, ok := errors.AsType[*Failure](err); ok {
		f.Cause, f.Advice = inner.Cause, inner.Advice
		return f
	}
	f.Cause = nameOf(err)
	var cure interface{ Hint() string }
	if errors.As(err, &cure) {
		f.Advice = cure.Hint()
	}
	return f
}

func nameOf(err error) string {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.name
		}
	}
	return ""
}

// Error returns the text.
func (f *Failure) Error() string { return f.Text }

// Hint returns what the user can do about it, or "".
func (f *Failure) Hint() string { return f.Advice }

// Is reports whether target is the sentinel of f's cause.
func (f *Failure) Is(target error) bool {
	for _, s := range sentinels {
		if s.err == target {
			return f.Cause == s.name
		}
	}
	return false
}
