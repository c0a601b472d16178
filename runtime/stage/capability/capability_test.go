package capability

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse_TakesDockersSpellings(t *testing.T) {
	for _, tc := range []struct {
		name string
		want uint64
		ok   bool
	}{
		{"CAP_NET_RAW", 1 << unix.CAP_NET_RAW, true},
		{"net_raw", 1 << unix.CAP_NET_RAW, true},
		{"cap_Sys_Admin", 1 << unix.CAP_SYS_ADMIN, true},
		{"CHECKPOINT_RESTORE", 1 << unix.CAP_CHECKPOINT_RESTORE, true},
		{"", 0, false},
		{"CAP_", 0, false},
		{"NET_RAW ", 0, false},
		{"FLY", 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := Parse(tc.name)
			if got != tc.want || ok != tc.ok {
				t.Errorf("got %x, %t, want %x, %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestNames_IsTheInverseOfParse(t *testing.T) {
	names := Names(All)
	if len(names) != unix.CAP_LAST_CAP+1 {
		t.Fatalf("got %d names, the kernel headers have %d", len(names), unix.CAP_LAST_CAP+1)
	}
	var set uint64
	for _, n := range names {
		bit, ok := Parse(n)
		if !ok {
			t.Errorf("%s is not parsed", n)
		}
		set |= bit
	}
	if set != All {
		t.Errorf("got %x, want %x", set, All)
	}
	if got, want := Names(1<<unix.CAP_KILL|1), []string{"CAP_CHOWN", "CAP_KILL"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
