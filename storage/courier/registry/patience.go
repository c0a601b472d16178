package registry

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Patience is how long a registry is waited for. Zero fields mean the default.
type Patience struct {
	// Header is how long an answer may take to begin: 30 seconds.
	Header time.Duration `json:"header,omitempty"`
	// Stall is how long a transfer may stand still: 60 seconds.
	Stall time.Duration `json:"stall,omitempty"`
	// Pause is the first wait before a request is repeated; each further one is
	// twice as long: half a second.
	Pause time.Duration `json:"pause,omitempty"`
	// Total is how much waiting between repetitions one piece of work is worth:
	// 2 minutes.
	Total time.Duration `json:"total,omitempty"`
}

// tries is how often something is repeated without anything coming of it.
const tries = 4

func (p Patience) withDefaults() Patience {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&p.Header, 30 * time.Second},
		{&p.Stall, 60 * time.Second},
		{&p.Pause, 500 * time.Millisecond},
		{&p.Total, 2 * time.Minute},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return p
}

// Backoff counts the repetitions of one piece of work. It is not safe for
// concurrent use.
type Backoff struct {
	patience Patience
	tried    int
	waited   time.Duration
	// silent is how long nothing came since something last did.
	silent time.Duration
	report func(wait time.Duration, why error)
}

// Backoff returns a fresh count. report, which may be nil, is told before each
// wait.
func (p Patience) Backoff(report func(wait time.Duration, why error)) *Backoff {
	return &Backoff{patience: p.withDefaults(), report: report}
}

// Progress says that the last try got further than those before it.
func (b *Backoff) Progress() { b.tried, b.silent = 0, 0 }

// stall is how long the next transfer may stand still. A registry that falls
// silent again and again is given up after Header and Stall together.
func (b *Backoff) stall() time.Duration {
	return min(b.patience.Stall, max(b.patience.Header+b.patience.Stall-b.silent, b.patience.Pause))
}

// Wait waits before the next try, at least for after, and reports whether there
// should be one: not when ctx has ended, too many have failed, or the waiting
// would be longer than it is worth.
func (b *Backoff) Wait(ctx context.Context, why error, after time.Duration) bool {
	switch {
	case errors.Is(why, ErrStalled):
		b.silent += b.stall()
	case timedOut(why):
		b.silent += b.patience.Header
	}
	if b.tried >= tries || b.silent >= b.patience.Header+b.patience.Stall {
		return false
	}
	pause := b.patience.Pause << b.tried
	// Jitter: the clients of a registry that comes back must not come all at once.
	pause = pause/2 + rand.N(pause)
	wait := max(pause, after)
	if b.waited+wait > b.patience.Total {
		return false
	}
	b.tried++
	b.waited += wait
	if b.report != nil {
		b.report(wait, why)
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

// retryAfter is what the registry asks for, 0 when it does not.
// https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
func retryAfter(answer *http.Response) time.Duration {
	value := answer.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// ErrStalled says that a transfer stood still for longer than Patience.Stall.
var ErrStalled = errors.New("the registry stopped sending")

// errStaleToken says that a request that cannot be repeated as it is was refused
// because its token had run out.
var errStaleToken = errors.New("the token has expired")

// Temporary reports whether asking again may help: the registry is busy or
// broken, or the connection broke.
func Temporary(err error) bool {
	var said *Error
	if errors.As(err, &said) {
		return said.Status == http.StatusTooManyRequests || said.Status == http.StatusRequestTimeout ||
			said.Status >= http.StatusInternalServerError && said.Status != http.StatusNotImplemented
	}
	for _, broken := range []error{
		io.EOF, io.ErrUnexpectedEOF, ErrStalled, errStaleToken, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.ECONNABORTED,
		syscall.EPIPE, syscall.ETIMEDOUT, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, broken) {
			return true
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !timedOut(err) {
		return false
	}
	return timedOut(err)
}

func timedOut(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// unreachable reports whether no connection came about at all.
func unreachable(err error) bool {
	var dial *net.OpError
	return errors.As(err, &dial) && dial.Op == "dial"
}

// Moving returns a body that is given up, by cancel with ErrStalled, when it
// stands still for longer than limit.
func Moving(body io.ReadCloser, limit time.Duration, cancel context.CancelCauseFunc) io.ReadCloser {
	return &movingBody{body: body, cancel: cancel, limit: limit}
}

// movingBody is the body of an answer that is given up when it stands still.
type movingBody struct {
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	limit  time.Duration
	timer  *time.Timer
	// stalled stays set: the connection is cut then.
	stalled atomic.Bool
}

func (b *movingBody) Read(p []byte) (int, error) {
	if b.timer == nil {
		b.timer = time.AfterFunc(b.limit, func() {
			b.stalled.Store(true)
			b.cancel(ErrStalled)
		})
	} else {
		b.timer.Reset(b.limit)
	}
	n, err := b.body.Read(p)
	// Only the time in which we wait for the registry counts.
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && b.stalled.Load() {
		err = ErrStalled
	}
	return n, err
}

func (b *movingBody) Close() error {
	if b.timer != nil {
		b.timer.Stop()
	}
	err := b.body.Close()
	b.cancel(nil)
	return err
}

// Backoff returns a fresh count of repetitions with the client's patience.
func (c *Client) Backoff(report func(wait time.Duration, why error)) *Backoff {
	return c.options.Patience.Backoff(report)
}
