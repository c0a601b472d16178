package logdriver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// JournalSocket is where journald takes messages.
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL/
const JournalSocket = "/run/systemd/journal/socket"

// longestLine is the length in bytes at which a line goes to the journal in
// parts, as docker's does.
const longestLine = 16 << 10

// journal sends lines to journald, beside the log of our own that `logs` reads.
type journal struct {
	fd     int
	fields []byte // those of every message, as they are sent
	rest   [3][]byte
}

// journalWait bounds how long journald may hold a container back, in seconds;
// what it does not take then is only in our own log.
const journalWait = 1

// openJournal connects to journald. fields are KEY=value.
func openJournal(socket string, fields []string) (*journal, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to journald: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: journalWait})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect to journald: %w", err)
	}
	j := &journal{fd: fd}
	for _, f := range fields {
		key, value, _ := bytes.Cut([]byte(f), []byte("="))
		j.fields = appendField(j.fields, string(key), value)
	}
	return j, nil
}

// appendField adds a field: a value with a newline has its length before it.
func appendField(b []byte, key string, value []byte) []byte {
	b = append(b, key...)
	if bytes.IndexByte(value, '\n') < 0 {
		return append(append(append(b, '='), value...), '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	return append(append(b, value...), '\n')
}

// write sends the whole lines and keeps the rest of a last one.
func (j *journal) write(kind byte, p []byte) {
	rest := &j.rest[kind%3]
	for len(p) > 0 {
		line, after, whole := bytes.Cut(p, []byte("\n"))
		if left := longestLine - len(*rest); len(line) > left {
			j.send(kind, append(*rest, line[:left]...), true)
			*rest, p = (*rest)[:0], p[left:]
			continue
		}
		*rest = append(*rest, line...)
		if whole {
			j.send(kind, *rest, false)
			*rest = (*rest)[:0]
		}
		p = after
	}
}

func (j *journal) send(kind byte, line []byte, part bool) {
	message := appendField(nil, "MESSAGE", line)
	priority := "6" // informational, docker's for standard output
	if kind == Stderr {
		priority = "3" // error
	}
	message = appendField(message, "PRIORITY", []byte(priority))
	if part {
		message = appendField(message, "CONTAINER_PARTIAL_MESSAGE", []byte("true"))
	}
	message = append(message, j.fields...)
	for {
		// Lost for the journal if journald is not there any more or too slow.
		if err := unix.Send(j.fd, message, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// close sends what has no newline.
func (j *journal) close() {
	for _, kind := range []byte{Stdout, Stderr} {
		if len(j.rest[kind]) > 0 {
			j.send(kind, j.rest[kind], false)
		}
	}
	unix.Close(j.fd)
}
