// Package registry is an image registry on the loopback that misbehaves on
// purpose. Each of its images is offered in many ways: the first part of a
// repository's name is the mode, so that 127.0.0.1:1234/rstonce/app:1 is the
// image app:1 with every blob broken off once. It is deterministic, keeps
// everything in memory, and counts what it is asked. Start reading at Modes.
package registry

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Modes are the ways to misbehave, with what a client sees.
var Modes = map[string]string{
	"ok":      "nothing wrong",
	"m500":    "manifests are answered with 500",
	"m429":    "the first manifest of each reference is answered with 429, Retry-After: 1",
	"m429inf": "manifests are answered with 429, Retry-After: 1, for ever",
	"mhuge":   "a manifest of 64 MB",
	"mdeep":   "a manifest of 2 million brackets",
	"mamb":    "a manifest that is an index as well",
	"b500":    "blobs are answered with 500",
	"b503x2":  "the first two answers for each blob are 503",
	"trunc":   "blobs end in the middle, and ranges are not known",
	"rst":     "the connection is reset in the middle of each blob, and ranges are not known",
	"rstonce": "the same, once a blob",
	"flip":    "one bit of each blob is wrong",
	"extra":   "each blob has a byte more",
	"short":   "each blob has a byte less",
	"loop":    "blobs are redirected for ever",
	"slow":    "blobs come in small pieces with pauses",
	"hang":    "blobs stop in the middle and nothing more comes",
	"stuck":   "the first answer for each blob of 64 KiB or more stops in the middle; ranges are known",
	"mute":    "requests for blobs are never answered",
	"resume":  "the connection is reset in the middle of each blob once; ranges are known",
	"range":   "ranges are answered with another range",
	"realm":   "a token is wanted, from another server",
	"token":   "a token is wanted, from this server",
	"redir":   "blobs are redirected to another server",
	"urls":    "layers are said to lie at another server",
	"ansi":    "manifests are refused with control characters in the text",
}

// Request is a request that was seen.
type Request struct {
	Method, Path, Authorization, Range string
}

// Server is a running registry.
type Server struct {
	// Address is host:port.
	Address string
	// Other is the server that realm, redir and urls send clients to. It answers
	// tokens and blobs.
	Other string
	// Auth is the Authorization header that token mode's token server demands,
	// empty for none.
	Auth string

	mu        sync.Mutex
	blobs     map[string][]byte
	manifests map[string][]byte // by name:tag and by digest
	types     map[string]string
	asked     map[string]int // by mode, name and digest
	seen      []Request
	other     []Request
}

// New starts a registry for as long as the test lasts.
func New(t *testing.T) *Server {
	t.Helper()
	s, stop := Start()
	t.Cleanup(stop)
	return s
}

// Start starts a registry that lasts until stop is called.
func Start() (s *Server, stop func()) {
	s = &Server{
		blobs: map[string][]byte{}, manifests: map[string][]byte{}, types: map[string]string{}, asked: map[string]int{},
	}
	other := httptest.NewServer(http.HandlerFunc(s.serveOther))
	s.Other = strings.TrimPrefix(other.URL, "http://")
	main := httptest.NewServer(http.HandlerFunc(s.serve))
	s.Address = strings.TrimPrefix(main.URL, "http://")
	return s, func() {
		// Handlers that hang end with their connections.
		main.CloseClientConnections()
		main.Close()
		other.Close()
	}
}

// Handler answers as the registry does, for a server of another kind.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Media types of what Add makes.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	IndexType    = "application/vnd.oci.image.index.v1+json"
	LayerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	ConfigType   = "application/vnd.oci.image.config.v1+json"
)

// Layer is a layer as it travels.
type Layer struct {
	Tar       []byte // what it unpacks to
	Blob      []byte
	MediaType string
}

// Add offers an image of layers, which are tar archives, as name:tag. It returns
// the image's id and the digests of its blobs, the configuration first.
func (s *Server) Add(name, tag string, layers ...[]byte) (id string, blobs []string) {
	var packed []Layer
	for _, l := range layers {
		packed = append(packed, Layer{l, Compress(l), LayerType})
	}
	return s.AddLayers(name, tag, packed...)
}

