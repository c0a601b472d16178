package message

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// maxBody bounds a message: far above any configuration, far below harm.
const maxBody = 64 << 20

// HeaderSize is the length of what goes before each body: the type and the
// body's length, little endian.
const HeaderSize = 5

// Conn is one end of a stream socket that carries messages. Send and Recv may
// be used by one goroutine each.
type Conn struct{ FD int }

// Pair returns two connected ends, close-on-exec.
func Pair() (a, b Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Conn{-1}, Conn{-1}, fmt.Errorf("socketpair: %w", err)
	}
	return Conn{fds[0]}, Conn{fds[1]}, nil
}

// Close closes the socket.
func (c Conn) Close() error { return unix.Close(c.FD) }

// Header returns the bytes that go before a body of n bytes.
func Header(t Type, n int) [HeaderSize]byte {
	var h [HeaderSize]byte
	h[0] = byte(t)
	binary.LittleEndian.PutUint32(h[1:], uint32(n))
	return h
}

// ParseHeader is Header's inverse; it refuses absurd lengths.
func ParseHeader(h []byte) (Type, int, error) {
	n := binary.LittleEndian.Uint32(h[1:HeaderSize])
	if n > maxBody {
		return 0, 0, fmt.Errorf("message of %d bytes", n)
	}
	return Type(h[0]), int(n), nil
}

// Send writes one message with descriptors for the other side.
func (c Conn) Send(t Type, body []byte, fds ...int) error {
	h := Header(t, len(body))
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	buf := append(h[:], body...)
	for len(buf) > 0 {
		n, err := unix.SendmsgN(c.FD, buf, oob, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("send message %d: %w", t, err)
		}
		buf, oob = buf[n:], nil
	}
	return nil
}

// SendJSON writes one message with v as its body.
func (c Conn) SendJSON(t Type, v any, fds ...int) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("send message %d: %w", t, err)
	}
	return c.Send(t, body, fds...)
}

// SendConfig writes one message with the configuration v as its body.
func (c Conn) SendConfig(t Type, v any, fds ...int) error { return c.Send(t, Encode(v), fds...) }

// SendLaunch writes what Launch leaves out of its JSON, with descriptors for the
// init.
func (c Conn) SendLaunch(l *Launch, fds ...int) error {
	if err := c.Send(SeccompFilter, l.Filter); err != nil {
		return err
	}
	return c.Send(InitConfig, l.Init, fds...)
}

// RecvLaunch reads what SendLaunch wrote.
func (c Conn) RecvLaunch(l *Launch) (fds []int, err error) {
	for _, part := range []struct {
		want Type
		to   *[]byte
	}{{SeccompFilter, &l.Filter}, {InitConfig, &l.Init}} {
		t, body, got, err := c.Recv()
		if err != nil {
			return nil, err
		}
		if t != part.want {
			return nil, fmt.Errorf("receive message: want type %d, got %d", part.want, t)
		}
		*part.to, fds = body, append(fds, got...)
	}
	return fds, nil
}

// Recv reads one message. It returns io.EOF when the other side closed between
// messages. Received descriptors are close-on-exec and the caller's to close.
func (c Conn) Recv() (t Type, body []byte, fds []int, err error) {
	var h [HeaderSize]byte
	oob := make([]byte, unix.CmsgSpace(4*(MaxGiven+8)))
	got := 0
	for got < HeaderSize {
		n, oobn, _, _, err := unix.Recvmsg(c.FD, h[got:], oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, nil, nil, fmt.Errorf("receive message: %w", err)
		}
		if n == 0 {
			if got == 0 {
				return 0, nil, nil, io.EOF
			}
			return 0, nil, nil, io.ErrUnexpectedEOF
		}
		if oobn > 0 {
			fds = append(fds, Rights(oob[:oobn])...)
		}
		got += n
	}
	t, n, err := ParseHeader(h[:])
	if err != nil {
		return 0, nil, fds, err
	}
	body = make([]byte, n)
	for got = 0; got < n; {
		m, err := unix.Read(c.FD, body[got:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, nil, fds, fmt.Errorf("receive message: %w", err)
		}
		if m == 0 {
			return 0, nil, fds, io.ErrUnexpectedEOF
		}
		got += m
	}
	return t, body, fds, nil
}

// Expect reads one message, which must be of type want, into v (nil for none).
// A StepFailed in its place is returned as a *Failure.
func (c Conn) Expect(want Type, v any) (fds []int, err error) {
	t, body, fds, err := c.Recv()
	if err != nil {
		return fds, err
	}
	if t == StepFailed && want != StepFailed {
		f := &Failure{}
		if err := json.Unmarshal(body, f); err != nil {
			return fds, fmt.Errorf("receive failure: %w", err)
		}
		return fds, f
	}
	if t != want {
		return fds, fmt.Errorf("receive message: want type %d, got %d", want, t)
	}
	switch want {
	case MonitorConfig, LaunchConfig, ExecConfig:
		err = Decode(body, v)
	default:
		if v != nil {
			err = json.Unmarshal(body, v)
		}
	}
	if err != nil {
		return fds, fmt.Errorf("receive message %d: %w", t, err)
	}
	return fds, nil
}

// Rights returns the descriptors in the control data of a received message.
func Rights(oob []byte) []int {
	var fds []int
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		if got, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds
}
