package stage

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"skiff/runtime/stage/message"
	"skiff/storage/container/state"
	"skiff/storage/event"
)

// happened is an event of the container with docker's attributes and extra,
// which are pairs of key and value.
func (m *monitor) happened(action string, extra ...string) event.Event {
	attributes := make(map[string]string, len(m.cfg.Events.Attributes)+len(extra)/2)
	maps.Copy(attributes, m.cfg.Events.Attributes)
	attributes["name"] = m.name()
	for i := 0; i+1 < len(extra); i += 2 {
		attributes[extra[i]] = extra[i+1]
	}
	return event.Event{Type: event.Container, Action: action, ID: m.cfg.ID, Attributes: attributes}
}

// record appends events to the record that all processes share.
func (m *monitor) record(events ...event.Event) { event.Append(m.cfg.Events.Dir, events...) }

// volumeEvents tell that the container's volumes are mounted, or not any more.
func (m *monitor) volumeEvents(action string) []event.Event {
	events := make([]event.Event, 0, len(m.cfg.Events.Volumes))
	for _, v := range m.cfg.Events.Volumes {
		attributes := map[string]string{"container": m.cfg.ID, "driver": "local"}
		if action == "mount" {
			attributes["destination"], attributes["propagation"] = v.Destination, v.Propagation
			attributes["read/write"] = strconv.FormatBool(!v.ReadOnly)
		}
		events = append(events, event.Event{Type: event.Volume, Action: action, ID: v.Name, Attributes: attributes})
	}
	return events
}

// networks are those that the container is on now: others than at its start
// when it was connected or disconnected meanwhile.
func (m *monitor) networks() []message.NetworkUse {
	if m.cfg.Launch.Hub == nil {
		return m.cfg.Events.Networks
	}
	var now struct {
		Endpoints []struct{ Network, NetworkID string }
	}
	data, err := os.ReadFile(filepath.Join(m.cfg.Dir, "network.json"))
	if err != nil || json.Unmarshal(data, &now) != nil {
		return m.cfg.Events.Networks
	}
	uses := make([]message.NetworkUse, 0, len(now.Endpoints))
	for _, e := range now.Endpoints {
		uses = append(uses, message.NetworkUse{ID: e.NetworkID, Name: e.Network, Driver: "bridge"})
	}
	return uses
}

// rewire takes over what the container was connected to, or not any more, since
// its start.
func (m *monitor) rewire() {
	if m.cfg.Launch.Hub == nil {
		return
	}
	var now struct{ Request json.RawMessage }
	data, err := os.ReadFile(filepath.Join(m.cfg.Dir, "network.json"))
	if err == nil && json.Unmarshal(data, &now) == nil && len(now.Request) > 0 {
		m.cfg.Launch.Hub.Request = now.Request
	}
}

// networkEvents tell that the container is on its networks, or not any more.
func (m *monitor) networkEvents(action string) []event.Event {
	list := m.networks()
	events := make([]event.Event, 0, len(list))
	for _, n := range list {
		events = append(events, event.Event{
			Type: event.Network, Action: action, ID: n.ID,
			Attributes: map[string]string{"container": m.cfg.ID, "name": n.Name, "type": n.Driver},
		})
	}
	return events
}

// started records the start, as docker would with what comes before it.
func (m *monitor) started() {
	var events []event.Event
	if m.cfg.Attach != nil {
		events = append(events, m.happened("attach"))
	}
	events = slices.Concat(events, m.networkEvents("connect"), m.volumeEvents("mount"))
	m.record(append(events, m.happened("start"))...)
}

// nameLink is the link that claims the container's name now: it may have been
// renamed since its start.
func (m *monitor) nameLink() string {
	if owner, err := os.Readlink(m.cfg.NameLink); err == nil && owner == m.cfg.ID {
		return m.cfg.NameLink
	}
	var cfg struct{ Name string }
	data, err := os.ReadFile(filepath.Join(m.cfg.Dir, "config.json"))
	if err == nil && json.Unmarshal(data, &cfg) == nil && cfg.Name != "" && filepath.Base(cfg.Name) == cfg.Name {
		m.cfg.NameLink = filepath.Join(filepath.Dir(m.cfg.NameLink), cfg.Name)
	}
	return m.cfg.NameLink
}

// name is the container's name without docker's slash.
func (m *monitor) name() string { return filepath.Base(m.nameLink()) }

// keepShared drops from what goes with the container the volumes that another
// container has taken over (--volumes-from): their configurations name them; and
// those that somebody has named since (volume.Keep).
func (m *monitor) keepShared() {
	if len(m.cfg.Trash) == 0 {
		return
	}
	m.cfg.Trash = slices.DeleteFunc(m.cfg.Trash, state.NamedVolume)
	all := filepath.Dir(m.cfg.Dir)
	entries, _ := os.ReadDir(all)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(all, e.Name(), "config.json"))
		if err != nil || e.Name() == m.cfg.ID {
			continue
		}
		m.cfg.Trash = slices.DeleteFunc(m.cfg.Trash, func(dir string) bool {
			return bytes.Contains(data, []byte(filepath.Base(dir)))
		})
	}
}

// removed are the events of a container that vanished with its volumes.
func (m *monitor) removed() []event.Event {
	attributes := maps.Clone(m.cfg.Events.Attributes)
	if attributes != nil {
		attributes["name"] = filepath.Base(m.cfg.NameLink) // as remove last saw it
	}
	events := make([]event.Event, 0, len(m.cfg.Trash)+1)
	for _, dir := range m.cfg.Trash {
		events = append(events, event.Event{
			Type: event.Volume, Action: "destroy", ID: filepath.Base(dir), Attributes: map[string]string{"driver": "local"},
		})
	}
	return append(events, event.Event{
		Type: event.Container, Action: "destroy", ID: m.cfg.ID, Attributes: attributes,
	})
}
