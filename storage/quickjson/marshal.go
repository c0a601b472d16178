package quickjson

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
)

// Marshal is json.Marshal.
func Marshal(v any) ([]byte, error) {
	if b, ok := appendValue(make([]byte, 0, 2048), reflect.ValueOf(v)); ok {
		return b, nil
	}
	return json.Marshal(v)
}

// appendValue appends a value, or says that it cannot.
func appendValue(b []byte, v reflect.Value) ([]byte, bool) {
	if !v.IsValid() {
		return append(b, "null"...), true
	}
	t := v.Type()
	if t.Implements(marshaler) || t.Implements(textMarshaler) ||
		v.CanAddr() && (reflect.PointerTo(t).Implements(marshaler) || reflect.PointerTo(t).Implements(textMarshaler)) {
		return appendForeign(b, v)
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.AppendInt(b, v.Int(), 10), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.AppendUint(b, v.Uint(), 10), true
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() {
			return b, false
		}
		return appendString(b, v.String())
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, "null"...), true
		}
		return appendValue(b, v.Elem())
	case reflect.Slice:
		return appendSlice(b, v)
	case reflect.Map:
		return appendMap(b, v)
	case reflect.Struct:
		return appendStruct(b, v)
	}
	return appendForeign(b, v)
}

// appendForeign leaves one value to encoding/json.
func appendForeign(b []byte, v reflect.Value) ([]byte, bool) {
	if v.CanAddr() {
		v = v.Addr() // so that methods of the pointer are found
	}
	data, err := json.Marshal(v.Interface())
	return append(b, data...), err == nil
}

func appendString(b []byte, s string) ([]byte, bool) {
	if plain(s) {
		return append(append(append(b, '"'), s...), '"'), true
	}
	data, err := json.Marshal(s)
	return append(b, data...), err == nil
}

func appendSlice(b []byte, v reflect.Value) (_ []byte, ok bool) {
	if v.IsNil() {
		return append(b, "null"...), true
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return appendForeign(b, v)
	}
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendValue(b, v.Index(i)); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

func appendMap(b []byte, v reflect.Value) (_ []byte, ok bool) {
	if v.IsNil() {
		return append(b, "null"...), true
	}
	if k := v.Type().Key(); k.Kind() != reflect.String || k.Implements(textMarshaler) {
		return appendForeign(b, v)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(x, y reflect.Value) int {
		if x.String() < y.String() {
			return -1
		}
		return 1
	})
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendString(b, k.String()); !ok {
			return b, false
		}
		if b, ok = appendValue(append(b, ':'), v.MapIndex(k)); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

func appendStruct(b []byte, v reflect.Value) (_ []byte, ok bool) {
	start := len(b)
	b = append(b, '{')
	t := v.Type()
	for i := range t.NumField() {
		tf := t.Field(i)
		f, known := fieldOf(&tf)
		if !known {
			return appendForeign(b[:start], v)
		}
		if f.name == "" || f.omitEmpty && empty(v.Field(i)) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		if !plain(f.name) {
			return b, false
		}
		b = append(append(append(b, '"'), f.name...), '"', ':')
		if b, ok = appendValue(b, v.Field(i)); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// empty is what omitempty leaves out (encoding/json.Marshal).
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
