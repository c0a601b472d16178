// Package client is the front's side of the courier: it starts one process a
// request, passes on its progress and returns its result. It must run inside
// the user namespace, if there is one. Errors are *message.Failure where the
// courier said why; errors.Is finds the sentinels of package message in them.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"skiff/rootless"
	"skiff/storage"
	"skiff/storage/courier/embedded"
	"skiff/storage/courier/message"
)

// maxStderr is how much of the courier's last words is kept in case it dies.
const maxStderr = 4 << 10

// OnEvent receives progress. It is called from one goroutine, in order; nil
// means that nobody watches.
type OnEvent func(message.Event)

// Pull fetches an image from its registry into the store and names it. An
// existing image keeps its name until the new one is whole.
func Pull(ctx context.Context, st *storage.Store, want message.Pull, watch OnEvent) (message.Result, error) {
	return call(ctx, st, message.Request{Pull: &want}, nil, watch)
}

// Load puts the images of an archive into the store: docker-archive or OCI
// layout as tar, plain or compressed. archive may be a pipe.
func Load(ctx context.Context, st *storage.Store, archive *os.File, want message.Load, watch OnEvent) (message.Result, error) {
	return call(ctx, st, message.Request{Load: &want}, archive, watch)
}

// Import makes an image with one layer from a tar archive, plain or
// compressed; archive may be nil when want has a URL.
func Import(ctx context.Context, st *storage.Store, archive *os.File, want message.Import, watch OnEvent) (message.Result, error) {
	return call(ctx, st, message.Request{Import: &want}, archive, watch)
}

// Save writes images to archive, which may be a pipe.
func Save(ctx context.Context, st *storage.Store, archive *os.File, want message.Save) error {
	_, err := call(ctx, st, message.Request{Save: &want}, archive, nil)
	return err
}

// Commit makes an image of a container, which must not be removed meanwhile.
func Commit(ctx context.Context, st *storage.Store, want message.Commit) (message.Result, error) {
	return call(ctx, st, message.Request{Commit: &want}, nil, nil)
}

// Build makes an image of the layers that a build's steps left. Directories that
// may be moved are gone afterwards, also after an error.
func Build(ctx context.Context, st *storage.Store, want message.Build) (message.Result, error) {
	return call(ctx, st, message.Request{Build: &want}, nil, nil)
}

// BuildArchive writes an image, or one of each platform, into an archive, which
// may be a pipe, without putting it into the store. The result has the ID of the
// first one.
func BuildArchive(ctx context.Context, st *storage.Store, archive *os.File, want message.BuildArchive) (message.Result, error) {
	return call(ctx, st, message.Request{Archive: &want}, archive, nil)
}

// Tag moves a name to an image.
func Tag(ctx context.Context, st *storage.Store, want message.Tag) error {
	_, err := call(ctx, st, message.Request{Tag: &want}, nil, nil)
	return err
}

// Remove takes a name, or the whole image, out of the store. The caller holds
// Store.ImagesLock, exclusive, and has looked for the image's users under it.
func Remove(ctx context.Context, st *storage.Store, want message.Remove) ([]message.Removed, error) {
	result, err := call(ctx, st, message.Request{Remove: &want}, nil, nil)
	return result.Removed, err
}

// Prune takes whole images out of the store, and layers that belong to none. The
// caller holds Store.ImagesLock, exclusive, and has found the images unused under
// it.
func Prune(ctx context.Context, st *storage.Store, want message.Prune) ([]message.Removed, error) {
	result, err := call(ctx, st, message.Request{Prune: &want}, nil, nil)
	return result.Removed, err
}

// LoadEmbedded puts the image skiff/hello, which is part of this program, into
// the store.
func LoadEmbedded(ctx context.Context, st *storage.Store) (message.Result, error) {
	return call(ctx, st, message.Request{Embedded: &message.Embedded{}}, nil, nil)
}

// Heal deletes what dead transfers left in the store. While another transfer is
// alive it does nothing.
func Heal(ctx context.Context, st *storage.Store) error {
	_, err := call(ctx, st, message.Request{Heal: &message.Heal{}}, nil, nil)
	return err
}

// Check looks for damage in images and layers. With Repair the caller holds
// Store.ImagesLock, exclusive.
func Check(ctx context.Context, st *storage.Store, want message.Check) (*message.Checked, error) {
	result, err := call(ctx, st, message.Request{Check: &want}, nil, nil)
	return result.Checked, err
}

// Push sends an image to its registry.
func Push(ctx context.Context, st *storage.Store, want message.Push, watch OnEvent) (message.Result, error) {
	return call(ctx, st, message.Request{Push: &want}, nil, watch)
}

// Login returns nil if the registry accepts the credential.
func Login(ctx context.Context, want message.Login) error {
	_, err := call(ctx, nil, message.Request{Login: &want}, nil, nil)
	return err
}

// Search looks for repositories in a registry.
func Search(ctx context.Context, want message.Search) ([]message.Found, error) {
	result, err := call(ctx, nil, message.Request{Search: &want}, nil, nil)
	return result.Found, err
}

