package image

import (
	"strings"
	"testing"
)

func TestContains(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for _, c := range []struct {
		data, needle string
		want         bool
	}{
		{"", "", true},
		{"abc", "bc", true},
		{"abc", "bd", false},
		{"x" + id, id, true},
		{id[1:], id, false},
		{id[:40] + id, id, true},
		{id[:63], id, false},
		{id[:32] + id[:32] + id[:63], id, true},
		{strings.Repeat("a", 100), strings.Repeat("a", 64), true},
		{strings.Repeat("a", 63), strings.Repeat("a", 64), false},
	} {
		if got := Contains([]byte(c.data), []byte(c.needle)); got != c.want || got != strings.Contains(c.data, c.needle) {
			t.Errorf("%q in %q: got %v", c.needle, c.data, got)
		}
	}
}
