package client

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
	faulty "skiff/tests/registry"
)

// randomText returns n characters that hardly compress, the same for a seed.
func randomText(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 7))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return string(data)
}

// pullMode pulls app:1 in a mode.
func pullMode(t *testing.T, s *faulty.Server, mode string, registries message.Registries) error {
	t.Helper()
	st := newStore(t)
	_, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/" + mode + "/app:1", Registries: registries}, nil)
	images, listErr := image.List(st)
	if listErr != nil {
		t.Fatal(listErr)
	}
	if (err == nil) != (len(images) == 1) {
		t.Errorf("error %v, and %d images", err, len(images))
	}
	return err
}

// Each way in which a registry may misbehave, and what comes of it.
func TestPull_BadRegistries(t *testing.T) {
	tests := map[string]struct {
		err  error
		text string // part of the error; "" when the pull must succeed
		gets int    // of each blob, when it matters
	}{
		"ok":      {gets: 1},
		"m500":    {text: "received unexpected HTTP status: 500 Internal Server Error"},
		"m429":    {gets: 1},
		"m429inf": {err: message.ErrDenied, text: "toomanyrequests: slow down"},
		"mhuge":   {err: message.ErrInvalid, text: "manifest is larger than 4194304 bytes"},
		"mdeep":   {err: message.ErrInvalid, text: "parse image manifest"},
		"mamb":    {err: message.ErrInvalid, text: "parse image manifest"},
		"b500":    {text: "received unexpected HTTP status: 500 Internal Server Error"},
		"b503x2":  {gets: 3},
		"trunc":   {text: "unexpected EOF"},
		"rst":     {text: "connection reset by peer"},
		"rstonce": {gets: 2},
		"flip":    {err: message.ErrInvalid, text: "verification failed for digest sha256:"},
		"extra":   {err: message.ErrInvalid, text: " bytes instead of "},
		"short":   {text: " bytes instead of "},
		"loop":    {text: "stopped after 10 redirects"},
		"slow":    {gets: 1},
		"hang":    {text: "the registry stopped sending"},
		"stuck":   {gets: 0},
		"mute":    {text: "timeout awaiting response headers"},
		"resume":  {gets: 2},
		"range":   {text: "to a request for bytes from"},
		"realm":   {gets: 1},
		"token":   {gets: 1},
		"redir":   {gets: 1},
		"urls":    {gets: 1},
		"ansi":    {err: message.ErrNotFound, text: "manifest unknown"},
	}
	for mode := range faulty.Modes {
		if _, ok := tests[mode]; !ok {
			t.Errorf("mode %s has no test", mode)
		}
	}
	s := faulty.New(t)
	_, blobs := s.Add("app", "1", tarOf(map[string]string{"f": randomText(1, 1<<18)}), tarOf(map[string]string{"g": randomText(2, 1<<18)}))
	for mode, tt := range tests {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			registries := hasty
			if mode == "hang" || mode == "stuck" || mode == "mute" {
				registries.Patience.Stall, registries.Patience.Header = 300*time.Millisecond, 300*time.Millisecond
			}
			err := pullMode(t, s, mode, registries)
			switch {
			case tt.text == "" && err != nil:
				t.Fatalf("got %v, want success", err)
			case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)):
				t.Fatalf("got %v, want an error with %q", err, tt.text)
			case tt.err != nil && !errors.Is(err, tt.err):
				t.Errorf("got %v, want %v", err, tt.err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
			for _, d := range blobs {
				if n := s.Gets(mode, d); tt.gets > 0 && n != tt.gets {
					t.Errorf("blob %s was asked for %d times, want %d", d, n, tt.gets)
				}
			}
		})
	}
}

