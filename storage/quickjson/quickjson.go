// Package quickjson reads and writes JSON as encoding/json does, but gets to know each
// type only as far as it must: all there is to know takes half a millisecond for the
// records of one container, in each process anew, where reading them takes 20
// microseconds. What is not plain is left to encoding/json, errors too, so that the two
// differ in nothing but time.
package quickjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
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

// maxFields is how many fields a struct may have that is not left to encoding/json.
const maxFields = 128

// reading is how values of a type are read.
type reading int

const (
	byKind   reading = iota
	byItself         // it has UnmarshalJSON
	foreign          // by encoding/json
)

// shape is what is known of a type. It costs little more than to find out, and lists
// of a thousand records need it a thousand times.
type shape struct {
	reads reading
	// fields are a struct's, nil where encoding/json has rules of its own.
	fields []field
}

var shapes sync.Map // of *shape, by reflect.Type

func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	sh := &shape{}
	if p := reflect.PointerTo(t); p.Implements(unmarshaler) {
		sh.reads = byItself
	} else if p.Implements(textUnmarshaler) {
		sh.reads = foreign
	} else if t.Kind() == reflect.Struct && t.NumField() <= maxFields {
		sh.fields = fieldsOf(t)
	}
	shapes.Store(t, sh)
	return sh
}

func fieldsOf(t reflect.Type) []field {
	list := make([]field, t.NumField())
	for i := range list {
		tf := t.Field(i)
		f, ok := fieldOf(&tf)
		if !ok {
			return nil
		}
		list[i] = f
	}
	return list
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
