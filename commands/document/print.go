package document

import (
	"bytes"
	"errors"
	"io"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/format"
)

// Print looks every ref up and prints what it found, as one array or through a
// template; what it did not find it returns as errors, after the output.
func Print(e *env.Env, layout string, refs []string, lookup func(ref string) (any, error)) error {
	var found []any
	var failed failure.Several
	for _, ref := range refs {
		d, err := lookup(ref)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, d)
	}
	if err := write(e.Out, layout, found); err != nil {
		return err
	}
	return failed.Err()
}

func write(w io.Writer, layout string, found []any) error {
	if layout == "" {
		return format.Indented(w, found)
	}
	if layout == "json" {
		return format.Compact(w, found)
	}
	// A template that fails half-way must not leave half a document.
	var b bytes.Buffer
	for _, d := range found {
		if err := format.Document(&b, layout, d); err != nil {
			var said *failure.Error
			if b.Len() == 0 && !(errors.As(err, &said) && said.Code != 0) {
				b.WriteByte('\n') // docker's
			}
			_, writeErr := w.Write(b.Bytes())
			if writeErr != nil {
				return writeErr
			}
			return err
		}
	}
	if len(found) == 0 {
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}
