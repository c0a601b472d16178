// Package embedded asks the translator of Kubernetes' YAML. With the build tag "embed"
// that is a program of its own (skiff/runtime/embedded); without it the front links it
// and executes itself under another name.
package embedded

import (
	"context"
	"errors"

	"skiff/commands/kube/plan"
	"skiff/runtime/yaml"
)

// Translate has the question answered. What is wrong with the YAML is an error
// that names the place in it. cache is a directory to keep the program in.
func Translate(ctx context.Context, cache string, q plan.Question) (*plan.Answer, error) {
	var a plan.Answer
	if err := yaml.Ask(ctx, cache, plan.Subject, q, &a); err != nil {
		return nil, err
	}
	if a.Error != "" {
		return nil, errors.New(a.Error)
	}
	return &a, nil
}