// AddLayers is Add for layers that are packed already.
func (s *Server) AddLayers(name, tag string, layers ...Layer) (id string, blobs []string) {
	diffIDs, descriptors := []string{}, []map[string]any{}
	for _, l := range layers {
		d := s.AddBlob(l.Blob)
		blobs = append(blobs, d)
		diffIDs = append(diffIDs, Digest(l.Tar))
		descriptors = append(descriptors, map[string]any{"mediaType": l.MediaType, "digest": d, "size": len(l.Blob)})
	}
	config := marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z",
		"config": map[string]any{"Cmd": []string{"sh"}}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	})
	d := s.AddBlob(config)
	s.AddManifest(name, tag, ManifestType, marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ManifestType,
		"config": map[string]any{"mediaType": ConfigType, "digest": d, "size": len(config)}, "layers": descriptors,
	}))
	return strings.TrimPrefix(d, "sha256:"), append([]string{d}, blobs...)
}

// AddBlob offers a blob and returns its digest.
func (s *Server) AddBlob(blob []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Digest(blob)
	s.blobs[d] = blob
	return d
}

// AddManifest offers a manifest and returns its digest.
func (s *Server) AddManifest(name, tag, mediaType string, blob []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := Digest(blob)
	for _, key := range []string{name + ":" + tag, d} {
		s.manifests[key], s.types[key] = blob, mediaType
	}
	return d
}

// Gets is how often a blob was asked for in a mode.
func (s *Server) Gets(mode, digest string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[mode+" "+digest]
}

// Forget sets all counts back.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.asked)
	s.seen, s.other = nil, nil
}

// Seen are the requests so far, and SeenByOther those to the other server.
func (s *Server) Seen() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.seen...)
}

// SeenByOther are the requests to the other server.
func (s *Server) SeenByOther() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.other...)
}

func requestOf(q *http.Request) Request {
	return Request{q.Method, q.URL.RequestURI(), q.Header.Get("Authorization"), q.Header.Get("Range")}
}

// serveOther is the other server: whoever asks gets a token or a blob.
func (s *Server) serveOther(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	s.other = append(s.other, requestOf(q))
	blob, ok := s.blobs[strings.TrimPrefix(q.URL.Path, "/blob/")]
	s.mu.Unlock()
	if ok {
		_, _ = w.Write(blob)
		return
	}
	_, _ = w.Write([]byte(`{"token":"anonymous"}`))
}

func (s *Server) serve(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, requestOf(q))
	s.mu.Unlock()
	switch {
	case q.URL.Path == "/token":
		if s.Auth != "" && q.Header.Get("Authorization") != s.Auth {
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
			return
		}
		_, _ = w.Write([]byte(`{"token":"ticket","expires_in":300}`))
		return
	case q.URL.Path == "/v2/":
		// Which mode is meant is not known yet.
		return
	}
	mode, rest, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/v2/"), "/")
	name, what, isManifest := strings.Cut(rest, "/manifests/")
	if isManifest {
		if s.admit(w, q, mode) {
			s.manifest(w, q, mode, name, what)
		}
		return
	}
	if _, what, isBlob := strings.Cut(rest, "/blobs/"); isBlob {
		if s.admit(w, q, mode) {
			s.blob(w, q, mode, what)
		}
		return
	}
	if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		s.tags(w, name)
		return
	}
	http.NotFound(w, q)
}

