package stage

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// RunHooks runs OCI hooks of the OCI command line's own: poststart, poststop.
func RunHooks(hooks []message.Hook, st message.State, status string) error {
	return runHooks(hooks, st, status, true)
}

// runHooks runs OCI hooks in order, each with the container's state on its
// standard input (runtime-spec, runtime.md "Lifecycle"). The first failure ends
// it. What they say on their standard error is shown on ours, if that leads anywhere
// and is not the container's; else a failure's is part of the error.
func runHooks(hooks []message.Hook, st message.State, status string, show bool) error {
	if len(hooks) == 0 {
		return nil
	}
	st.Status = status
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	for i := range hooks {
		if err := runHook(&hooks[i], data, show && !isNull(os.Stderr)); err != nil {
			return fmt.Errorf("%s: %w", hooks[i].Path, err)
		}
	}
	return nil
}

func runHook(h *message.Hook, state []byte, show bool) error {
	said, err := newWords()
	if err != nil {
		return err
	}
	defer said.Close()
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	env := h.Env
	if env == nil {
		env = []string{} // not ours, which is no user's
	}
	null, err := openNull()
	if err != nil {
		out.Close()
		return err
	}
	defer null.Close()
	stderr := said
	if show {
		stderr = os.Stderr
	}
	p, err := os.StartProcess(h.Path, args, &os.ProcAttr{Env: env, Files: []*os.File{in, null, stderr}})
	if err != nil {
		out.Close()
		return err
	}
	if h.Timeout > 0 {
		timer := time.AfterFunc(time.Duration(h.Timeout)*time.Second, func() { _ = p.Kill() })
		defer timer.Stop()
	}
	// A hook that does not read its input is no failure.
	_, _ = out.Write(state)
	out.Close()
	ps, err := p.Wait()
	if err != nil {
		return err
	}
	switch text := words(said); {
	case ps.Success():
		return nil
	case text != "":
		return fmt.Errorf("%s: %s", ps, text)
	}
	return fmt.Errorf("%s", ps)
}

// isNull reports whether what is written to f is lost.
func isNull(f *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &st)
	return err != nil || st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
}
