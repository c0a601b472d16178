package commands

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"skiff/commands/failure"
	"skiff/runtime/lifecycle"
)

type curable struct{}

func (curable) Error() string { return "no cure" }
func (curable) Hint() string  { return "take this" }

func TestExit(t *testing.T) {
	notFound := &lifecycle.StartError{Code: 127, Err: errors.New(`exec: "x": executable file not found in $PATH`)}
	cases := []struct {
		name          string
		err           error
		code          int
		skiff, docker string
	}{
		{"nothing", nil, 0, "", ""},
		{"a process's code", fmt.Errorf("x: %w", failure.Status(42)), 42, "", ""},
		{"the engine", errors.New("boom"), 1, "Error: boom\n", "Error response from daemon: boom\n"},
		{"the client", failure.Local("the input device is not a TTY"), 1, "Error: the input device is not a TTY\n", "the input device is not a TTY\n"},
		{"a code of its own", &failure.Error{Text: "bad", Code: 64, Local: true}, 64, "Error: bad\n", "bad\n"},
		{
			"the set-up of run", &failure.Setup{Command: "run", Err: errors.New("No such image: x")}, 125, "Error: No such image: x\n",
			"docker: Error response from daemon: No such image: x\n\nRun 'docker run --help' for more information\n",
		},
		{
			"a command that is missing", &failure.Setup{Command: "run", Code: 127, Err: notFound}, 127, "Error: " + notFound.Error() + "\n",
			"docker: Error response from daemon: failed to create task for container: failed to create shim task: OCI runtime create failed: " +
				"runc create failed: unable to start container process: error during container init: " + notFound.Error() +
				": unknown\n\nRun 'docker run --help' for more information\n",
		},
		{
			"a start within words", &failure.Error{Text: "Cannot restart container x: " + notFound.Error(), Code: 1, Cause: notFound}, 1,
			"Error: Cannot restart container x: " + notFound.Error() + "\n",
			"Error response from daemon: Cannot restart container x: failed to create task for container: failed to create shim task: OCI runtime " +
				"create failed: runc create failed: unable to start container process: error during container init: " + notFound.Error() + ": unknown\n",
		},
		{
			"the options of run", &failure.Setup{Command: "run", Local: true, Err: errors.New("conflicting options")}, 125, "Error: conflicting options\n",
			"docker: conflicting options\n\nRun 'docker run --help' for more information\n",
		},
		{"several", failure.Several{errors.New("a"), errors.New("b")}, 1, "Error: a\nError: b\n", "Error response from daemon: a\nError response from daemon: b\n"},
		{"a cure", fmt.Errorf("x: %w", curable{}), 1, "Error: x: no cure\nhint: take this\n", "Error response from daemon: x: no cure\n"},
		{"control characters", errors.New("a\x1b[2J\nb"), 1, "Error: a\\x1b[2J\nb\n", "Error response from daemon: a\\x1b[2J\nb\n"},
	}
	for _, c := range cases {
		for program, want := range map[string]string{"skiff": c.skiff, "docker": c.docker} {
			e, _, errOut := testEnv()
			e.Program = program
			if code := exit(t.Context(), e, nil, c.err); code != c.code || errOut.String() != want {
				t.Errorf("%s as %s: code %d, want %d; got %q, want %q", c.name, program, code, c.code, errOut, want)
			}
		}
	}
}

func TestExit_OfASignal(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(Interrupted{syscall.SIGTERM})
	e, _, errOut := testEnv()
	if code := exit(ctx, e, nil, fmt.Errorf("pull: %w", ctx.Err())); code != 143 || errOut.Len() != 0 {
		t.Errorf("code %d, %q", code, errOut)
	}
}
