package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
			if mode == "hang" || mode == "mute" {
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
		arrived := make(chan struct{})
		var once sync.Once
		ended := make(chan error, 1)
		go func() {
			_, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/hang/app:1", Registries: hasty}, func(e message.Event) {
				if e.Kind == message.LayerProgress && e.Offset > 0 {
					once.Do(func() { close(arrived) })
				}
			})
			ended <- err
		}()
		// The configuration hangs first, its rest is asked for until the end.
		select {
		case <-arrived:
			t.Fatal("the layer came before the configuration")
		case <-time.After(300 * time.Millisecond):
		}
		killCouriers(t)
		<-ended
		parts, _ := filepath.Glob(filepath.Join(st.Cache(), "partial/*"))
		if len(parts) != 1 {
			t.Fatalf("got parts %v, want the configuration's", parts)
		}
		if _, err := Pull(t.Context(), st, message.Pull{Reference: s.Address + "/ok/app:1", Registries: hasty}, nil); err != nil {
			t.Fatal(err)
		}
		resumed := false
		for _, q := range s.Seen() {
			resumed = resumed || strings.HasPrefix(q.Path, "/v2/ok/") && strings.HasSuffix(q.Path, blobs[0]) && q.Range != ""
		}
		if !resumed {
			t.Error("the second pull began anew")
		}
		if parts, _ := filepath.Glob(filepath.Join(st.Cache(), "partial/*")); len(parts) > 0 {
			t.Errorf("left %v", parts)
		}
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
