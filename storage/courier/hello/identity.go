package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

func whoIAm(p proc) section {
	host, _ := os.Hostname()
	return section{"Who I am", []row{
		{"user", fmt.Sprintf("uid %d, gid %d", os.Getuid(), os.Getgid())},
		{"outside I am", outside(p)},
		{"host name", host},
		{"process", fmt.Sprintf("pid %d: %s", os.Getpid(), strings.Join(os.Args, " "))},
	}}
}

// outside translates our uid with the user namespace's map.
func outside(p proc) string {
	for line := range strings.Lines(p.read("self/uid_map")) {
		inside, host, length, ok := idRange(line)
		if uid := int64(os.Getuid()); ok && uid >= inside && uid < inside+length {
			return fmt.Sprintf("uid %d", host+uid-inside)
		}
	}
	return ""
}

// idRange reads a line of uid_map (user_namespaces(7)).
func idRange(line string) (inside, host, length int64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return 0, 0, 0, false
	}
	var n [3]int64
	for i, f := range fields {
		v, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, 0, false
		}
		n[i] = v
	}
	return n[0], n[1], n[2], true
}

func whatISee(p proc) section {
	kernel := p.read("sys/kernel/osrelease")
	return section{"What I see", []row{
		{"root file system", rootType(p)},
		{"in it", entries("/")},
		{"mounts", strconv.Itoa(lines(p.read("self/mountinfo")))},
		{"processes", processes(p)},
		{"kernel", kernel},
	}}
}

// rootType finds the root in mountinfo (proc_pid_mountinfo(5)): the type is
// the first field behind the dash.
func rootType(p proc) string {
	kind := ""
	for line := range strings.Lines(p.read("self/mountinfo")) {
		fields := strings.Fields(line)
		if len(fields) < 7 || fields[4] != "/" {
			continue
		}
		mode := "writable"
		if strings.HasPrefix(fields[5], "ro") {
			mode = "read-only"
		}
		_, after, _ := strings.Cut(line, " - ")
		if of := strings.Fields(after); len(of) > 0 {
			kind = of[0] + ", " + mode
		}
	}
	return kind
}

func entries(dir string) string {
	found, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var names []string
	for _, e := range found {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// processes counts the directories of /proc that are numbers.
func processes(p proc) string {
	found, err := os.ReadDir(string(p))
	if err != nil {
		return ""
	}
	n := 0
	for _, e := range found {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			n++
		}
	}
	if n == 1 {
		return "only me"
	}
	return strconv.Itoa(n)
}

func lines(s string) int {
	if s == "" {
		return 0
	}
	return strings.Count(s, "\n") + 1
}
