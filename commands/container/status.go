package container

import (
	"fmt"
	"time"

	"skiff/commands/format"
	"skiff/storage/container"
)

// statusText is docker's STATUS column.
func statusText(s container.Status, now time.Time) string {
	r := s.Recorded
	switch s.State {
	case "running", "paused":
		text := "Up " + format.Duration(now.Sub(r.StartedAt))
		if s.State == "paused" {
			text += " (Paused)"
		}
		return text
	case "restarting":
		return fmt.Sprintf("Restarting (%d) %s", r.ExitCode, format.Ago(now, r.FinishedAt))
	case "exited":
		return fmt.Sprintf("Exited (%d) %s", r.ExitCode, format.Ago(now, r.FinishedAt))
	case "removing":
		return "Removal In Progress"
	case "dead":
		return "Dead"
	}
	return "Created"
}

// statusOf is what the container is doing now.
func statusOf(c *container.Container) (container.Status, error) {
	holder, err := c.Holder()
	if err != nil {
		return container.Status{}, err
	}
	recorded, err := c.State()
	if err != nil {
		return container.Status{}, err
	}
	s := container.Status{State: "created", Recorded: recorded}
	switch {
	case holder != 0 && recorded.Pid != 0 && recorded.Paused:
		s.State, s.Pid = "paused", recorded.Pid
	case holder != 0 && recorded.Pid != 0:
		s.State, s.Pid = "running", recorded.Pid
	case !recorded.FinishedAt.IsZero():
		s.State = "exited"
	}
	return s, nil
}
