package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"skiff/build"
	"skiff/build/dockerfile"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
)

// printWarnings is buildx's list at the end of a build.
func printWarnings(w io.Writer, list []dockerfile.Warning) {
	switch len(list) {
	case 0:
		return
	case 1:
		fmt.Fprint(w, "\n 1 warning found (use docker --debug to expand):\n")
	default:
		fmt.Fprintf(w, "\n %d warnings found (use docker --debug to expand):\n", len(list))
	}
	for _, v := range list {
		fmt.Fprintf(w, " - %s: %s (line %d)\n", v.Rule, format.EscapeText(v.Text), v.Line)
	}
}

// printCheck is the answer of --check.
func printCheck(e *env.Env, o *options, list []dockerfile.Warning) error {
	switch len(list) {
	case 0:
		_, err := fmt.Fprintln(e.Out, "Check complete, no warnings found.")
		return err
	case 1:
		fmt.Fprintln(e.Out, "Check complete, 1 warning has been found!")
	default:
		fmt.Fprintf(e.Out, "Check complete, %d warnings have been found!\n", len(list))
	}
	for _, v := range list {
		build.PrintViolation(e.Out, v, o.Name, o.Dockerfile)
	}
	return failure.Status(1)
}

// push sends the image to the registries that its names say, and returns the
// digest that the last one knows it by.
func push(ctx context.Context, st *storage.Store, e *env.Env, o *options, shown display, id string) (digest string, err error) {
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return "", err
	}
	for _, name := range o.Tags {
		task := shown.Begin("pushing " + name)
		result, err := client.Push(ctx, st, message.Push{ID: id, Reference: name, Registries: registries}, func(ev message.Event) {
			switch ev.Kind {
			case message.LayerPushed, message.LayerThere, message.LayerMounted:
				task.Status(fmt.Sprintf("pushing layer %.12s done", strings.TrimPrefix(ev.Layer, "sha256:")))
			}
		})
		if err == nil {
			digest = result.Digest
			task.Status("pushing manifest for " + name + "@" + digest + " done")
		}
		task.Done(err)
		if err != nil {
			return "", err
		}
	}
	return digest, nil
}

// explain prints why a build failed, as buildx does. What a Dockerfile or a step
// says does not reach the terminal as it is.
func explain(out io.Writer, err error) {
	w := &strings.Builder{}
	defer func() { fmt.Fprint(out, format.EscapeText(w.String())) }()
	var f *build.Failure
	if errors.As(err, &f) {
		if f.Step != "" {
			fmt.Fprintf(w, "------\n > %s:\n", f.Step)
			for _, line := range f.Log {
				fmt.Fprintln(w, line)
			}
			fmt.Fprintln(w, "------")
		}
		if text := f.Excerpt(); text != "" {
			fmt.Fprint(w, text)
		}
	}
	text := err.Error()
	if !strings.HasPrefix(text, "failed to solve: ") {
		text = "failed to solve: " + text
	}
	fmt.Fprintln(w, "ERROR: "+text)
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintln(w, "hint: "+h.Hint())
	}
}
