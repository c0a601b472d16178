package deps

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// largest is a bound for files under version control, in bytes: what is built is
// made anew everywhere, and stays in the history for good once it was added.
const largest = 512 << 10

func TestRepository_HoldsNothingThatIsBuilt(t *testing.T) {
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Skip("not in a clone:", err)
	}
	dir := strings.TrimSpace(string(root))
	list, err := exec.Command("git", "-C", dir, "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Split(strings.Trim(string(list), "\x00"), "\x00") {
		info, err := os.Lstat(dir + "/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > largest {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
}
