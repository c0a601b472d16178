package container

import (
	"fmt"
	"time"

	"skiff/commands/format"
	"skiff/storage/container"
	"skiff/storage/container/state"
)

// healthText is docker's word for a container's health.
func healthText(s container.Status) string {
	if s.Health == nil {
		return "none"
	}
	return s.Health.Status
}

// readyText is what is known of a container's readiness.
func readyText(s container.Status) string {
	switch {
	case s.Readiness == nil:
		return "none"
	case s.Readiness.Ready:
		return "ready"
	}
	return "not ready"
}

// statusText is docker's STATUS column. Of readiness, which docker does not know, it
// tells only where it is missing or nothing else is known: scripts look for
// "(healthy)".
func statusText(s container.Status, now time.Time) string {
	r := s.Recorded
	switch s.State {
	case "running", "paused":
		text := "Up " + format.Duration(now.Sub(r.StartedAt))
		switch {
		case s.State == "paused":
			text += " (Paused)"
		case s.Health != nil && s.Health.Status == state.Starting:
			text += " (health: starting)"
		case s.Health != nil && s.Health.Status == state.Healthy && readyText(s) == "not ready":
			text += " (healthy, not ready)"
		case s.Health != nil:
			text += " (" + s.Health.Status + ")"
		case s.Readiness != nil:
			text += " (" + readyText(s) + ")"
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
