package harness

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// account is the unprivileged user that the tests run as, for one test program
// at a time: the lock makes "no process of this user is left" a fair question.
type account struct {
	name     string
	uid, gid int
	switched bool // the harness is root and becomes this user for each command
	subuids  []idRange
	lock     *os.File
}

type idRange struct{ first, count int }

// accounts is how many test programs may run side by side.
const accounts = 8

// acquireAccount returns the caller's own account, or as root one of the test
// users skiff-test-N that no other test program holds.
func acquireAccount(root string) (*account, error) {
	if os.Getuid() != 0 {
		current, err := user.Current()
		if err != nil {
			return nil, fmt.Errorf("look up the current user: %w", err)
		}
		lock, err := lockFile(filepath.Join("/var/tmp", "skiff-e2e-"+current.Uid+".lock"), 0)
		if err != nil {
			return nil, err
		}
		return describe(current, lock, false)
	}
	for n := 1; n <= accounts; n++ {
		name := fmt.Sprintf("skiff-test-%d", n)
		lock, err := lockFile("/run/"+name+".lock", unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if out, err := exec.Command(filepath.Join(root, "tests/as-user"), name).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("make user %s: %w\n%s", name, err, out)
		}
		made, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", name, err)
		}
		return describe(made, lock, true)
	}
	return nil, errors.New("all test users are taken by other test programs")
}

func describe(u *user.User, lock *os.File, switched bool) (*account, error) {
	a := &account{name: u.Username, switched: switched, lock: lock}
	var err error
	if a.uid, err = strconv.Atoi(u.Uid); err != nil {
		return nil, fmt.Errorf("uid of %s: %w", u.Username, err)
	}
	if a.gid, err = strconv.Atoi(u.Gid); err != nil {
		return nil, fmt.Errorf("gid of %s: %w", u.Username, err)
	}
	a.subuids, err = subids("/etc/subuid", u.Username)
	return a, err
}

// subids reads the ranges of one user (subuid(5)). No file is no range.
func subids(path, name string) ([]idRange, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read subordinate ids: %w", err)
	}
	defer f.Close()
	var ranges []idRange
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) != 3 || fields[0] != name {
			continue
		}
		first, err1 := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		ranges = append(ranges, idRange{first, count})
	}
	return ranges, nil
}

// owns reports whether uid is the account's or one of its subordinate ones.
func (a *account) owns(uid int) bool {
	if uid == a.uid {
		return true
	}
	for _, r := range a.subuids {
		if uid >= r.first && uid < r.first+r.count {
			return true
		}
	}
	return false
}

// credential is what a command must start with to be this user.
func (a *account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid), Groups: []uint32{uint32(a.gid)}}
}

// give makes path the account's.
func (a *account) give(path string) error {
	if !a.switched {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// lockFile takes the flock of path for the life of this process; how is 0 to
// wait for it or LOCK_NB.
func lockFile(path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the test user: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
