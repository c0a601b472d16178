// Package embedded is how the front program carries the parser of Dockerfiles.
// With the build tag "embed" the parser's binary is part of the front and is
// executed from a sealed memfd; without it the front links the parser and
// executes itself under another name, which makes every start of it slower.
package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"skiff/build/dockerfile"
)

// Argv0 is the name that the parser runs under.
const Argv0 = "skiff:dockerfile"

// Parse has the text read by the parser. What is wrong with the text is a
// *dockerfile.Error.
func Parse(ctx context.Context, q dockerfile.Question) (*dockerfile.File, error) {
	question, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	cmd, program, err := command(ctx)
	if err != nil {
		return nil, err
	}
	if program != nil {
		defer program.Close()
	}
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(question), &out, &said, []string{}
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("parse Dockerfile: %w: %s", err, strings.TrimSpace(said.String()))
	}
	var a dockerfile.Answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return nil, fmt.Errorf("parse Dockerfile: %w", err)
	}
	switch {
	case a.Error != nil:
		return nil, a.Error
	case a.File == nil:
		return nil, errors.New("parse Dockerfile: the parser gave no answer")
	}
	return a.File, nil
}
