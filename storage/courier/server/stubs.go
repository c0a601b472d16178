package server

import (
	"context"
	"errors"
	"io"
	"skiff/storage/courier/message"
)

func (s *session) load(ctx context.Context, in io.Reader, w *message.Load) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
func (s *session) importTar(ctx context.Context, in io.Reader, w *message.Import) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
func (s *session) tag(ctx context.Context, w *message.Tag) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
func (s *session) remove(ctx context.Context, w *message.Remove) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
func (s *session) loadHello(ctx context.Context) (message.Result, error) {
	return message.Result{}, errors.New("todo")
}
