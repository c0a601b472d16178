package stage

import "testing"

func TestParseID(t *testing.T) {
	for _, tc := range []struct {
		in      string
		id      int
		numeric bool
		fails   bool
	}{
		{in: "0", numeric: true},
		{in: "1000", id: 1000, numeric: true},
		{in: "2147483647", id: 2147483647, numeric: true},
		{in: "root"},
		{in: "1000x"},
		{in: "0x0"},
		{in: "2147483648", fails: true},
		{in: "4294967295", fails: true},
		{in: "4294967296", fails: true},
		{in: "99999999999999999999", fails: true},
		{in: "-1", fails: true},
		{in: "+0", fails: true},
		{in: "", fails: true},
		{in: "1000 0", fails: true},
		{in: "root\nx", fails: true},
	} {
		t.Run(tc.in, func(t *testing.T) {
			id, numeric, err := parseID(tc.in)
			if (err != nil) != tc.fails {
				t.Fatalf("got error %v, want one: %t", err, tc.fails)
			}
			if id != tc.id || numeric != tc.numeric {
				t.Errorf("got %d, %t, want %d, %t", id, numeric, tc.id, tc.numeric)
			}
		})
	}
}

func TestAhead_IsReadAsWritten(t *testing.T) {
	m := &monitor{}
	m.cloneAhead("nonsense")
	if m.ahead != nil {
		t.Error("an init was cloned from nonsense")
	}
	if got, want := Ahead(0x6c020000, true, false), "6c020000,true,false"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
