// Package quickjson reads and writes JSON as encoding/json does, but gets to know no
// type before: that takes half a millisecond for the records of one container, in
// each process anew, where reading them takes 20 microseconds. What is not plain is
// left to encoding/json, errors too, so that the two differ in nothing but time.
package quickjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"unicode/utf8"
)

var (
	marshaler       = reflect.TypeFor[json.Marshaler]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// field is what the tag of a struct's field says.
type field struct {
	name      string
	omitEmpty bool
}

// fieldOf reads a tag. ok is false for what encoding/json has rules of its own for;
// a field without a name takes no part.
func fieldOf(f *reflect.StructField) (out field, ok bool) {
	tag := f.Tag.Get("json")
	switch {
	case f.Anonymous:
		return out, false
	case tag == "-" || !f.IsExported():
		return out, true
	}
	name, options, _ := strings.Cut(tag, ",")
	out = field{name, options == "omitempty"}
	if name == "" {
		out.name = f.Name
	}
	return out, options == "" || out.omitEmpty
}

// plain reports whether a string is written as it is: the rest has escapes.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