// Tags lists the tags of a repository.
func Tags(ctx context.Context, want message.Tags) ([]string, error) {
	result, err := call(ctx, nil, message.Request{Tags: &want}, nil, nil)
	return result.Names, err
}

// Manifest fetches a manifest from a registry.
func Manifest(ctx context.Context, want message.Manifest) (*message.Fetched, error) {
	result, err := call(ctx, nil, message.Request{Manifest: &want}, nil, nil)
	return result.Manifest, err
}

// PutManifest gives a registry a manifest.
func PutManifest(ctx context.Context, want message.PutManifest) error {
	_, err := call(ctx, nil, message.Request{PutManifest: &want}, nil, nil)
	return err
}

// Download fetches a URL into out.
func Download(ctx context.Context, out *os.File, want message.Download) (*message.Downloaded, error) {
	r, err := call(ctx, nil, message.Request{Download: &want}, out, nil)
	return r.Downloaded, err
}

// Mirrors returns the mirrors of Docker Hub that registries.conf(5) names.
func Mirrors(ctx context.Context) ([]string, error) {
	result, err := call(ctx, nil, message.Request{Mirrors: &message.Mirrors{}}, nil, nil)
	return result.Names, err
}

// call runs one courier from start to end. st is nil for a request that needs no
// store.
func call(ctx context.Context, st *storage.Store, request message.Request, archive *os.File, watch OnEvent) (message.Result, error) {
	return convey(ctx, st, request, archive, nil, watch)
}

// convey is call with a standard output, which may be nil.
func convey(ctx context.Context, st *storage.Store, request message.Request, archive, out *os.File, watch OnEvent) (message.Result, error) {
	if st != nil {
		request.StoreDir = st.Dir
	}
	requestRead, requestWrite, err := os.Pipe()
	if err != nil {
		return message.Result{}, fmt.Errorf("start courier: %w", err)
	}
	defer requestWrite.Close()
	replyRead, replyWrite, err := os.Pipe()
	if err != nil {
		requestRead.Close()
		return message.Result{}, fmt.Errorf("start courier: %w", err)
	}
	defer replyRead.Close()

	stderr := &lastWords{}
	// The parent-death signal is tied to the thread that starts the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := start(archive, out, stderr, requestRead, replyWrite)
	requestRead.Close()
	replyWrite.Close()
	if err != nil {
		return message.Result{}, fmt.Errorf("start courier: %w", err)
	}
	// Closing the request pipe asks the courier to clean up and end.
	stop := context.AfterFunc(ctx, func() { requestWrite.Close() })
	defer stop()

	sendErr := json.NewEncoder(requestWrite).Encode(request)
	if sendErr != nil {
		// One that is gone already says why below; one that waits for the rest must
		// not wait for ever.
		requestWrite.Close()
	}
	done, readErr := follow(replyRead, watch)
	waitErr := cmd.Wait()
	switch {
	case done != nil && done.Failure != nil && ctx.Err() != nil:
		return message.Result{}, ctx.Err()
	case done != nil && done.Failure != nil:
		return message.Result{}, done.Failure
	case done != nil:
		record(st, request, done.Result)
		return done.Result, nil
	case ctx.Err() != nil:
		return message.Result{}, ctx.Err()
	}
	return message.Result{}, fmt.Errorf("courier ended without an answer: %w%s", errors.Join(sendErr, waitErr, readErr), stderr)
}

func start(archive, out *os.File, stderr io.Writer, requests, replies *os.File) (*exec.Cmd, error) {
	cmd, program, err := embedded.Command()
	if err != nil {
		return nil, err
	}
	if program != nil {
		defer program.Close()
	}
	if archive != nil {
		cmd.Stdin = archive
	}
	if out != nil {
		cmd.Stdout = out
	}
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{requests, replies} // message.RequestFD, ReplyFD
	if fd := rootless.Outside(); fd > 0 {
		// A descriptor of its own to close: others may follow.
		helper, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(helper), "helper")
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f) // message.HelperFD
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if os.Geteuid() == 0 {
		// containers/storage tries mounts out; they must not be seen outside.
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	return cmd, cmd.Start()
}

// follow passes on events until the courier's last word. Done is nil when
// there was none.
func follow(replies io.Reader, watch OnEvent) (*message.Done, error) {
	decoder := json.NewDecoder(replies)
	for {
		var reply message.Reply
		if err := decoder.Decode(&reply); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return nil, err
		}
		if reply.Event != nil && watch != nil {
			watch(*reply.Event)
		}
		if reply.Done != nil {
			return reply.Done, nil
		}
	}
}

// lastWords keeps the beginning of what the courier wrote on its standard
// error: nothing, unless it crashed.
type lastWords struct{ bytes.Buffer }

func (w *lastWords) Write(p []byte) (int, error) {
	w.Buffer.Write(p[:min(len(p), max(0, maxStderr-w.Len()))])
	return len(p), nil
}

func (w *lastWords) String() string {
	if text := strings.TrimSpace(w.Buffer.String()); text != "" {
		return ": " + text
	}
	return ""
}
