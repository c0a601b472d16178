package server

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// helloName is the image that is part of this program.
const helloName = "docker.io/skiff/hello:latest"

// errNoHello says that this program was built without the image.
var errNoHello = errors.New("skiff/hello is not part of this build: build skiff with make")

// loadHello puts the image skiff/hello into the store: from scratch, with one
// program. The same build always gives the same image.
func (s *session) loadHello(ctx context.Context) (message.Result, error) {
	if len(helloProgram) == 0 {
		return message.Result{}, errNoHello
	}
	if err := s.beginTransfer(ctx); err != nil {
		return message.Result{}, err
	}
	made := time.Unix(0, 0).UTC()
	config := image.Config{Architecture: runtime.GOARCH, OS: "linux", Created: &made}
	config.Config.Entrypoint = []string{"/hello"}
	config.Config.Env = []string{"PATH=/"}
	blob, err := helloLayer(made)
	if err != nil {
		return message.Result{}, err
	}
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(blob)), nil }
	id, err := s.buildSingle(ctx, layer{size: int64(len(blob)), open: open}, config, "the image within skiff", []string{helloName})
	return message.Result{ID: id, Changed: true}, err
}

// helloLayer is a tar archive with the program in it.
func helloLayer(made time.Time) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	header := &tar.Header{Name: "hello", Mode: 0o755, Size: int64(len(helloProgram)), ModTime: made, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, helloProgram); err != nil {
		return nil, err
	}
	err := w.Close()
	return buffer.Bytes(), err
}
