package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"

	"skiff/runtime/embedded"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/container/hook"
)

// Probe asks a running container over its network, as its monitor does in its turn.
// The session's exit code is 0 where h succeeds; what it says is why, or why not.
func Probe(_ context.Context, c *container.Container, h *hook.Handler) (Session, error) {
	question, err := json.Marshal(&hook.Call{Handler: *h, Names: namesOf(c)})
	if err != nil {
		return nil, err
	}
	program, err := embedded.Prober(c.Store.Cache())
	if err != nil {
		return nil, err
	}
	defer program.Close()
	s := &execStream{done: make(chan struct{})}
	if s.monitor, err = dial(c); err != nil {
		return nil, err
	}
	if err := s.ask(int(program.Fd()), question); err != nil {
		s.release()
		return nil, fmt.Errorf("probe: %w", err)
	}
	return s, nil
}

// ask has the monitor start the program that asks. Our end of its socket stays open
// for as long as we are there: the program ends with that.
func (s *execStream) ask(program int, question []byte) error {
	ours, theirs, err := message.Pair()
	if err != nil {
		return err
	}
	s.control = &ours
	defer theirs.Close()
	files, err := s.pipes(&ExecOptions{})
	if err != nil {
		return err
	}
	fds := []int{program}
	for _, f := range files {
		defer f.Close()
		fds = append(fds, int(f.Fd()))
	}
	spawn := message.Spawn{Args: []string{message.Prober}, NetOnly: true}
	if err := s.monitor.SendJSON(message.ExecWanted, spawn, append(fds, theirs.FD)...); err != nil {
		return err
	}
	if _, err := s.monitor.Expect(message.Started, nil); err != nil {
		return err
	}
	return ours.Send(message.ProbeWanted, question)
}
