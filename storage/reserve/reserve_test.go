package reserve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"skiff/storage"
)

func TestFill_UseAndFillAgain(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	if Use(st) {
		t.Error("there is a reserve that nobody made")
	}
	Fill(st)
	info, err := os.Stat(filepath.Join(st.Dir, file))
	if err != nil || info.Size() != least {
		t.Fatalf("reserve of %v, %v", info, err)
	}
	if !Use(st) {
		t.Error("the reserve cannot be used")
	}
	Fill(st)
	if _, err := os.Stat(filepath.Join(st.Dir, file)); err != nil {
		t.Error(err)
	}
}

func TestRetry_OnlyWhereThereWasNoRoom(t *testing.T) {
	full := fmt.Errorf("write: %w", unix.EDQUOT)
	for _, test := range []struct {
		name  string
		first error
		tries int
		left  bool
	}{
		{"no room over a quota", full, 2, false},
		{"no room on the disk", unix.ENOSPC, 2, false},
		{"another failure", unix.EIO, 1, true},
		{"no failure", nil, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			st := &storage.Store{Dir: t.TempDir()}
			Fill(st)
			tries := 0
			err := Retry(st, func() error {
				if tries++; tries > 1 {
					return nil
				}
				return test.first
			})
			if tries != test.tries || tries == 1 && !errors.Is(err, test.first) || tries == 2 && err != nil {
				t.Errorf("%d tries, %v", tries, err)
			}
			if left := Use(st); left != test.left {
				t.Errorf("the reserve is left: %v", left)
			}
		})
	}
	if err := Retry(&storage.Store{Dir: t.TempDir()}, func() error { return full }); !errors.Is(err, unix.EDQUOT) {
		t.Errorf("without a reserve: %v", err)
	}
}
