package stage

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDatabase bounds what is read of a container's passwd and group files,
// which the image wrote (reliability A-11).
const maxDatabase = 10 << 20

// identity is who a process runs as.
type identity struct {
	uid, gid int
	groups   []int
	home     string
}

// lookUp resolves docker's -u ("user", "user:group", names or numbers) and
// additional groups against the /etc/passwd and /etc/group of the process's
// root. Numbers need no entry.
func lookUp(spec string, add []string) (*identity, error) {
	user, group, hasGroup := strings.Cut(spec, ":")
	if strings.Contains(group, ":") {
		return nil, fmt.Errorf("invalid user %q", spec)
	}
	id := &identity{home: "/"}
	name := ""
	uid, numeric := 0, true
	if user != "" {
		var err error
		if uid, numeric, err = parseID(user); err != nil {
			return nil, err
		}
	}
	found := false
	err := eachLine("/etc/passwd", func(f []string) bool {
		if len(f) < 7 || !(f[0] == user || numeric && f[2] == strconv.Itoa(uid)) {
			return false
		}
		u, ok1, err1 := parseID(f[2])
		g, ok2, err2 := parseID(f[3])
		if !ok1 || !ok2 || err1 != nil || err2 != nil {
			return false
		}
		found, name = true, f[0]
		id.uid, id.gid = u, g
		if f[5] != "" {
			id.home = f[5]
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if !found {
		if !numeric {
			return nil, fmt.Errorf("unable to find user %s: no matching entries in passwd file", user)
		}
		id.uid, id.gid = uid, 0
	}
	wanted := add
	if hasGroup && group != "" {
		wanted = append([]string{group}, add...)
	}
	groups, err := lookUpGroups(wanted, name, !hasGroup)
	if err != nil {
		return nil, err
	}
	if hasGroup && group != "" {
		id.gid = groups[0]
		groups = groups[1:]
	}
	// The primary group is listed too: permissions that deny a group must not
	// be escaped by leaving it out (CVE-2022-2989 and its family).
	id.groups = append([]int{id.gid}, groups...)
	return id, nil
}

// lookUpGroups resolves each wanted group, in order, and with members also
// those that list the user as a member.
func lookUpGroups(wanted []string, user string, members bool) ([]int, error) {
	out := make([]int, len(wanted))
	have := make([]bool, len(wanted))
	for i, w := range wanted {
		gid, numeric, err := parseID(w)
		if err != nil {
			return nil, err
		}
		out[i], have[i] = gid, numeric
	}
	err := eachLine("/etc/group", func(f []string) bool {
		if len(f) < 4 {
			return false
		}
		gid, ok, err := parseID(f[2])
		if !ok || err != nil {
			return false
		}
		for i, w := range wanted {
			if !have[i] && f[0] == w {
				out[i], have[i] = gid, true
			}
		}
		if members && user != "" {
			for _, m := range strings.Split(f[3], ",") {
				if m == user {
					out = append(out, gid)
				}
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	for i, w := range wanted {
		if !have[i] {
			return nil, fmt.Errorf("unable to find group %s: no matching entries in group file", w)
		}
	}
	return out, nil
}

// parseID reads a user or group number: the whole string, decimal, below 2^31.
// numeric is false for what must be a name.
func parseID(s string) (id int, numeric bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		if s == "" || s[0] == '-' || s[0] == '+' || strings.ContainsAny(s, " \t\n\r\x00") {
			return 0, false, fmt.Errorf("invalid user or group %q", s)
		}
		return 0, false, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<31-1 {
		return 0, false, fmt.Errorf("uids and gids must be in range 0-2147483647: %q", s)
	}
	return int(n), true, nil
}

// eachLine calls f with the fields of each line until it returns true. The file
// is the image's: it may be absent, must be regular, and never makes us wait.
func eachLine(path string, f func(fields []string) bool) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	lines := bufio.NewScanner(io.LimitReader(rawFile(fd), maxDatabase))
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		if f(strings.Split(lines.Text(), ":")) {
			return nil
		}
	}
	return nil
}

// rawFile reads a descriptor without the runtime's poller, which os.File would
// set up for a non-blocking one.
type rawFile int

func (r rawFile) Read(p []byte) (int, error) {
	n, err := unix.Read(int(r), p)
	if n <= 0 && err == nil {
		err = io.EOF
	}
	return max(n, 0), err
}
