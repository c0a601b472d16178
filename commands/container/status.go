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
