//go:build containers_image_openpgp

package server

import (
	"context"
	"errors"
	"os"

	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
)

// allowed checks the image against the user's or the machine's policy.json
// (containers-policy.json(5)). Without either file everything is allowed, as
// docker does.
func allowed(ctx context.Context, system *types.SystemContext, img types.UnparsedImage) (err error) {
	policy, err := signature.DefaultPolicy(system)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	policies, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, policies.Destroy()) }()
	_, err = policies.IsRunningImageAllowed(ctx, img)
	return err
}
