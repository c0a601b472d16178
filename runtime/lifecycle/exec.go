package lifecycle

import (
	"context"

	"skiff/storage/container"
)

// Exec starts another process in a running container.
func Exec(ctx context.Context, c *container.Container, o ExecOptions) (Session, error) {
	return nil, notRunning(c)
}
