package client

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// registry is a registry of one repository, "r", that can misbehave.
type registry struct {
	*httptest.Server
	mu        sync.Mutex
	blobs     map[string][]byte
	manifests map[string][]byte // by tag and digest
	types     map[string]string
	fetched   map[string]int // blob GETs by digest
	// serve, when set, answers for a blob instead of the registry.
	serve func(w http.ResponseWriter, r *http.Request, digest string) bool
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{
		blobs: map[string][]byte{}, manifests: map[string][]byte{}, types: map[string]string{}, fetched: map[string]int{},
	}
	r.Server = httptest.NewServer(http.HandlerFunc(r.handle))
	t.Cleanup(r.Close)
	return r
}

// name is the normalized reference of a tag.
func (r *registry) name(tag string) string {
	return strings.TrimPrefix(r.URL, "http://") + "/r:" + tag
}

func (r *registry) handle(w http.ResponseWriter, q *http.Request) {
	if d, ok := strings.CutPrefix(q.URL.Path, "/v2/r/blobs/"); ok {
		r.mu.Lock()
		blob, ok := r.blobs[d]
		r.fetched[d]++
		serve := r.serve
		r.mu.Unlock()
		switch {
		case serve != nil && serve(w, q, d):
		case !ok:
			refuse(w, "BLOB_UNKNOWN", "blob unknown to registry")
		default:
			_, _ = w.Write(blob)
		}
		return
	}
	if d, ok := strings.CutPrefix(q.URL.Path, "/v2/r/manifests/"); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		blob, ok := r.manifests[d]
		if !ok {
			refuse(w, "MANIFEST_UNKNOWN", "manifest unknown")
			return
		}
		w.Header().Set("Content-Type", r.types[d])
		_, _ = w.Write(blob)
		return
	}
	if q.URL.Path != "/v2/" {
		http.NotFound(w, q)
	}
}

func refuse(w http.ResponseWriter, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, text)
}

func (r *registry) addBlob(blob []byte) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digestOf(blob)
	r.blobs[d] = blob
	return d
}

func (r *registry) addManifest(tag, mimeType string, v any) string {
	blob, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digestOf(blob)
	for _, key := range []string{tag, d} {
		r.manifests[key], r.types[key] = blob, mimeType
	}
	return d
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	configType   = "application/vnd.oci.image.config.v1+json"
)

// imageSpec is an image to be put into the registry.
type imageSpec struct {
	layers  [][]byte // tar archives
	diffIDs []string // override what the configuration says
	cmd     string   // makes configurations differ
}

// add puts an image under a tag and returns its id and its manifest's digest.
func (r *registry) add(tag string, spec imageSpec) (id, digest string) {
	diffIDs := []string{}
	layers := []map[string]any{}
	for _, l := range spec.layers {
		blob := compress(l)
		diffIDs = append(diffIDs, digestOf(l))
		layers = append(layers, map[string]any{"mediaType": layerType, "digest": r.addBlob(blob), "size": len(blob)})
	}
	if spec.diffIDs != nil {
		diffIDs = spec.diffIDs
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
		"config": map[string]any{"Cmd": []string{spec.cmd}}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	if err != nil {
		panic(err)
	}
	configDigest := r.addBlob(config)
	digest = r.addManifest(tag, manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": map[string]any{"mediaType": configType, "digest": configDigest, "size": len(config)}, "layers": layers,
	})
	return strings.TrimPrefix(configDigest, "sha256:"), digest
}

// tarOf makes a tar archive of files.
func tarOf(files map[string]string) []byte {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1, 0)}
		if err := w.WriteHeader(header); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

func compress(data []byte) []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }
