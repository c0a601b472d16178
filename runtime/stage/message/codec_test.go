package message

import (
	"errors"
	"reflect"
	"testing"
)

func full() *Init {
	score := -5
	return &Init{
		Mountpoint: "/m", Hostname: "box", NetworkWanted: true, RootPropagation: 1 << 18,
		Mounts: []Mount{{Destination: "/proc", Type: "proc", Set: 1<<63 | 5, Data: []string{"a=b", ""}}, {Optional: true}},
		State:  State{ID: "x", Annotations: map[string]string{"k": "v", "": "\x00"}},
		Process: Process{
			Args: []string{"sh"}, UID: 1 << 30, GID: -1, Umask: -1, OOMScore: &score,
			Rlimits: []Rlimit{{Resource: 7, Soft: 1<<64 - 1, Hard: 3}}, Size: Size{Rows: 24, Cols: 80},
		},
	}
}

func TestDecode_IsEncodesInverse(t *testing.T) {
	for _, want := range []any{full(), &Init{}, &Monitor{ID: "x", Attach: &Attach{Stdin: true}, Launch: Launch{Overlay: &Overlay{Lower: []string{"a", "b"}}}}} {
		got := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if err := Decode(Encode(want), got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
	}
}

func TestDecode_RefusesWhatIsCutOrLonger(t *testing.T) {
	data := Encode(full())
	for n := range data {
		if err := Decode(data[:n], &Init{}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at %d: got %v", n, err)
		}
	}
	if err := Decode(append(data, 0), &Init{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a byte too many: got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Encode(full()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Init
		if Decode(data, &v) == nil {
			var again Init
			if err := Decode(Encode(&v), &again); err != nil || !reflect.DeepEqual(v, again) {
				t.Errorf("not stable: %v", err)
			}
		}
	})
}
