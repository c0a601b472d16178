package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage/event"
	"skiff/storage/image"
)

type eventsOptions struct {
	Since, Until time.Time // zero: not given
	Filters      flags.Filters
	Format       string
}

// EventsCommand prints what happened, and what happens.
func EventsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "events",
		Usage:     "Get real time events from the server",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			flags.TypedList(&cli.StringSliceFlag{Name: "filter", Aliases: []string{"f"}, Usage: "Filter output based on conditions provided"}, "filter"),
			&cli.StringFlag{Name: "format", Usage: flags.InspectFormatUsage},
			&cli.StringFlag{Name: "since", Usage: "Show all events created since timestamp"},
			&cli.StringFlag{Name: "until", Usage: "Stream events until this timestamp"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			o, err := parseEvents(c, e.Clock())
			if err != nil {
				return err
			}
			return runEvents(c.Context, e, o)
		},
	}
}

// eventFilters are docker's keys; those of what we do not have match nothing.
var eventFilters = []string{
	"config", "container", "daemon", "event", "image", "label", "network", "node",
	"plugin", "scope", "secret", "service", "type", "volume",
}

func parseEvents(c *cli.Context, now time.Time) (o eventsOptions, err error) {
	o.Format = c.String("format")
	if o.Filters, err = flags.ParseFilters(c.StringSlice("filter"), eventFilters...); err != nil {
		return o, err
	}
	if o.Since, err = flags.ParseTime(c.String("since"), now); err != nil {
		return o, failure.Local("%v", err)
	}
	if o.Until, err = flags.ParseTime(c.String("until"), now); err != nil {
		return o, failure.Local("%v", err)
	}
	if !o.Since.IsZero() && !o.Until.IsZero() && o.Since.After(o.Until) {
		return o, failure.Engine(nil, "`since` time (%d) cannot be after `until` time (%d)",
			o.Since.Unix(), o.Until.Unix())
	}
	return o, nil
}

func runEvents(ctx context.Context, e *env.Env, o eventsOptions) error {
	show, err := eventPrinter(e.Out, o.Format, e.Clock().Location())
	if err != nil {
		return err
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	since := o.Since
	if since.IsZero() && o.Until.IsZero() {
		since = e.Clock() // what happens from now on
	}
	var printed error
	yield := func(ev event.Event) bool {
		if ev.Time.Before(since) || !o.Until.IsZero() && ev.Time.After(o.Until) || !matchesEvent(o.Filters, &ev) {
			return true
		}
		printed = show(&ev)
		return printed == nil
	}
	if !o.Until.IsZero() && !o.Until.After(e.Clock()) {
		err = event.Read(st.Events(), yield)
	} else {
		err = event.Follow(ctx, st.Events(), o.Until, yield)
	}
	if err == nil {
		err = printed
	}
	if err == nil {
		err = ctx.Err()
	}
	return err
}

// eventTime is the layout of docker's time stamps: all nine digits.
const eventTime = "2006-01-02T15:04:05.000000000Z07:00"

// eventPrinter returns what prints one event in the user's format.
func eventPrinter(w io.Writer, layout string, zone *time.Location) (func(*event.Event) error, error) {
	if layout == "" {
		return func(e *event.Event) error {
			text := e.Time.In(zone).Format(eventTime) + " " + e.Type + " " + e.Action + " " + e.ID
			if len(e.Attributes) > 0 {
				var pairs []string
				for _, k := range slices.Sorted(maps.Keys(e.Attributes)) {
					pairs = append(pairs, k+"="+e.Attributes[k])
				}
				text += " (" + strings.Join(pairs, ", ") + ")"
			}
			_, err := fmt.Fprintln(w, format.Escape(text))
			return err
		}, nil
	}
	if layout == "json" {
		layout = "{{json .}}"
	}
	t, err := format.Parse(layout)
	if err != nil {
		return nil, &failure.Error{Text: "Error parsing format: " + errors.Unwrap(err).Error(), Code: 64, Local: true, Cause: err}
	}
	t.Option("missingkey=default") // not every event has every attribute
	return func(e *event.Event) error { return format.Execute(w, t, documentOf(e)) }, nil
}

// eventDocument is docker's document of an event (api/types/events.Message),
// the old names included.
type eventDocument struct {
	Status   string     `json:"status,omitempty"`
	ID       string     `json:"id,omitempty"`
	From     string     `json:"from,omitempty"`
	Type     string     `json:"Type"`
	Action   string     `json:"Action"`
	Actor    eventActor `json:"Actor"`
	Scope    string     `json:"scope"`
	Time     int64      `json:"time"`     // seconds since 1970
	TimeNano int64      `json:"timeNano"` // nanoseconds since 1970
}

type eventActor struct {
	ID         string            `json:"ID"`
	Attributes map[string]string `json:"Attributes"`
}

func documentOf(e *event.Event) eventDocument {
	d := eventDocument{
		Type: e.Type, Action: e.Action, Actor: eventActor{e.ID, e.Attributes},
		Scope: "local", Time: e.Time.Unix(), TimeNano: e.Time.UnixNano(),
	}
	switch e.Type {
	case event.Container:
		d.Status, d.ID, d.From = e.Action, e.ID, e.Attributes["image"]
	case event.Image:
		d.Status, d.ID = e.Action, e.ID
	}
	return d
}

// matchesEvent is docker's daemon/events.Filter.
func matchesEvent(f flags.Filters, e *event.Event) bool {
	name := e.Attributes["name"]
	begins := func(want string) bool {
		return strings.HasPrefix(e.ID, want) || strings.HasPrefix(name, want)
	}
	for _, kind := range []string{"container", "volume", "network", "daemon", "plugin", "service", "node", "secret", "config"} {
		if !f.Any(kind, begins) {
			return false
		}
	}
	byPrefix := slices.ContainsFunc(f["event"], func(want string) bool {
		return want == "health_status" || want == "readiness_status" || want == "exec_create" || want == "exec_start"
	})
	return f.Any("event", func(want string) bool {
		return e.Action == want || byPrefix && strings.HasPrefix(e.Action, want)
	}) &&
		f.Any("type", func(want string) bool { return strings.HasPrefix(e.Type, want) }) &&
		f.Any("scope", func(want string) bool { return want == "local" }) &&
		f.Labels(e.Attributes) &&
		f.Any("image", func(want string) bool { return ofImage(e, want) })
}

// ofImage reports whether the event is about the image that want names, or
// about a container made from it.
func ofImage(e *event.Event, want string) bool {
	name := e.Attributes["name"]
	if e.Type == event.Container {
		name = e.Attributes["image"]
	}
	for _, have := range []string{e.ID, name} {
		if have == want {
			return true
		}
		if ref, err := image.ParseReference(have); err == nil && ref.FamiliarName() == want {
			return true
		}
	}
	return false
}
