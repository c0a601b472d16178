package failure

import (
	"errors"
	"fmt"
	"testing"

	"skiff/storage/atomicfile"
)

// A list that lacks damaged entries alone is a success with warnings.
func TestListed(t *testing.T) {
	damaged := fmt.Errorf("read container: %w", &atomicfile.DamagedError{Path: "/a", Reason: "it is missing"})
	newer := &atomicfile.NewerError{Path: "/b", Version: 2, Known: 1}
	for _, test := range []struct {
		name          string
		shown, broken error
		warnings      int // 0: a failure
	}{
		{"damage", nil, errors.Join(damaged, errors.Join(damaged, damaged)), 3},
		{"a newer format", nil, errors.Join(damaged, newer), 0},
		{"no directory", nil, errors.New("list containers: permission denied"), 0},
		{"nobody hears it", errors.New("broken pipe"), damaged, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Listed(test.shown, test.broken)
			var beside *Beside
			if errors.As(err, &beside) != (test.warnings > 0) || err == nil {
				t.Fatalf("got %T: %v", err, err)
			}
			if beside != nil && len(beside.Damaged) != test.warnings {
				t.Errorf("%d warnings: %v", len(beside.Damaged), beside)
			}
			if test.shown != nil && !errors.Is(err, test.shown) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := Listed(nil, nil); err != nil {
		t.Error(err)
	}
}