// A transfer that broke goes on behind the last byte, also in another process.
func TestPull_Resumes(t *testing.T) {
	s := faulty.New(t)
	_, blobs := s.Add("app", "1", tarOf(map[string]string{"f": randomText(1, 1<<20)}))
	layer := blobs[1]
	t.Run("after a reset", func(t *testing.T) {
		if err := pullMode(t, s, "resume", hasty); err != nil {
			t.Fatal(err)
		}
		ranges := 0
		for _, q := range s.Seen() {
			if strings.HasSuffix(q.Path, layer) && strings.HasPrefix(q.Range, "bytes=") && q.Range != "bytes=0-" {
				ranges++
			}
		}
		if ranges != 1 {
			t.Errorf("got %d requests for the rest, want 1", ranges)
		}
	})
	t.Run("after a kill", func(t *testing.T) {
		s.Forget()
		st := newStore(t)
		pull, _ := startStuck(t, s, st)
		killCouriers(t)
		if err := <-pull; err == nil {
			t.Fatal("a killed courier succeeded")
		}
		if _, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/stuck/app:1", Registries: hasty}, nil); err != nil {
			t.Fatal(err)
		}
		checkResumed(t, s, st, layer)
	})
	t.Run("by who waits for a process that dies", func(t *testing.T) {
		s.Forget()
		st := newStore(t)
		first, dying := startStuck(t, s, st)
		second := make(chan error, 1)
		go func() {
			_, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/stuck/app:1", Registries: hasty}, nil)
			second <- err
		}()
		// It must come as far as waiting; if it has not, the test proves less, not
		// something wrong.
		time.Sleep(300 * time.Millisecond)
		select {
		case err := <-second:
			t.Fatalf("the second pull did not wait: %v", err)
		default:
		}
		for _, pid := range dying {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		<-first
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		// What any next command does.
		if err := Heal(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		checkResumed(t, s, st, layer)
	})
	t.Run("but not behind bytes that are wrong", func(t *testing.T) {
		st := newStore(t)
		diffID := faulty.Digest(tarOf(map[string]string{"f": randomText(1, 1<<20)}))
		part := filepath.Join(st.Cache(), "partial", strings.TrimPrefix(diffID, "sha256:"))
		if err := os.MkdirAll(filepath.Dir(part), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(part, []byte("what a power cut left"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/ok/app:1", Registries: hasty}, nil); err != nil {
			t.Fatal(err)
		}
	})
}

// startStuck starts a pull and returns once half of its layer has come, with the
// couriers that are at it.
func startStuck(t *testing.T, s *faulty.Server, st *storage.Store) (ended <-chan error, pids []int) {
	t.Helper()
	patient := hasty
	patient.Patience.Stall = time.Minute
	arrived := make(chan struct{})
	var once sync.Once
	done := make(chan error, 1)
	go func() {
		_, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/stuck/app:1", Registries: patient}, func(e message.Event) {
			if e.Kind == message.LayerProgress && e.Offset > 0 {
				once.Do(func() { close(arrived) })
			}
		})
		done <- err
	}()
	<-arrived
	return done, couriers(t)
}

// checkResumed checks that the layer was asked for twice, the second time for the
// rest only, and that nothing is left of the transfer.
func checkResumed(t *testing.T, s *faulty.Server, st *storage.Store, layer string) {
	t.Helper()
	var ranges []string
	for _, q := range s.Seen() {
		if strings.HasSuffix(q.Path, layer) {
			ranges = append(ranges, q.Range)
		}
	}
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("the layer was asked for with ranges %q", ranges)
	}
	if parts, _ := filepath.Glob(filepath.Join(st.Cache(), "partial/*")); len(parts) > 0 {
		t.Errorf("left %v", parts)
	}
}

// However many want it, a blob is fetched once.
func TestPull_FetchesABlobOnceForAll(t *testing.T) {
	s := faulty.New(t)
	_, blobs := s.Add("app", "1", tarOf(map[string]string{"f": randomText(1, 1<<18)}), tarOf(map[string]string{"g": randomText(2, 1<<18)}))
	st := newStore(t)
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/slow/app:1", Registries: hasty}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, d := range blobs {
		if n := s.Gets("slow", d); n != 1 {
			t.Errorf("blob %s was fetched %d times", d, n)
		}
	}
}

