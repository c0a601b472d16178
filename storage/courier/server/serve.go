package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	goruntime "runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// cleanupLimit is how long a cancelled courier may take to clean up. What it
// does not manage the next command sweeps.
const cleanupLimit = 10 * time.Second

// Main serves one request and returns the process's exit code.
func Main() int {
	// The libraries' warnings are about states that we heal ourselves; errors
	// come back as errors.
	logrus.SetOutput(io.Discard)
	image.WritesTables = true
	requests := os.NewFile(message.RequestFD, "request")
	replies := &replyWriter{encoder: json.NewEncoder(os.NewFile(message.ReplyFD, "reply"))}

	var request message.Request
	decoder := json.NewDecoder(requests)
	if err := decoder.Decode(&request); err != nil {
		fmt.Fprintln(os.Stderr, "skiff:courier: not started by skiff:", err)
		return 2
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go cancelOnSignal(cancel)
	go func() {
		// The front never sends a second message: whatever ends the wait, the
		// front has let go of us.
		_, _ = io.Copy(io.Discard, io.MultiReader(decoder.Buffered(), requests))
		cancel(message.ErrCanceled)
	}()
	context.AfterFunc(ctx, func() {
		time.Sleep(cleanupLimit)
		os.Exit(1)
	})

	result, err := serveGuarded(ctx, &request, replies.event, func(err error) {
		replies.write(message.Reply{Done: &message.Done{Failure: message.FailureOf(err)}})
		os.Exit(1)
	})
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(message.ErrCanceled, err)
		}
		replies.write(message.Reply{Done: &message.Done{Failure: message.FailureOf(err)}})
		return 1
	}
	replies.write(message.Reply{Done: &message.Done{Result: result}})
	return 0
}

// serveGuarded is serve where the library panics because the kernel refused it
// something: containers/storage does so when it cannot open a lock.
func serveGuarded(ctx context.Context, request *message.Request, event func(message.Event), die func(error)) (result message.Result, err error) {
	defer func() {
		if refused := refusal(recover()); refused != nil {
			err = refused
		}
	}()
	return serve(ctx, request, event, die)
}

// refusal is the error that the library panicked with, nil if it did not. What is
// ours, or a fault in the library, stays a panic.
func refusal(r any) error {
	if r == nil {
		return nil
	}
	failed, isError := r.(error)
	var bug goruntime.Error
	if !isError || errors.As(failed, &bug) {
		panic(r)
	}
	return fmt.Errorf("use the store's records: %w", failed)
}

// dieRefused is deferred by each goroutine of a request that uses the library's
// store. If that has panicked, the process ends in words and cleans nothing up: the
// library may hold a lock of its own for ever. The next command heals the store.
func (s *session) dieRefused() {
	if err := refusal(recover()); err != nil {
		s.die(err)
	}
}

// cancelOnSignal cancels on the first SIGINT or SIGTERM; the second ends the
// process at once, as signals do when nobody listens.
func cancelOnSignal(cancel context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	<-signals
	signal.Reset()
	cancel(message.ErrCanceled)
}

// recordsMemory is how many bytes a request about records may use before garbage
// is collected.
const recordsMemory = 64 << 20

// serve does what request asks for.
func serve(ctx context.Context, request *message.Request, report func(message.Event), die func(error)) (message.Result, error) {
	if result, served, err := serveWithoutStore(ctx, request); served {
		return result, err
	}
	st := &storage.Store{Dir: request.StoreDir}
	open := begin
	if request.Tag != nil || request.Remove != nil || request.Prune != nil || request.Check != nil {
		open = beginRecords
		// It lives for milliseconds; what it reads of a large store is some megabytes.
		debug.SetGCPercent(-1)
		debug.SetMemoryLimit(recordsMemory)
	}
	s, err := open(st, report)
	if err != nil {
		return message.Result{}, err
	}
	s.die = die
	// Not deferred: see dieRefused.
	result, err := s.serve(ctx, request)
	return result, s.end(err)
}

// serve does what request asks of the store.
func (s *session) serve(ctx context.Context, request *message.Request) (message.Result, error) {
	switch {
	case request.Pull != nil:
		return s.pull(ctx, request.Pull)
	case request.Load != nil:
		return s.load(ctx, os.Stdin, request.Load)
	case request.Import != nil:
		return s.importTar(ctx, os.Stdin, request.Import)
	case request.Save != nil:
		return s.save(ctx, os.Stdin, request.Save)
	case request.Commit != nil:
		return s.commit(ctx, request.Commit)
	case request.Build != nil:
		return s.build(ctx, request.Build)
	case request.Archive != nil:
		return s.buildArchive(ctx, os.Stdin, request.Archive)
	case request.Tag != nil:
		return s.tag(ctx, request.Tag)
	case request.Remove != nil:
		return s.remove(ctx, request.Remove)
	case request.Heal != nil:
		_, err := s.healAlone()
		return message.Result{}, err
	case request.Prune != nil:
		return s.prune(ctx, request.Prune)
	case request.Push != nil:
		return s.push(ctx, request.Push)
	case request.Check != nil:
		return s.check(ctx, request.Check)
	case request.Embedded != nil:
		return s.loadHello(ctx)
	}
	return message.Result{}, errors.New("request without a verb")
}

// serveWithoutStore does what concerns no store.
func serveWithoutStore(ctx context.Context, request *message.Request) (result message.Result, served bool, err error) {
	switch {
	case request.Login != nil:
		err = login(ctx, request.Login)
	case request.Search != nil:
		result.Found, err = search(ctx, request.Search)
	case request.Tags != nil:
		result.Names, err = tags(ctx, request.Tags)
	case request.Manifest != nil:
		result.Manifest, err = fetchManifest(ctx, request.Manifest)
	case request.PutManifest != nil:
		err = putManifest(ctx, request.PutManifest)
	case request.Download != nil:
		result.Downloaded, err = fetchURL(ctx, os.Stdin, request.Download)
	case request.Decompress != nil:
		err = undo(os.Stdout, os.Stdin)
	case request.Mirrors != nil:
		result.Names, err = mirrors()
	default:
		return result, false, nil
	}
	return result, true, err
}

// replyWriter sends replies, from any goroutine.
type replyWriter struct {
	mu      sync.Mutex
	encoder *json.Encoder
}

func (w *replyWriter) event(e message.Event) { w.write(message.Reply{Event: &e}) }

func (w *replyWriter) write(r message.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// A front that no longer reads is noticed through the request pipe.
	_ = w.encoder.Encode(r)
}
