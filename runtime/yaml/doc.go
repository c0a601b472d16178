// Package yaml asks the program that reads YAML, Kubernetes' (commands/kube/translate)
// and that of the Container Device Interface (runtime/cdi/registry): few commands want
// it, and its decoders would make every start slower. See runtime/embedded for where it
// is.
package yaml

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	"skiff/runtime/embedded"
)

// Argv0 is the name that the program runs under. Its first argument says what it is
// asked about.
const Argv0 = "skiff:kube"

// Ask has the question about subject answered into answer; both are JSON. cache is a
// directory to keep the program in.
func Ask(ctx context.Context, cache, subject string, question, answer any) error {
	text, err := json.Marshal(question)
	if err != nil {
		return err
	}
	path, program, err := embedded.Kube(cache)
	if err != nil {
		return err
	}
	if program != nil {
		defer program.Close()
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = []string{Argv0, subject}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(text), &out, &said, []string{}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w%s", subject, err, &said)
	}
	if err := json.Unmarshal(out.Bytes(), answer); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return nil
}
