package stage

import (
	"bytes"
	"os"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"skiff/runtime/stage/message"
)

// forked makes calls in a child and returns how it ended, and whether it said that
// one of them failed.
func forked(t *testing.T, make func(l *calls)) (code int, said bool) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ours, theirs, err := message.Pair()
	if err != nil {
		t.Fatal(err)
	}
	l := &calls{report: theirs.FD}
	l.add(unix.SYS_CLOSE, uintptr(ours.FD)) // as others hold it elsewhere
	make(l)
	pid, pidfd, err := l.fork()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	kind, _, _, err := ours.Recv()
	said = err == nil && kind == message.StepFailed
	ours.Close() // for which it waits
	return wait(pid), said
}

func TestFork(t *testing.T) {
	text := func(l *calls, s string) uintptr {
		at, err := l.text(s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	shell := func(l *calls, script string) {
		argv, err := l.texts([]string{"sh", "-c", script})
		if err != nil {
			t.Fatal(err)
		}
		env, err := l.texts(nil)
		if err != nil {
			t.Fatal(err)
		}
		l.add(unix.SYS_EXECVE, text(l, "/bin/sh"), argv, env)
	}
	nowhere := uintptr(1 << 30) // a descriptor
	tests := []struct {
		name string
		make func(l *calls)
		code int
		said bool
	}{
		{"executes", func(l *calls) { shell(l, "exit 7") }, 7, false},
		{"ends at an error", func(l *calls) { l.add(unix.SYS_CLOSE, nowhere); shell(l, "exit 7") }, 126, true},
		{"goes on where an error may be", func(l *calls) { l.then(may, unix.SYS_CLOSE, nowhere); shell(l, "exit 7") }, 7, false},
		{"skips what is guarded", func(l *calls) {
			l.then(guard, unix.SYS_CLOSE, nowhere)
			shell(l, "exit 8")
			shell(l, "exit 7")
		}, 7, false},
		{"does what is guarded", func(l *calls) {
			l.then(guard, unix.SYS_GETPID)
			shell(l, "exit 8")
			shell(l, "exit 7")
		}, 8, false},
		{"wants all bytes", func(l *calls) {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			l.kept = append(l.kept, null)
			l.then(full, unix.SYS_READ, null.Fd(), l.bytes([]byte{0}), 1)
			shell(l, "exit 7")
		}, 126, true},
		{"wants a directory within the root", func(l *calls) {
			l.cwd[0] = '('
			l.then(inside, unix.SYS_GETPID)
			shell(l, "exit 7")
		}, 126, true},
		{"knows where it is", func(l *calls) {
			l.add(unix.SYS_CHDIR, text(l, "/usr"))
			l.then(inside, unix.SYS_GETCWD, uintptr(unsafe.Pointer(&l.cwd)), unix.PathMax)
			shell(l, "test $PWD = /usr")
		}, 0, false},
		{"lacks a call", func(*calls) {}, 126, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if code, said := forked(t, test.make); code != test.code || said != test.said {
				t.Errorf("code %d, want %d; said %v, want %v", code, test.code, said, test.said)
			}
		})
	}
}

// The child of a program whose threads allocate, collect garbage and grow stacks does
// not wait for their locks.
func TestFork_WhileOthersWork(t *testing.T) {
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = bytes.Repeat([]byte("x"), 1<<16)
					runtime.GC()
				}
			}
		})
	}
	for range 100 {
		code, said := forked(t, func(l *calls) {
			argv, err := l.texts([]string{"true"})
			if err != nil {
				t.Fatal(err)
			}
			file, err := l.text("/bin/true")
			if err != nil {
				t.Fatal(err)
			}
			l.add(unix.SYS_EXECVE, file, argv, argv)
		})
		if code != 0 || said {
			t.Errorf("code %d, said %v", code, said)
		}
	}
	close(stop)
	others.Wait()
}
