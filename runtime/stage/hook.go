package stage

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"skiff/runtime/stage/message"
)

// RunHooks runs OCI hooks of the OCI command line's own: poststart, poststop.
func RunHooks(hooks []message.Hook, st message.State, status string) error {
	return runHooks(hooks, st, status)
}

// runHooks runs OCI hooks in order, each with the container's state on its
// standard input (runtime-spec, runtime.md "Lifecycle"). The first failure ends
// it.
func runHooks(hooks []message.Hook, st message.State, status string) error {
	if len(hooks) == 0 {
		return nil
	}
	st.Status = status
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	for i := range hooks {
		if err := runHook(&hooks[i], data); err != nil {
			return fmt.Errorf("%s: %w", hooks[i].Path, err)
		}
	}
	return nil
}

func runHook(h *message.Hook, state []byte) error {
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
	p, err := os.StartProcess(h.Path, args, &os.ProcAttr{Env: env, Files: []*os.File{in, null, os.Stderr}})
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
	if !ps.Success() {
		return fmt.Errorf("%s", ps)
	}
	return nil
}
