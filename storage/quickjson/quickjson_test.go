package quickjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type inner struct {
	Name  string            `json:"name"`
	Tags  map[string]string `json:"tags,omitempty"`
	Depth *inner            `json:"depth,omitempty"`
}

// outer has what our records have.
type outer struct {
	Version  int                `json:"Version"`
	Big      uint64             `json:"big,omitempty"`
	Small    int8               `json:"small"`
	Yes      bool               `json:"yes,omitempty"`
	Score    *int               `json:"score"`
	Created  time.Time          `json:"created"`
	Ended    *time.Time         `json:"ended,omitempty"`
	Wait     time.Duration      `json:"wait,omitempty"`
	List     []string           `json:"list"`
	Maybe    []string           `json:"maybe,omitempty"`
	Many     []inner            `json:"many"`
	One      inner              `json:"one,omitempty"`
	Map      map[string]inner   `json:"map"`
	Ports    map[string][]inner `json:"ports,omitempty"`
	Raw      json.RawMessage    `json:"raw,omitempty"`
	Bytes    []byte             `json:"bytes,omitempty"`
	Any      any                `json:"any,omitempty"`
	Ratio    float64            `json:"ratio"`
	Untagged string
	Skipped  string    `json:"-"`
	Zero     time.Time `json:"zero,omitzero"`
	hidden   int
}

type embedding struct {
	inner
	Other string `json:"other"`
}

var documents = []string{
	`{}`, ` { } `, `null`, ``, `[]`, `{"Version":1}`, `{"Version":1,"Version":2}`, `{"version":3}`, `{"Version":1,"VERSION":4}`,
	`{"one":{"name":"a"},"one":{"tags":{"x":"y"}}}`, `{"Version":"1"}`, `{"Version":1.0}`, `{"Version":1e2}`, `{"Version":01}`, `{"Version":-0}`,
	`{"Version":-}`, `{"Version":9223372036854775808}`, `{"small":128}`, `{"small":-128}`, `{"big":18446744073709551615}`, `{"big":-1}`,
	`{"yes":true}`, `{"yes":"true"}`, `{"yes":tru}`, `{"score":null}`, `{"score":5}`, `{"created":"2026-11-21T01:02:03.4Z"}`, `{"created":"x"}`,
	`{"created":null,"ended":"2026-11-21T01:02:03+01:00"}`, `{"list":[]}`, `{"list":null}`, `{"list":["a","b\u00e9\n","<&>"]}`, `{"list":["a",]}`,
	`{"list":["a" "b"]}`, `{"list":["\ud800"]}`, "{\"list\":[\"\xff\"]}", "{\"list\":[\"a\tb\"]}", `{"list":["a\qb"]}`, `{"list":["a`, `{"list":["a\`,
	`{"many":[{"name":"x","depth":{"name":"y","depth":null}},null,{}]}`, `{"map":{"a":{"name":"b"},"a":{"tags":{}}}}`, `{"ports":{"80/tcp":[{"name":"x"}],"81/tcp":null}}`,
	`{"raw":{"a": [1, 2.5e3, true]}}`, `{"raw":null}`, `{"bytes":"aGk="}`, `{"bytes":"?"}`, `{"any":{"a":[1,"b",null]}}`, `{"ratio":1.5}`, `{"ratio":"x"}`,
	`{"Untagged":"u","untagged":"v","Skipped":"s","-":"t","hidden":1}`, `{"unknown":{"deep":[[[[{"a":1e5}]]]]},"Version":7}`, `{"unknown":01}`, `{"unknown":nul}`,
	`{"unknown":[1,2,}`, `{"Version":1}x`, `{"Version":1} `, "\ufeff{}", `{"Version" : 1 , "list" : [ "a" , "b" ] }`, `{"zero":"2026-11-21T01:02:03Z"}`, `{"":1}`, `{"name":"n","other":"o"}`,
	`{"one":"x"}`, `{"one":[]}`, `{"many":{}}`, `{"map":[]}`, `{"map":{1:2}}`, `{Version:1}`, `{"wait":30000000000}`,
}

// check compares both ways for one document and one type.
func check(t *testing.T, data []byte, kind reflect.Type) {
	t.Helper()
	want, got := reflect.New(kind), reflect.New(kind)
	wantErr, gotErr := json.Unmarshal(data, want.Interface()), Unmarshal(data, got.Interface())
	if !reflect.DeepEqual(wantErr, gotErr) || !reflect.DeepEqual(want.Interface(), got.Interface()) {
		t.Fatalf("%s as %s:\ngot  %+v, %v\nwant %+v, %v", data, kind, got.Elem(), gotErr, want.Elem(), wantErr)
	}
	a, aErr := json.Marshal(want.Interface())
	b, bErr := Marshal(want.Interface())
	if !bytes.Equal(a, b) || !reflect.DeepEqual(aErr, bErr) {
		t.Fatalf("%s:\ngot  %s, %v\nwant %s, %v", data, b, bErr, a, aErr)
	}
}

var kinds = []reflect.Type{
	reflect.TypeFor[outer](), reflect.TypeFor[embedding](), reflect.TypeFor[map[string]any](), reflect.TypeFor[[]inner](), reflect.TypeFor[any](), reflect.TypeFor[*outer](),
}

func TestAsEncodingJSON(t *testing.T) {
	for _, document := range documents {
		for _, kind := range kinds {
			check(t, []byte(document), kind)
		}
	}
	full := outer{List: []string{"\u2028", "é", `"`, "\x7f"}, Map: map[string]inner{"b": {}, "a": {Tags: map[string]string{}}}, hidden: 1}
	full.Created = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // cannot be written
	if _, err := Marshal(full); err == nil {
		t.Error("the year 10000 was written")
	}
	full.Created = time.Time{}
	a, _ := json.Marshal(full)
	if b, err := Marshal(full); err != nil || !bytes.Equal(a, b) {
		t.Errorf("got %s, %v\nwant %s", b, err, a)
	}
	// What is there already is merged with.
	x, y := outer{Map: map[string]inner{"old": {}}, Version: 1}, outer{Map: map[string]inner{"old": {}}, Version: 1}
	for _, err := range []error{json.Unmarshal([]byte(`{"map":{"new":{}}}`), &x), Unmarshal([]byte(`{"map":{"new":{}}}`), &y)} {
		if err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(x, y) {
		t.Errorf("got %+v, want %+v", y, x)
	}
}

// What is plain is not left to encoding/json, or nothing would be gained.
func TestReadsItself(t *testing.T) {
	v := outer{
		Version: 1, Created: time.Now(), List: []string{"a", "b"}, Many: []inner{{Name: "x", Depth: &inner{}}},
		Map: map[string]inner{"k": {Tags: map[string]string{"a": "b"}}}, Ports: map[string][]inner{"80/tcp": {{}}}, Score: new(int),
	}
	data, ok := appendValue(nil, reflect.ValueOf(&v))
	if !ok {
		t.Fatal("an ordinary record is not written")
	}
	d := decoder{data: data}
	if !d.value(reflect.New(reflect.TypeFor[outer]()).Elem(), 0) || d.at != len(data) {
		t.Fatalf("an ordinary record is not read beyond byte %d of %s", d.at, data)
	}
}

func FuzzAsEncodingJSON(f *testing.F) {
	for _, document := range documents {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range kinds {
			check(t, data, kind)
		}
	})
}