// admit asks for a token in the modes that want one.
func (s *Server) admit(w http.ResponseWriter, q *http.Request, mode string) bool {
	realm := ""
	switch mode {
	case "realm":
		realm = "http://" + s.Other + "/token"
	case "token":
		realm = "http://" + s.Address + "/token"
	default:
		return true
	}
	if strings.HasPrefix(q.Header.Get("Authorization"), "Bearer ") {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test",scope="repository:x:pull"`, realm))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

func (s *Server) tags(w http.ResponseWriter, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags := []string{}
	for key := range s.manifests {
		if tag, ok := strings.CutPrefix(key, name+":"); ok {
			tags = append(tags, tag)
		}
	}
	_, _ = w.Write(marshal(map[string]any{"name": name, "tags": tags}))
}

// count counts a request and returns how many there were before.
func (s *Server) count(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[key]++
	return s.asked[key] - 1
}

func (s *Server) manifest(w http.ResponseWriter, q *http.Request, mode, name, reference string) {
	key := reference
	if !strings.HasPrefix(reference, "sha256:") {
		key = name + ":" + reference
	}
	s.mu.Lock()
	blob, ok := s.manifests[key]
	mediaType := s.types[key]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	before := s.count("manifest " + mode + " " + reference)
	switch mode {
	case "m500":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case "m429", "m429inf":
		if before == 0 || mode == "m429inf" {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
			return
		}
	case "mhuge":
		w.Header().Set("Content-Type", mediaType)
		piece := bytes.Repeat([]byte(" "), 1<<20)
		for range 64 {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
		return
	case "mdeep":
		blob = bytes.Repeat([]byte("["), 2_000_000)
	case "mamb":
		blob = bytes.Replace(blob, []byte("{"), []byte(`{"manifests":[],`), 1)
	case "urls":
		blob = bytes.ReplaceAll(blob, []byte(`"mediaType":"`+LayerType+`"`),
			fmt.Appendf(nil, `"mediaType":%q,"urls":["http://%s/urls"]`, LayerType, s.Other))
	case "ansi":
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "\x1b]0;owned\a\x1b[31m\r\nFAKE LINE\u009b1m")
		return
	}
	w.Header().Set("Content-Type", mediaType)
	_, _ = w.Write(blob)
}

func (s *Server) blob(w http.ResponseWriter, q *http.Request, mode, digest string) {
	s.mu.Lock()
	blob, ok := s.blobs[digest]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	before := s.count(mode + " " + digest)
	half := len(blob) / 2
	switch mode {
	case "b500":
		w.WriteHeader(http.StatusInternalServerError)
	case "b503x2":
		if before < 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(blob)
	case "trunc":
		send(w, blob, half)
		hangUp(w, false)
	case "rst", "rstonce":
		if mode == "rst" || before == 0 {
			send(w, blob, half)
			hangUp(w, true)
			return
		}
		_, _ = w.Write(blob)
	case "flip":
		wrong := bytes.Clone(blob)
		wrong[half] ^= 1
		_, _ = w.Write(wrong)
	case "extra":
		_, _ = w.Write(append(bytes.Clone(blob), 0))
	case "short":
		_, _ = w.Write(blob[:len(blob)-1])
	case "loop":
		http.Redirect(w, q, q.URL.Path+"?again", http.StatusTemporaryRedirect)
	case "redir":
		http.Redirect(w, q, "http://"+s.Other+"/blob/"+digest, http.StatusTemporaryRedirect)
	case "slow":
		for piece := range pieces(blob, 10) {
			send(w, nil, 0)
			_, _ = w.Write(piece)
			flush(w)
			time.Sleep(10 * time.Millisecond)
		}
	case "hang":
		send(w, blob, half)
		<-q.Context().Done()
	case "stuck":
		if before == 0 && len(blob) >= 64<<10 {
			send(w, blob, half)
			<-q.Context().Done()
			return
		}
		serveRange(w, q, blob)
	case "mute":
		<-q.Context().Done()
	case "resume":
		if before == 0 {
			send(w, blob, half)
			hangUp(w, true)
			return
		}
		serveRange(w, q, blob)
	case "range":
		if before == 0 {
			send(w, blob, half)
			hangUp(w, true)
			return
		}
		// Later than asked for: bytes would be missing.
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half+10, len(blob)-1, len(blob)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(blob[half+10:])
	default:
		serveRange(w, q, blob)
	}
}

// serveRange answers with what Range asks for.
func serveRange(w http.ResponseWriter, q *http.Request, blob []byte) {
	first, ok := strings.CutPrefix(q.Header.Get("Range"), "bytes=")
	from, err := strconv.Atoi(strings.TrimSuffix(first, "-"))
	switch {
	case !ok || err != nil:
		w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
		_, _ = w.Write(blob)
	case from >= len(blob):
		w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	default:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(blob)-1, len(blob)))
		w.Header().Set("Content-Length", strconv.Itoa(len(blob)-from))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(blob[from:])
	}
}

// send promises all of blob and sends the first n bytes of it.
func send(w http.ResponseWriter, blob []byte, n int) {
	if blob == nil {
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(blob)))
	_, _ = w.Write(blob[:n])
	flush(w)
}

func flush(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
}

// hangUp ends the connection, with a reset or as if all had been said.
func hangUp(w http.ResponseWriter, reset bool) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := c.(*net.TCPConn); ok && reset {
		// What is under way arrives first: tests count on it.
		time.Sleep(20 * time.Millisecond)
		_ = tcp.SetLinger(0)
	}
	c.Close()
}

// pieces splits data into n.
func pieces(data []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		size := max(1, (len(data)+n-1)/n)
		for len(data) > 0 {
			k := min(size, len(data))
			if !yield(data[:k]) {
				return
			}
			data = data[k:]
		}
	}
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(map[string]any{"errors": []any{map[string]any{"code": code, "message": text}}}))
}

func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// Digest is the sha256 digest of data.
func Digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// Compress packs data as gzip does.
func Compress(data []byte) []byte {
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
