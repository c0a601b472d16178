package server

import (
	"context"
	"errors"
	"io"
	"skiff/storage/courier/message"
)

func (s *session) importTar(ctx context.Context, in io.Reader, w *message.Import) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
func (s *session) loadHello(ctx context.Context) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
