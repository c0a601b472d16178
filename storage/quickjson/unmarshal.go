package quickjson

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is where encoding/json, which knows a limit of its own, takes over.
const maxDepth = 100

// Unmarshal is json.Unmarshal.
func Unmarshal(data []byte, v any) error {
	to := reflect.ValueOf(v)
	// What has values already is merged with, by rules that are not here.
	if to.Kind() == reflect.Pointer && !to.IsNil() && to.Elem().IsZero() {
		d := decoder{data: data}
		if d.value(to.Elem(), 0) && d.next() == 0 && d.at == len(data) {
			return nil
		}
		to.Elem().SetZero()
	}
	return json.Unmarshal(data, v)
}

// decoder reads a document from front to end. Its methods return false for what is
// wrong, and for what is not plain.
type decoder struct {
	data []byte
	at   int
}

// next skips blanks and returns the byte behind them without taking it, 0 at the end.
func (d *decoder) next() byte {
	for ; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take skips blanks and takes c, if that follows.
func (d *decoder) take(c byte) bool {
	if d.next() != c {
		return false
	}
	d.at++
	return true
}

func (d *decoder) word(w string) bool {
	if !strings.HasPrefix(string(d.data[d.at:min(len(d.data), d.at+len(w))]), w) {
		return false
	}
	d.at += len(w)
	return true
}

// value reads one into v, which is zero.
func (d *decoder) value(v reflect.Value, depth int) bool {
	c := d.next()
	if depth > maxDepth || c == 0 {
		return false
	}
	t := v.Type()
	sh := shapeOf(t)
	switch sh.reads {
	case byItself:
		from := d.at
		return d.skip(depth) && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(d.data[from:d.at]) == nil
	case foreign:
		return d.foreign(v, depth)
	}
	if c == 'n' {
		return d.word("null") // leaves each kind as it is
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(c == 't')
		return c == 't' && d.word("true") || c == 'f' && d.word("false")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(d.digits(), 10, 64)
		if err != nil || v.OverflowInt(n) {
			return false
		}
		v.SetInt(n)
		return true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(d.digits(), 10, 64)
		if err != nil || v.OverflowUint(n) {
			return false
		}
		v.SetUint(n)
		return true
	case reflect.String:
		s, ok := d.text()
		v.SetString(s)
		return ok && t != reflect.TypeFor[json.Number]()
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		return d.value(v.Elem(), depth+1)
	case reflect.Slice:
		return d.slice(v, depth)
	case reflect.Map:
		return d.fill(v, depth)
	case reflect.Struct:
		return d.fields(v, sh, depth)
	}
	return d.foreign(v, depth)
}

// foreign leaves one value to encoding/json.
func (d *decoder) foreign(v reflect.Value, depth int) bool {
	d.next()
	from := d.at
	return d.skip(depth) && json.Unmarshal(d.data[from:d.at], v.Addr().Interface()) == nil
}

// digits takes a whole number as JSON writes it, and nothing that goes on behind it.
func (d *decoder) digits() string {
	from := d.at
	if d.at < len(d.data) && d.data[d.at] == '-' {
		d.at++
	}
	first := d.at
	for d.at < len(d.data) && d.data[d.at]-'0' <= 9 {
		d.at++
	}
	if d.at-first > 1 && d.data[first] == '0' || d.at < len(d.data) && strings.IndexByte(".eE", d.data[d.at]) >= 0 {
		return ""
	}
	return string(d.data[from:d.at])
}

// text takes a string.
func (d *decoder) text() (string, bool) {
	raw, ok := d.raw()
	return string(raw), ok
}

// raw is text in bytes that may be the document's.
func (d *decoder) raw() ([]byte, bool) {
	if !d.take('"') {
		return nil, false
	}
	from := d.at
	easy := true
	for ; d.at < len(d.data); d.at++ {
		switch c := d.data[d.at]; {
		case c == '"':
			raw := d.data[from:d.at]
			d.at++
			if easy {
				return raw, utf8.Valid(raw)
			}
			var s string
			err := json.Unmarshal(d.data[from-1:d.at], &s)
			return []byte(s), err == nil
		case c == '\\':
			easy = false
			d.at++
		case c < ' ':
			return nil, false
		}
	}
	return nil, false
}

func (d *decoder) slice(v reflect.Value, depth int) bool {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return d.foreign(v, depth)
	}
	if !d.take('[') {
		return false
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	if d.take(']') {
		return true
	}
	for {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if !d.value(v.Index(v.Len()-1), depth+1) {
			return false
		}
		if !d.take(',') {
			return d.take(']')
		}
	}
}

func (d *decoder) fill(v reflect.Value, depth int) bool {
	t := v.Type()
	if k := t.Key(); k.Kind() != reflect.String || reflect.PointerTo(k).Implements(textUnmarshaler) {
		return d.foreign(v, depth)
	}
	v.Set(reflect.MakeMap(t))
	return d.object(func(name []byte) bool {
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		key.SetString(string(name))
		if !d.value(value, depth+1) {
			return false
		}
		v.SetMapIndex(key, value)
		return true
	})
}

func (d *decoder) fields(v reflect.Value, sh *shape, depth int) bool {
	if sh.fields == nil {
		return d.foreign(v, depth)
	}
	var seen [maxFields]bool
	likely := 0 // documents have the fields' order
	return d.object(func(name []byte) bool {
		for n := range sh.fields {
			i := (likely + n) % len(sh.fields)
			if f := &sh.fields[i]; f.name == string(name) && f.name != "" {
				if seen[i] {
					return false // a second one of that name is merged with the first
				}
				seen[i], likely = true, i+1
				return d.value(v.Field(i), depth+1)
			}
		}
		for i := range sh.fields {
			// In another case.
			if f := &sh.fields[i]; f.name != "" && strings.EqualFold(f.name, string(name)) {
				return false
			}
		}
		return d.skip(depth + 1)
	})
}

// object takes one, whose values are read by value.
func (d *decoder) object(value func(name []byte) bool) bool {
	if !d.take('{') {
		return false
	}
	if d.take('}') {
		return true
	}
	for {
		name, ok := d.raw()
		if !ok || !d.take(':') || !value(name) {
			return false
		}
		if !d.take(',') {
			return d.take('}')
		}
	}
}

// skip takes any value.
func (d *decoder) skip(depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch c := d.next(); {
	case c == '{':
		return d.object(func([]byte) bool { return d.skip(depth + 1) })
	case c == '[':
		d.at++
		if d.take(']') {
			return true
		}
		for {
			if !d.skip(depth + 1) {
				return false
			}
			if !d.take(',') {
				return d.take(']')
			}
		}
	case c == '"':
		_, ok := d.raw()
		return ok
	case c == 't':
		return d.word("true")
	case c == 'f':
		return d.word("false")
	case c == 'n':
		return d.word("null")
	}
	from := d.at
	for d.at < len(d.data) && strings.IndexByte("+-.0123456789eE", d.data[d.at]) >= 0 {
		d.at++
	}
	return json.Valid(d.data[from:d.at])
}
