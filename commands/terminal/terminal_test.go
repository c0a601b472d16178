package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestParseDetachKeys(t *testing.T) {
	cases := []struct{ in, want, err string }{
		{"", "", ""},
		{DefaultDetachKeys, "\x10\x11", ""},
		{"a,ctrl-a", "a\x01", ""},
		{"ctrl-@,ctrl-_,ctrl-[", "\x00\x1f\x1b", ""},
		{"ctrl-A", "\x01", ""},
		{"ab", "", "invalid detach keys (ab): Unknown character: 'ab'"},
		{"ctrl-", "", "invalid detach keys (ctrl-): Unknown character: 'ctrl-'"},
		{"a,", "", "invalid detach keys (a,): Unknown character: ''"},
		{"ctrl-1", "", "invalid detach keys (ctrl-1): Unknown character: 'ctrl-1'"},
	}
	for _, c := range cases {
		got, err := ParseDetachKeys(c.in)
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%q: %q, %v; want %q, %q", c.in, got, err, c.want, c.err)
		}
	}
}

func TestReader(t *testing.T) {
	cases := []struct {
		name, keys, in, want string
		detach               bool
	}{
		{"passes on what is no sequence", "pq", "hello pp q", "hello pp q", false},
		{"detaches behind other keys", "pq", "hello pqrest", "hello ", true},
		{"sees a sequence that begins late", "aab", "aaab", "a", true},
		{"passes on a sequence cut off by the end", "pq", "xp", "xp", false},
		{"does nothing without keys", "", "pq", "pq", false},
		{"detaches on one key", "q", "q", "", true},
	}
	for _, c := range cases {
		for _, bytewise := range []bool{false, true} {
			var from io.Reader = strings.NewReader(c.in)
			if bytewise {
				from = iotest.OneByteReader(from)
			}
			var got bytes.Buffer
			_, err := io.Copy(&got, NewReader(from, []byte(c.keys)))
			if got.String() != c.want || errors.Is(err, ErrDetach) != c.detach {
				t.Errorf("%s: %q, %v; want %q, %v", c.name, got.String(), err, c.want, c.detach)
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("aab", "xaaabyaab")
	f.Fuzz(func(t *testing.T, keys, in string) {
		var got bytes.Buffer
		_, err := io.Copy(&got, NewReader(strings.NewReader(in), []byte(keys)))
		before, _, found := strings.Cut(in, keys)
		if keys == "" {
			before, found = in, false
		}
		// A sequence that overlaps itself may be seen later, never earlier.
		if errors.Is(err, ErrDetach) != found || found && !strings.HasPrefix(got.String(), before) && got.String() != before {
			t.Errorf("keys %q in %q: %q, %v", keys, in, got.String(), err)
		}
		if !found && got.String() != in {
			t.Errorf("keys %q changed %q to %q", keys, in, got.String())
		}
	})
}

func TestReadLine(t *testing.T) {
	in := strings.NewReader("one\r\ntwo\nlast")
	for _, want := range []string{"one", "two", "last", ""} {
		if got, err := ReadLine(t.Context(), in); got != want || err != nil {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	silent, unused := io.Pipe()
	defer unused.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ReadLine(ctx, silent); !errors.Is(err, context.Canceled) {
		t.Errorf("of somebody who says nothing: %v", err)
	}
}
