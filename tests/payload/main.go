// Command payload is what containers without any image contents run: one small
// static program that shows how it was started, confined and told to end.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var verbs = map[string]func(args []string) error{
	"args":     func(args []string) error { return printed(strings.Join(args, " ")) },
	"activate": activate,
	"caps":     caps,
	"cat":      cat,
	"cwd":      cwd,
	"env":      func([]string) error { return printed(strings.Join(os.Environ(), "\n")) },
	"echo":     echo,
	"exit":     exit,
	"fds":      fds,
	"frame":    frame,
	"hear":     hear,
	"id":       id,
	"lookup":   lookup,
	"lookups":  lookups,
	"notify":   notify,
	"restrict": restrict,
	"say":      say,
	"segments": segments,
	"send":     send,
	"serve":    serve,
	"sleep":    sleep,
	"stat":     stat,
	"swap":     swap,
	"talk":     talk,
	"syscalls": syscalls,
	"trap":     trap,
	"tty":      tty,
	"write":    write,
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "payload: no such verb:", os.Args[1:])
		os.Exit(64)
	}
	if err := verbs[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "payload:", err)
		os.Exit(1)
	}
}

func printed(line string) error {
	_, err := fmt.Println(line)
	return err
}

// swap exchanges two files for ever, and says so once it has done it 2,000 times.
func swap(args []string) error {
	for n := 1; ; n++ {
		if err := unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE); err != nil {
			return err
		}
		if n == 2000 {
			fmt.Println("2000 swaps")
		}
	}
}

// caps prints what proc(5) says about capabilities, seccomp and privileges.
func caps([]string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Seccomp:") {
			fmt.Print(line)
		}
	}
	return nil
}

// cat prints files, or standard input.
func cat(paths []string) error {
	if len(paths) == 0 {
		_, err := os.Stdout.ReadFrom(os.Stdin)
		return err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(data); err != nil {
			return err
		}
	}
	return nil
}

func cwd([]string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	return printed(dir)
}

// exit ends with a code.
func exit(args []string) error {
	code, err := strconv.Atoi(strings.Join(args, ""))
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// fds prints the descriptors that the program was started with. Those that the
// Go runtime opened itself are marked close-on-exec; an inherited one cannot be.
func fds([]string) error {
	var open []string
	for fd := range 1024 {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			open = append(open, strconv.Itoa(fd))
		}
	}
	return printed(strings.Join(open, " "))
}

// id prints user, group and supplementary groups.
func id([]string) error {
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	sort.Ints(groups)
	return printed(fmt.Sprint(os.Getuid(), " ", os.Getgid(), " ", groups))
}

func sleep(args []string) error {
	seconds, err := strconv.ParseFloat(strings.Join(args, ""), 64)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	return nil
}

// stat prints mode, owner and size of paths.
func stat(paths []string) error {
	for _, path := range paths {
		var s unix.Stat_t
		if err := unix.Lstat(path, &s); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Printf("%s %o %d:%d %d\n", path, s.Mode, s.Uid, s.Gid, s.Size)
	}
	return nil
}

// trap says "ready", then the name of the first signal that comes, and ends
// with the code that it is given.
func trap(args []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals)
	signal.Reset(syscall.SIGURG) // the Go runtime's own
	if err := printed("ready"); err != nil {
		return err
	}
	s := <-signals
	if err := printed(unix.SignalName(s.(syscall.Signal))); err != nil {
		return err
	}
	if len(args) == 0 {
		return nil
	}
	return exit(args)
}

// tty says whether each standard stream is a terminal, and its size.
func tty([]string) error {
	for fd := range 3 {
		size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err != nil {
			fmt.Println(fd, "no")
			continue
		}
		fmt.Println(fd, size.Row, size.Col)
	}
	return nil
}

// write puts its further arguments into the file that the first one names.
func write(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("write: no path")
	}
	return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
}