// Layers come packed in many ways. Those that could be fetched in parts are
// ordinary ones for us.
func TestPull_UnpacksEveryFormat(t *testing.T) {
	plain := tarOf(map[string]string{"f": strings.Repeat("contents ", 10000)})
	packZstd := func(data []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(data, nil)
	}
	half := len(plain) / 2
	// zstd:chunked: several frames, and a table of contents in frames that a
	// decoder skips (RFC 8878, 3.1.2).
	skipped := append([]byte{0x50, 0x2a, 0x4d, 0x18, 5, 0, 0, 0}, "table"...)
	chunked := slices.Concat(packZstd(plain[:half]), packZstd(plain[half:]), skipped)
	// eStargz: a gzip member a file, and a footer in an empty member's header.
	var footer bytes.Buffer
	w := gzip.NewWriter(&footer)
	w.Extra = append([]byte{'S', 'G', 22, 0}, fmt.Sprintf("%016xSTARGZ", 1)...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stargz := slices.Concat(compress(plain[:half]), compress(plain[half:]), footer.Bytes())
	s := faulty.New(t)
	for name, layer := range map[string]faulty.Layer{
		"gzip":         {Blob: compress(plain), MediaType: faulty.LayerType},
		"none":         {Blob: plain, MediaType: "application/vnd.oci.image.layer.v1.tar"},
		"zstd":         {Blob: packZstd(plain), MediaType: "application/vnd.oci.image.layer.v1.tar+zstd"},
		"zstd-chunked": {Blob: chunked, MediaType: "application/vnd.oci.image.layer.v1.tar+zstd"},
		"estargz":      {Blob: stargz, MediaType: faulty.LayerType},
	} {
		t.Run(name, func(t *testing.T) {
			layer.Tar = plain
			s.AddLayers(name, "1", layer)
			st := newStore(t)
			ref := s.Address + "/ok/" + name + ":1"
			if _, err := Pull(t.Context(), st, message.Pull{Reference: ref, Registries: hasty}, nil); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, st, ref, "f"); len(got) != 90000 {
				t.Errorf("the file has %d bytes", len(got))
			}
		})
	}
}

// Credentials go to the registry that they are for, and to nobody else.
func TestPull_KeepsCredentials(t *testing.T) {
	s := faulty.New(t)
	s.Add("app", "1", tarOf(map[string]string{"f": "f"}))
	s.Auth = "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:secret"))
	registries := hasty
	registries.DockerConfig = t.TempDir()
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.Address, strings.TrimPrefix(s.Auth, "Basic "))
	if err := os.WriteFile(filepath.Join(registries.DockerConfig, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"realm", "redir", "urls"} {
		t.Run(mode, func(t *testing.T) {
			s.Forget()
			if _, err := Pull(t.Context(), newStore(t), message.Pull{Reference: s.Address + "/" + mode + "/app:1", Registries: registries}, nil); err != nil {
				t.Fatal(err)
			}
			other := s.SeenByOther()
			if len(other) == 0 && mode != "urls" || len(other) > 0 && mode == "urls" {
				t.Errorf("the other server was asked %d times", len(other))
			}
			for _, q := range other {
				if q.Authorization != "" {
					t.Errorf("the other server saw %q", q.Authorization)
				}
			}
		})
	}
	t.Run("token", func(t *testing.T) {
		if _, err := Pull(t.Context(), newStore(t), message.Pull{Reference: s.Address + "/token/app:1", Registries: registries}, nil); err != nil {
			t.Fatal(err)
		}
		_, err := Pull(t.Context(), newStore(t), message.Pull{Reference: s.Address + "/token/app:1", Registries: hasty}, nil)
		if !errors.Is(err, message.ErrDenied) {
			t.Errorf("without credentials: got %v, want %v", err, message.ErrDenied)
		}
	})
}
