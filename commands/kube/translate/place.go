package translate

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
)

// maxTrials bounds how many bytes are read again to find the field that is wrong.
const maxTrials = 32 << 20

// yamlLine is how the readers of YAML name a line of what they read.
var yamlLine = regexp.MustCompile(`\bline (\d+)`)

// syntax is what a reader of YAML said, with lines of the whole stream, the document
// beginning behind as many lines.
func syntax(err error, before int) error {
	text := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "unmarshal errors:", "")), " ")
	return errors.New(yamlLine.ReplaceAllStringFunc(text, func(found string) string {
		n, err := strconv.Atoi(strings.TrimPrefix(found, "line "))
		if err != nil {
			return found
		}
		return fmt.Sprintf("line %d", before+n)
	}))
}

// at puts the line of a field before what is wrong with it.
func (d *document) at(path string, err error) error {
	if line := d.line(path); line > 0 {
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// blamed is what an error of a container begins with, and the field that it names.
var blamed = regexp.MustCompile(`^container ([^:]+): ([A-Za-z]*)`)

// about is the field that an error of what was read is about: the nearest that is
// known of it.
func (d *document) about(text string) string {
	if path, _, _ := strings.Cut(text, " "); strings.HasPrefix(path, "spec.") || strings.HasPrefix(path, "metadata.") {
		path, _, _ = strings.Cut(path, ":")
		return path
	}
	found := blamed.FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	path, node := "", d.tree
	for _, step := range []string{"spec", "template", "spec"} {
		object, _ := node.(map[string]any)
		if next, ok := object[step]; ok {
			path, node = strings.TrimPrefix(path+"."+step, "."), next
		}
	}
	spec, _ := node.(map[string]any)
	for _, key := range []string{"containers", "initContainers"} {
		list, _ := spec[key].([]any)
		for i := range list {
			if c, _ := list[i].(map[string]any); c != nil && c["name"] == found[1] {
				return fmt.Sprintf("%s.%s[%d].%s", path, key, i, found[2])
			}
		}
	}
	return ""
}

// line is that of a field, a.b[0].c, in the stream, or of the last above it that is
// there; 0 for one whose document stands within another.
func (d *document) line(path string) int {
	var root yamlv3.Node
	if d.before < 0 || yamlv3.Unmarshal(d.text, &root) != nil || len(root.Content) == 0 {
		return 0
	}
	node := root.Content[0]
	line := node.Line
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		for node.Kind == yamlv3.AliasNode {
			node = node.Alias
		}
		var next *yamlv3.Node
		switch node.Kind {
		case yamlv3.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == step {
					line, next = node.Content[i].Line, node.Content[i+1]
				}
			}
		case yamlv3.SequenceNode:
			if n, err := strconv.Atoi(step); err == nil && n < len(node.Content) {
				next = node.Content[n]
				line = next.Line
			}
		}
		if next == nil {
			break
		}
		node = next
	}
	return d.before + line
}

// wrong says what is wrong with a document that cannot be read into something, and
// where: data is its JSON.
func (d *document) wrong(data []byte, into any, err error) error {
	var field kjson.FieldError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &field):
		return d.at(field.FieldPath(), errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")))
	case errors.As(err, &kind):
		path := pathAt(data, kind.Offset)
		return d.at(path, fmt.Errorf("%s: %s instead of %s", path, kind.Value, kindName(kind.Type)))
	}
	err = errors.New(strings.TrimPrefix(err.Error(), "json: "))
	if path := d.culprit(into, err.Error(), maxTrials/len(data)); path != "" {
		return d.at(path, fmt.Errorf("%s: %w", path, err))
	}
	return err
}

// kindName is what a field wants, in YAML's words.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a mapping"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a number"
	}
	return t.String()
}

// pathAt is the field whose value ends at, or has, the byte of data before offset.
func pathAt(data []byte, offset int64) string {
	type level struct {
		list bool
		n    int
		key  string
		want bool // a key comes
	}
	var levels []level
	path := func() string {
		var out strings.Builder
		for _, l := range levels {
			switch {
			case l.list:
				fmt.Fprintf(&out, "[%d]", l.n)
			case out.Len() > 0:
				out.WriteString("." + l.key)
			default:
				out.WriteString(l.key)
			}
		}
		return out.String()
	}
	ended := func() {
		if n := len(levels); n > 0 {
			levels[n-1].n++
			levels[n-1].want = !levels[n-1].list
		}
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	for {
		token, err := dec.Token()
		if err != nil {
			return path()
		}
		n := len(levels)
		if key, ok := token.(string); ok && n > 0 && levels[n-1].want {
			levels[n-1].key, levels[n-1].want = key, false
			continue
		}
		delim, nested := token.(json.Delim)
		closes := delim == '}' || delim == ']'
		if dec.InputOffset() >= offset && !closes {
			return path()
		}
		switch {
		case closes:
			levels = levels[:n-1]
			ended()
		case nested:
			levels = append(levels, level{list: delim == '[', want: delim == '{'})
		default:
			ended()
		}
	}
}

// culprit is the field without which a document is not wrong in this way: some types
// do not tell what they could not read. After some trials it is not looked for.
func (d *document) culprit(into any, text string, trials int) string {
	found := ""
	var search func(path string, node any)
	search = func(path string, node any) {
		try := func(path string, value any, set func(any)) {
			if found != "" || trials == 0 {
				return
			}
			switch value.(type) {
			case map[string]any, []any:
				search(path, value)
				return
			case nil:
				return
			}
			trials--
			set(nil)
			defer set(value)
			data, err := json.Marshal(d.tree)
			if err != nil {
				return
			}
			_, err = kjson.UnmarshalStrict(data, reflect.New(reflect.TypeOf(into).Elem()).Interface())
			if err == nil || strings.TrimPrefix(err.Error(), "json: ") != text {
				found = path
			}
		}
		switch v := node.(type) {
		case map[string]any:
			keys := make([]string, 0, len(v))
			for key := range v {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			for _, key := range keys {
				try(strings.TrimPrefix(path+"."+key, "."), v[key], func(to any) { v[key] = to })
			}
		case []any:
			for i := range v {
				try(fmt.Sprintf("%s[%d]", path, i), v[i], func(to any) { v[i] = to })
			}
		}
	}
	search("", d.tree)
	return found
}
