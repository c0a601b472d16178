package format

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"

	"skiff/commands/failure"
)

// ownEscape stands for an ESC that the user wrote into a template, for colours,
// until it is executed. No value can contain it: they all went through JSON,
// which is valid UTF-8, and this byte never is part of that.
const ownEscape = "\xff"

// Parse compiles a user's template with docker's functions. A literal \t or \n
// in it stands for the character. A field that does not exist is an error when
// it is executed.
func Parse(text string) (*template.Template, error) {
	text = strings.ToValidUTF8(text, "\uFFFD") // ownEscape is ours alone
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n", "\x1b", ownEscape).Replace(text)
	t, err := template.New("").Funcs(functions()).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, &failure.Error{Text: fmt.Sprintf("template parsing error: %v", err), Code: 64, Local: true, Cause: err}
	}
	return t, nil
}

// execute returns what the template makes of data. Control characters other
// than newline and tab are escaped, because the values may come from an image;
// escape sequences in the template itself are the user's and stay.
func execute(t *template.Template, data any) (string, error) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	parts := strings.Split(b.String(), ownEscape)
	for i, p := range parts {
		parts[i] = EscapeText(p)
	}
	return strings.Join(parts, "\x1b"), nil
}

// Execute prints what a template of Parse makes of data, and a newline.
func Execute(w io.Writer, t *template.Template, data any) error {
	text, err := execute(t, data)
	if err != nil {
		return failure.Local("template parsing error: %v", err)
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// functions are docker's additions to the template language.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":     toJSON,
		"split":    strings.Split,
		"join":     join,
		"title":    title,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"truncate": truncate,
		"println":  fmt.Sprintln,
	}
}

func toJSON(v any) (string, error) {
	var b bytes.Buffer
	if err := encodeJSON(&b, v, "", false); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// join takes the lists of a document as well, whose elements have no type.
func join(list any, sep string) (string, error) {
	switch list := list.(type) {
	case []string:
		return strings.Join(list, sep), nil
	case []any:
		words := make([]string, len(list))
		for i, v := range list {
			words[i] = fmt.Sprint(v)
		}
		return strings.Join(words, sep), nil
	case nil:
		return "", nil
	}
	return "", fmt.Errorf("join: not a list but %T", list)
}

// title is docker's: the first letter of each word in upper case.
func title(s string) string {
	words := strings.Split(s, " ")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

func pad(s string, before, after int) string {
	if s == "" {
		return s
	}
	return spaces(max(before, 0)) + s + spaces(max(after, 0))
}

func truncate(s string, n int) string {
	if r := []rune(s); n >= 0 && len(r) > n {
		return string(r[:n])
	}
	return s
}

// Document prints one JSON document through a user's template, followed by a
// newline. "json" prints it on one line.
func Document(w io.Writer, layout string, document any) error {
	if layout == "json" {
		layout = "{{json .}}"
	}
	t, err := Parse(layout)
	if err != nil {
		return err
	}
	// As docker: first the document as it is, with its own names and order, then
	// as what its JSON says.
	if typed, err := t.Clone(); err == nil && reflect.Indirect(reflect.ValueOf(document)).Kind() == reflect.Struct {
		if text, err := execute(typed.Option("missingkey=default"), document); err == nil {
			_, err = io.WriteString(w, text+"\n")
			return err
		}
	}
	plain, err := plainValue(document)
	if err != nil {
		return err
	}
	text, err := execute(t, plain)
	if err != nil {
		return failure.Local("template parsing error: %v", err)
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// plainValue turns a document into maps and lists, so that templates use the
// names of the JSON. Whole numbers stay whole.
func plainValue(document any) (any, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return nil, err
	}
	return numbers(plain), nil
}

// numbers replaces json.Number, which a template would compare as a string.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

// Compact prints documents as one array on one line.
func Compact[T any](w io.Writer, documents []T) error {
	if len(documents) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	return encodeJSON(w, documents, "", false)
}

// Indented prints documents as docker's inspect does: one array, four spaces.
func Indented[T any](w io.Writer, documents []T) error {
	if len(documents) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	return encodeJSON(w, documents, "    ", false)
}
