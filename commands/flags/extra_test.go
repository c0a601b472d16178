package flags

import (
	"testing"

	"skiff/storage/container"
)

func TestParseIDMapping(t *testing.T) {
	for _, test := range []struct {
		in   string
		want container.IDMapping
		bad  bool
	}{
		{in: "0:1:1000", want: container.IDMapping{Container: 0, Host: 1, Size: 1000}},
		{in: "7:9", want: container.IDMapping{Container: 7, Host: 9, Size: 1}},
		{in: "", bad: true},
		{in: "1", bad: true},
		{in: "1:2:0", bad: true},
		{in: "1:2:3:4", bad: true},
		{in: "-1:2:3", bad: true},
		{in: "+1:2:3", bad: true},
		{in: "1:2:4294967295", bad: true},
		{in: "4294967295:0:1", bad: true},
	} {
		got, err := ParseIDMapping(test.in)
		if got != test.want && !test.bad || (err != nil) != test.bad {
			t.Errorf("%q: got %v, %v", test.in, got, err)
		}
	}
}
