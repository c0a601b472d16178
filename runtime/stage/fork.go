package stage

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// outcome says what the result of a call means.
type outcome int

const (
	must   outcome = iota // an error ends the program
	may                   // an error is nothing
	guard                 // an error skips the next call
	full                  // less than its third argument ends the program
	inside                // the program's cwd must begin with a slash then
)

// call is one system call.
type call struct {
	outcome
	number     uintptr
	a, b, c, d uintptr
}

// calls is what a child does between fork and exec. It is a copy with one thread of
// a program with several, whose locks may be held for ever, so that it may run
// nothing of Go: not grow a stack, not allocate.
type calls struct {
	list []call
	// kept is what the calls point to.
	kept []any
	cwd  [unix.PathMax]byte
	// report is where the child says that a call failed.
	report int
	said   [message.HeaderSize]byte
	pidfd  int32
}

// The Go runtime's own, as package syscall uses them. Other programs fork by hand,
// too, for which Go keeps these names (runtime/proc.go).
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// add appends a call whose error ends the child.
func (l *calls) add(number uintptr, args ...uintptr) { l.then(must, number, args...) }

func (l *calls) then(o outcome, number uintptr, args ...uintptr) {
	var a [4]uintptr
	copy(a[:], args)
	l.list = append(l.list, call{o, number, a[0], a[1], a[2], a[3]})
}

// fork starts a child of the calling thread, which must be locked, that makes the
// calls, the last of which execute a program. Where one fails the child says StepFailed
// on report, waits until nobody listens there any more, and ends.
//
//go:norace
//go:noinline
func (l *calls) fork() (pid, pidfd int, err error) {
	l.said = message.Header(message.StepFailed, 0)
	beforeFork()
	child, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|unix.CLONE_PIDFD, 0, uintptr(unsafe.Pointer(&l.pidfd)), 0, 0, 0)
	if errno != 0 || child != 0 {
		afterFork()
		if errno != 0 {
			return 0, -1, errno
		}
		return int(child), int(l.pidfd), nil
	}
	afterForkInChild()
	for i := 0; i < len(l.list); i++ {
		k := &l.list[i]
		n, _, errno := syscall.RawSyscall6(k.number, k.a, k.b, k.c, k.d, 0, 0)
		if errno == 0 && (k.outcome != full || n == k.c) && (k.outcome != inside || l.cwd[0] == '/') {
			continue
		}
		if k.outcome == guard {
			i++
		} else if k.outcome != may {
			break
		}
	}
	syscall.RawSyscall6(unix.SYS_WRITE, uintptr(l.report), uintptr(unsafe.Pointer(&l.said)), message.HeaderSize, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_READ, uintptr(l.report), uintptr(unsafe.Pointer(&l.said)), 1, 0, 0, 0)
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 126, 0, 0, 0, 0, 0)
	}
}
