// Package embedded asks the translator of Kubernetes' YAML. With the build tag "embed"
// that is a program of its own (skiff/runtime/embedded); without it the front links it
// and executes itself under another name.
package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"

	"skiff/commands/kube/plan"
	"skiff/runtime/embedded"
)

// Argv0 is the name that the translator runs under.
const Argv0 = "skiff:kube"

// Translate has the question answered. What is wrong with the YAML is an error
// that names the place in it. cache is a directory to keep the program in.
func Translate(ctx context.Context, cache string, q plan.Question) (*plan.Answer, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	path, program, err := embedded.Kube(cache)
	if err != nil {
		return nil, err
	}
	if program != nil {
		defer program.Close()
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = []string{Argv0}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(question), &out, &said, []string{}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("translate: %w%s", err, &said)
	}
	var a plan.Answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return nil, fmt.Errorf("translate: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return &a, nil
}
