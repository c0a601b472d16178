package container

import (
	"maps"

	"skiff/storage/event"
)

// Emit records that something happened to the container, with docker's
// attributes: its labels, image and name, and extra, which are pairs of key and
// value. It never fails (storage/event).
func (c *Container) Emit(action string, extra ...string) {
	event.Append(c.Store.Events(), c.Event(action, extra...))
}

// Event is what Emit records.
func (c *Container) Event(action string, extra ...string) event.Event {
	return event.Event{
		Type: event.Container, Action: action, ID: c.Config.ID,
		Attributes: EventAttributes(c.Config, extra...),
	}
}

// EventAttributes are what docker tells of a container in each of its events.
func EventAttributes(cfg *Config, extra ...string) map[string]string {
	attributes := make(map[string]string, len(cfg.Config.Labels)+2+len(extra)/2)
	maps.Copy(attributes, cfg.Config.Labels)
	attributes["image"], attributes["name"] = cfg.Config.Image, cfg.Name
	for i := 0; i+1 < len(extra); i += 2 {
		attributes[extra[i]] = extra[i+1]
	}
	return attributes
}
