package client

import (
	"slices"
	"strings"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/event"
	"skiff/storage/image"
)

// record tells the record of events what a request has done, in docker's words.
func record(st *storage.Store, r message.Request, result message.Result) {
	var events []event.Event
	add := func(action, id, name string) {
		events = append(events, event.Event{
			Type: event.Image, Action: action, ID: id, Attributes: map[string]string{"name": name},
		})
	}
	id := "sha256:" + result.ID
	switch {
	case r.Pull != nil:
		name := r.Pull.Reference
		if ref, err := image.ParseReference(name); err == nil {
			add("pull", ref.Familiar(), ref.FamiliarName())
		}
	case r.Push != nil:
		if ref, err := image.ParseReference(r.Push.Reference); err == nil {
			add("push", ref.Familiar(), ref.FamiliarName())
		}
	case r.Load != nil:
		for _, l := range result.Loaded {
			add("load", "sha256:"+l.ID, "sha256:"+l.ID)
		}
	case r.Import != nil:
		if r.Import.Reference != "" {
			add("tag", id, image.Familiar(r.Import.Reference))
		}
		add("import", id, id)
	case r.Save != nil:
		for _, saved := range r.Save.Images {
			add("save", "sha256:"+saved.ID, "sha256:"+saved.ID)
		}
	case r.Commit != nil && r.Commit.Reference != "":
		add("tag", id, image.Familiar(r.Commit.Reference))
	case r.Tag != nil:
		add("tag", "sha256:"+r.Tag.ID, image.Familiar(r.Tag.Reference))
	case r.Remove != nil:
		id = "sha256:" + r.Remove.ID
		for _, removed := range result.Removed {
			switch {
			case removed.Deleted == id:
				add("delete", id, id)
			case removed.Deleted != "":
			case strings.Contains(removed.Untagged, "@") && r.Remove.Reference != "" && removed.Untagged != r.Remove.Reference:
				// A digest that goes with its repository's last tag: not worth a word.
			default:
				add("untag", id, id)
			}
		}
	case r.Prune != nil:
		for _, removed := range result.Removed {
			if slices.Contains(r.Prune.IDs, strings.TrimPrefix(removed.Deleted, "sha256:")) {
				add("delete", removed.Deleted, removed.Deleted)
			}
		}
	}
	if len(events) > 0 {
		event.Append(st.Events(), events...)
	}
}
