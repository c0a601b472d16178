package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"skiff/commands/failure"
)

// Row is one line of a list: the values of docker's fields by name. Labels lie
// under LabelKey, out of sight of templates that range over a row.
type Row map[string]string

// LabelKey is the key of a Row that holds the value of a label.
func LabelKey(label string) string { return "label\x00" + label }

// Label is {{.Label "key"}} in a template: the label's value or nothing.
func (r Row) Label(key string) string { return r[LabelKey(key)] }

// MarshalJSON leaves out what is not a field of docker's.
func (r Row) MarshalJSON() ([]byte, error) {
	fields := make(map[string]string, len(r))
	for k, v := range r {
		if !strings.Contains(k, "\x00") {
			fields[k] = v
		}
	}
	return json.Marshal(fields)
}

// heading is a row that answers every field with its column's heading.
type heading Row

// Label is the heading of a label's column: its last part, as docker does it.
func (heading) Label(key string) string {
	key = key[strings.LastIndexByte(key, '.')+1:]
	return strings.NewReplacer("-", " ", "_", " ").Replace(key)
}

// List is how the rows of one kind of list are printed.
type List struct {
	// Headings are pairs of field and heading: every field that there is.
	Headings [][2]string
	// Columns are the fields of the default table.
	Columns []string
	// Raw are the fields of the format raw, with docker's names: field, name. Without,
	// every field is printed.
	Raw [][2]string
	// Quiet is the field that -q prints.
	Quiet string
	// Ahead says that docker tries a template out before it asks for the rows, as
	// ps does: a bad one is told of in other words.
	Ahead bool
}

// Print writes rows in the format that the user asked for: "" or "table" the
// default table, "table TEMPLATE", "json", "raw" or a template. quiet prints
// one field only, unless there is a template of the user's own.
func (l List) Print(w io.Writer, layout string, quiet bool, rows []Row) error {
	switch {
	case quiet && (layout == "" || layout == "table"):
		return l.quiet(w, rows)
	case layout == "" || layout == "table":
		return l.table(w, rows)
	case layout == "json":
		return jsonLines(w, rows)
	case layout == "raw":
		return l.raw(w, rows)
	case strings.HasPrefix(layout, "table "):
		return l.customTable(w, strings.TrimSpace(layout[len("table "):]), rows)
	}
	t, err := l.parse(layout)
	if err != nil {
		return err
	}
	for _, r := range rows {
		text, err := l.execute(t, r)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// Mentions reports whether a user's format asks for a field that is dear to
// compute. "json" and "raw" ask for all.
func Mentions(layout, field string) bool {
	return layout == "json" || layout == "raw" || strings.Contains(layout, "."+field)
}

// parse is Parse with docker's words for lists.
func (l List) parse(layout string) (*template.Template, error) {
	t, err := Parse(layout)
	if err != nil {
		return nil, failure.Local("%s: %v", l.words("parse"), errors.Unwrap(err))
	}
	return t, nil
}

func (l List) execute(t *template.Template, data any) (string, error) {
	text, err := execute(t, data)
	if err != nil {
		return "", failure.Local("%s: %v", l.words("execute"), err)
	}
	return text, nil
}

func (l List) words(what string) string {
	if l.Ahead {
		return "failed to " + what + " template"
	}
	return "template parsing error"
}

func (l List) table(w io.Writer, rows []Row) error {
	lines := make([][]string, 0, len(rows)+1)
	head := l.heading()
	line := make([]string, len(l.Columns))
	for i, c := range l.Columns {
		line[i] = head[c]
	}
	lines = append(lines, line)
	for _, r := range rows {
		line := make([]string, len(l.Columns))
		for i, c := range l.Columns {
			line[i] = Escape(r[c])
		}
		lines = append(lines, line)
	}
	return writeTable(w, lines)
}

func (l List) heading() heading {
	h := make(heading, len(l.Headings))
	for _, p := range l.Headings {
		h[p[0]] = p[1]
	}
	return h
}

func (l List) customTable(w io.Writer, layout string, rows []Row) error {
	t, err := l.parse(layout)
	if err != nil {
		return err
	}
	head, err := t.Clone()
	if err != nil {
		return err
	}
	// The template runs over the headings, too; what would change a value must
	// leave a heading as it is.
	head.Funcs(template.FuncMap{
		"json":     func(s string) string { return s },
		"title":    func(s string) string { return s },
		"lower":    func(s string) string { return s },
		"upper":    func(s string) string { return s },
		"truncate": func(s string, _ int) string { return s },
	})
	text, err := l.execute(head, l.heading())
	if err != nil {
		return err
	}
	lines := [][]string{strings.Split(text, "\t")}
	for _, r := range rows {
		text, err := l.execute(t, r.escaped())
		if err != nil {
			return err
		}
		lines = append(lines, strings.Split(text, "\t"))
	}
	return writeTable(w, lines)
}

func (r Row) escaped() Row {
	safe := make(Row, len(r))
	for k, v := range r {
		safe[k] = Escape(v)
	}
	return safe
}

func (l List) quiet(w io.Writer, rows []Row) error {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(Escape(r[l.Quiet]))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// raw is docker's "key: value" form: fields in lower case, an empty line behind
// each row.
func (l List) raw(w io.Writer, rows []Row) error {
	var b strings.Builder
	fields := l.Raw
	if fields == nil {
		for _, p := range l.Headings {
			fields = append(fields, [2]string{p[0], strings.ToLower(p[0])})
		}
	}
	for _, r := range rows {
		for _, p := range fields {
			fmt.Fprintf(&b, "%s: %s\n", p[1], Escape(r[p[0]]))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func jsonLines(w io.Writer, rows []Row) error {
	for _, r := range rows {
		if err := encodeJSON(w, r, "", true); err != nil {
			return err
		}
	}
	return nil
}
