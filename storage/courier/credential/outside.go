package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// question asks the process outside of the user namespace to run a helper.
type question struct {
	Helper, Verb string
	Input        []byte
}

// answer is what the helper said. Failed is "" for one that did what it should.
type answer struct {
	Output []byte
	Failed string
}

// Outside is a process that runs helpers as the user, in the user's environment
// (rootless.Outside): inside the user namespace a helper would be root to itself
// and a stranger to the session's keyring. Safe for concurrent use.
type Outside struct {
	mu      sync.Mutex
	conn    *os.File
	decoder *json.Decoder
	failed  error // of an earlier question: its answer may still come
}

// NewOutside talks to that process over the socket fd, which becomes its own.
func NewOutside(fd int) *Outside {
	// Only what does not block can be given up. A descriptor that is none fails
	// with the first question.
	_ = syscall.SetNonblock(fd, true)
	conn := os.NewFile(uintptr(fd), "helper")
	return &Outside{conn: conn, decoder: json.NewDecoder(conn)}
}

// run has a helper run and returns what it printed.
func (o *Outside) run(ctx context.Context, name, verb string, input []byte) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed != nil {
		return nil, o.failed
	}
	stop := context.AfterFunc(ctx, func() { _ = o.conn.SetReadDeadline(time.Now()) })
	defer stop()
	var said answer
	err := json.NewEncoder(o.conn).Encode(question{name, verb, input})
	if err == nil {
		err = o.decoder.Decode(&said)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		o.failed = fmt.Errorf("ask %s%s: %w", helperPrefix, name, err)
		return nil, o.failed
	}
	if said.Failed != "" {
		return nil, errors.New(said.Failed)
	}
	return said.Output, nil
}

// Serve is that process: it runs helpers until nobody is left to ask.
func Serve(conn *os.File) {
	decoder, encoder := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var q question
		if decoder.Decode(&q) != nil {
			return
		}
		var a answer
		output, err := runHelper(context.Background(), q.Helper, q.Verb, q.Input)
		if a.Output = output; err != nil {
			a.Failed = err.Error()
		}
		if encoder.Encode(a) != nil {
			return
		}
	}
}
