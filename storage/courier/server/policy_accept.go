//go:build !containers_image_openpgp

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containers/image/v5/types"
)

// allowed is the policy check of a build without signature verification, which
// needs a build tag or a C library: it knows a policy that accepts everything
// and refuses under any other.
func allowed(_ context.Context, _ *types.SystemContext, _ types.UnparsedImage) error {
	home, err := os.UserHomeDir()
	if err != nil {
		home = "/root"
	}
	for _, path := range []string{filepath.Join(home, ".config/containers/policy.json"), "/etc/containers/policy.json"} {
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !acceptsAnything(data) {
			return fmt.Errorf("%s asks for signatures, which this build cannot verify: build with the tag containers_image_openpgp", path)
		}
		return nil
	}
	return nil
}

// acceptsAnything reports whether each requirement of the policy is
// insecureAcceptAnything.
func acceptsAnything(data []byte) bool {
	type requirements []struct {
		Type string `json:"type"`
	}
	var policy struct {
		Default    requirements                       `json:"default"`
		Transports map[string]map[string]requirements `json:"transports"`
	}
	if json.Unmarshal(data, &policy) != nil || len(policy.Default) == 0 {
		return false
	}
	all := policy.Default
	for _, of := range policy.Transports["docker"] {
		all = append(all, of...)
	}
	for _, r := range all {
		if r.Type != "insecureAcceptAnything" {
			return false
		}
	}
	return true
}
