package quickjson_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"skiff/storage/container"
	"skiff/storage/container/state"
	"skiff/storage/image"
	"skiff/storage/network"
	"skiff/storage/quickjson"
	"skiff/storage/secret"
	"skiff/storage/volume"
)

// fill sets everything in v that can be set.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("a <word> & \u00e9\n")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Pointer:
		if depth < 8 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), depth+1)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, zero := range []bool{true, false} {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			if !zero {
				fill(key, depth+1)
				fill(value, depth+1)
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 1, 2, 3, 4, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fill(f, depth+1)
			}
		}
	}
}

// The records of the store, empty and with all there may be, are written and read by
// quickjson as by encoding/json.
func TestRecords(t *testing.T) {
	for _, kind := range []reflect.Type{
		reflect.TypeFor[container.Config](), reflect.TypeFor[state.State](), reflect.TypeFor[image.Config](), reflect.TypeFor[image.Metadata](),
		reflect.TypeFor[network.Network](), reflect.TypeFor[volume.Volume](), reflect.TypeFor[secret.Secret](),
	} {
		for _, full := range []bool{false, true} {
			v := reflect.New(kind)
			if full {
				fill(v.Elem(), 0)
			}
			want, err := json.Marshal(v.Interface())
			if err != nil {
				t.Fatal(err)
			}
			got, err := quickjson.Marshal(v.Interface())
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: got %s, %v\nwant %s", kind, got, err, want)
			}
			a, b := reflect.New(kind), reflect.New(kind)
			if err := json.Unmarshal(want, a.Interface()); err != nil {
				t.Fatal(err)
			}
			if err := quickjson.Unmarshal(want, b.Interface()); err != nil || !reflect.DeepEqual(a.Interface(), b.Interface()) {
				t.Fatalf("%s: got %+v, %v\nwant %+v", kind, b.Elem(), err, a.Elem())
			}
		}
	}
}

// BenchmarkRecord is of a process that knows the types: encoding/json's first time takes
// half a millisecond more.
func BenchmarkRecord(b *testing.B) {
	var c container.Config
	fill(reflect.ValueOf(&c).Elem(), 0)
	data, err := json.Marshal(&c)
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func([]byte, any) error{"encoding": json.Unmarshal, "quick": quickjson.Unmarshal} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var c container.Config
				if err := read(data, &c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
