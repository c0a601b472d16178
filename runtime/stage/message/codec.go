package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
)

// The configurations that the front gives to a stage of its own build are
// encoded by position: numbers as varints, strings and slices with their length
// before, pointers with a byte that says whether there is one. encoding/json
// needs half a millisecond to get to know these types in each new process, this
// a few microseconds. What a monitor tells later clients, which may be of
// another version, is JSON.

// ErrMalformed says that bytes do not hold the wanted value.
var ErrMalformed = errors.New("malformed message")

// Encode returns v, a struct or a pointer to one. Fields tagged `wire:"-"` are
// left out.
func Encode(v any) []byte {
	return appendValue(make([]byte, 0, 4096), reflect.Indirect(reflect.ValueOf(v)))
}

// Decode reads what Encode wrote into the struct that v points to.
func Decode(data []byte, v any) error {
	d := decoder{data}
	err := d.value(reflect.ValueOf(v).Elem())
	if err == nil && len(d.data) > 0 {
		err = fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(d.data))
	}
	return err
}

func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case reflect.Slice:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = appendValue(b, v.Index(i))
		}
		return b
	case reflect.Map:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for it := v.MapRange(); it.Next(); {
			b = appendValue(appendValue(b, it.Key()), it.Value())
		}
		return b
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return appendValue(append(b, 1), v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag != `wire:"-"` {
				b = appendValue(b, v.Field(i))
			}
		}
		return b
	}
	panic("message: cannot encode " + v.Type().String())
}

type decoder struct{ data []byte }

func (d *decoder) uvarint() (uint64, error) {
	n, size := binary.Uvarint(d.data)
	if size <= 0 {
		return 0, ErrMalformed
	}
	d.data = d.data[size:]
	return n, nil
}

// length reads a count of things that take at least a byte each.
func (d *decoder) length() (int, error) {
	n, err := d.uvarint()
	if err != nil || n > uint64(len(d.data)) {
		return 0, ErrMalformed
	}
	return int(n), nil
}

func (d *decoder) value(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool, reflect.Pointer:
		return d.presence(v)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, size := binary.Varint(d.data)
		if size <= 0 || v.OverflowInt(n) {
			return ErrMalformed
		}
		d.data = d.data[size:]
		v.SetInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		n, err := d.uvarint()
		if err != nil || v.OverflowUint(n) {
			return ErrMalformed
		}
		v.SetUint(n)
	case reflect.String:
		n, err := d.length()
		if err != nil {
			return err
		}
		v.SetString(string(d.data[:n]))
		d.data = d.data[n:]
	case reflect.Slice:
		return d.slice(v)
	case reflect.Map:
		return d.fill(v)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag == `wire:"-"` {
				continue
			}
			if err := d.value(v.Field(i)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%w: type %s", ErrMalformed, v.Type())
	}
	return nil
}

// presence reads a boolean, or a pointer, which is one with a value behind.
func (d *decoder) presence(v reflect.Value) error {
	if len(d.data) == 0 || d.data[0] > 1 {
		return ErrMalformed
	}
	yes := d.data[0] == 1
	d.data = d.data[1:]
	if v.Kind() == reflect.Bool {
		v.SetBool(yes)
		return nil
	}
	if !yes {
		return nil
	}
	v.Set(reflect.New(v.Type().Elem()))
	return d.value(v.Elem())
}

func (d *decoder) slice(v reflect.Value) error {
	n, err := d.length()
	if err != nil || n == 0 {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), n, n))
	for i := range n {
		if err := d.value(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) fill(v reflect.Value) error {
	n, err := d.length()
	if err != nil || n == 0 {
		return err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), n))
	for range n {
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := errors.Join(d.value(key), d.value(value)); err != nil {
			return err
		}
		v.SetMapIndex(key, value)
	}
	return nil
}
