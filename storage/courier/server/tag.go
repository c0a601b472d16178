package server

import (
	"context"
	"fmt"

	"skiff/storage/courier/message"
)

// tag gives an image another name, taking it from the image that had it.
func (s *session) tag(ctx context.Context, want *message.Tag) (message.Result, error) {
	// Killed while it writes the table, it leaves a part of the next one.
	if err := s.beginRecording(ctx); err != nil {
		return message.Result{}, err
	}
	platforms := want.Platforms
	if want.From != "" {
		r, err := s.imageRecord(want.ID)
		if err != nil {
			return message.Result{}, err
		}
		if r != nil {
			platforms = r.standsFor(want.From)
		}
	}
	if err := s.moveNames(want.ID, []string{want.Reference}, platforms); err != nil {
		return message.Result{}, err
	}
	if err := s.syncRecords(); err != nil {
		return message.Result{}, err
	}
	return message.Result{ID: want.ID}, nil
}

func noSuchImage(id string) error {
	return message.Fail(message.ErrNotFound, fmt.Sprintf("No such image: sha256:%s", id))
}
