package client

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// newStore returns an empty store. The courier needs to mount overlay, which
// takes root or a user namespace.
func newStore(t *testing.T) *storage.Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, or a user namespace (unshare -Ur)")
	}
	st := &storage.Store{Dir: t.TempDir()}
	t.Cleanup(func() { checkClean(t, st) })
	return st
}

// checkClean fails the test if anything unpublished is left in the store.
func checkClean(t *testing.T, st *storage.Store) {
	t.Helper()
	left, _ := filepath.Glob(filepath.Join(st.Temp(), "[^.]*"))
	staged, _ := filepath.Glob(filepath.Join(st.Layers(), "staging", "*"))
	left = append(append(left, staged...), strayLayers(t, st)...)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// strayLayers lists the layers that belong to no image.
func strayLayers(t *testing.T, st *storage.Store) (stray []string) {
	t.Helper()
	images, err := image.List(st)
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for _, img := range images {
		for _, id := range img.Layers {
			used[id] = true
		}
	}
	diffs, _ := filepath.Glob(filepath.Join(st.Layers(), "????????????????*", "diff"))
	for _, diff := range diffs {
		if dir := filepath.Dir(diff); !used[filepath.Base(dir)] {
			stray = append(stray, dir)
		}
	}
	return stray
}

// contents returns a file's contents as seen through an image's layers.
func contents(t *testing.T, st *storage.Store, ref, name string) string {
	t.Helper()
	img, err := image.Resolve(st, ref)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range img.Layers {
		if data, err := os.ReadFile(filepath.Join(st.Layers(), id, "diff", name)); err == nil {
			return string(data)
		}
	}
	return ""
}

func pull(t *testing.T, st *storage.Store, ref string) (message.Result, error) {
	t.Helper()
	return Pull(t.Context(), st, message.Pull{Reference: ref, Registries: hasty}, nil)
}

func TestPull_PutsLayersInOrder(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	id, digest := r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "base", "g": "g"}), tarOf(map[string]string{"f": "top"})}})
	var kinds []message.EventKind
	result, err := Pull(t.Context(), st, message.Pull{Reference: r.name("1")}, func(e message.Event) {
		switch e.Kind {
		case message.LayerProgress, message.LayerArrived, message.LayerUnpacking:
		default:
			kinds = append(kinds, e.Kind)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.ID != id || result.Digest != digest || !result.Changed {
		t.Errorf("got %+v", result)
	}
	if got := contents(t, st, r.name("1"), "f"); got != "top" {
		t.Errorf("got %q, want the upper layer's file", got)
	}
	if kinds[0] != message.Resolved || kinds[1] != message.LayerQueued || kinds[len(kinds)-1] != message.LayerApplied || len(kinds) != 7 {
		t.Errorf("got events %v", kinds)
	}
	again, err := pull(t, st, r.name("1"))
	if err != nil || again.Changed || r.fetched["sha256:"+id] != 1 {
		t.Errorf("second pull: got %+v %v, want nothing to do", again, err)
	}
	img, err := image.Find(st, strings.TrimSuffix(r.name("1"), ":1")+"@"+digest)
	if err != nil || img.ID != id || img.Size != int64(len("base")+len("g")+len("top")) {
		t.Errorf("by digest: got %+v %v", img, err)
	}
}

func TestPull_ReusesLayers(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	base := tarOf(map[string]string{"f": "base"})
	r.add("1", imageSpec{layers: [][]byte{base}})
	r.add("2", imageSpec{layers: [][]byte{base, tarOf(map[string]string{"g": "g"})}})
	for _, tag := range []string{"1", "2"} {
		if _, err := pull(t, st, r.name(tag)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.fetched[digestOf(compress(base))]; n != 1 {
		t.Errorf("the common layer was fetched %d times", n)
	}
}

func TestPull_NewImageTakesTheTag(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	old, _ := r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "old"})}})
	if _, err := pull(t, st, r.name("1")); err != nil {
		t.Fatal(err)
	}
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "new"})}})
	if _, err := pull(t, st, r.name("1")); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, st, r.name("1"), "f"); got != "new" {
		t.Errorf("got %q, want new", got)
	}
	if img, err := image.Find(st, old); err != nil || len(img.Names) != 0 || len(img.Digests) != 1 {
		t.Errorf("old image: got %+v %v, want it dangling with its digest", img, err)
	}
}

func TestPull_ChoosesThePlatform(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	_, arm := r.add("arm", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "arm"})}})
	_, amd := r.add("amd", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "amd"})}})
	entry := func(digest, arch string) map[string]any {
		return map[string]any{"mediaType": manifestType, "digest": digest, "size": len(r.manifests[digest]), "platform": map[string]any{"os": "linux", "architecture": arch}}
	}
	index := r.addManifest("all", indexType, map[string]any{
		"schemaVersion": 2, "mediaType": indexType, "manifests": []any{entry(arm, "arm64"), entry(amd, "amd64")},
	})
	for platform, want := range map[string]string{"linux/arm64": "arm", "amd64": "amd"} {
		result, err := Pull(t.Context(), st, message.Pull{Reference: r.name("all"), Platform: platform}, nil)
		if err != nil || result.Digest != index {
			t.Fatalf("%s: got %+v %v", platform, result, err)
		}
		if got := contents(t, st, r.name("all"), "f"); got != want {
			t.Errorf("%s: got %q, want %q", platform, got, want)
		}
	}
	_, err := Pull(t.Context(), st, message.Pull{Reference: r.name("all"), Platform: "linux/s390x"}, nil)
	if !errors.Is(err, message.ErrNoPlatform) || err.Error() != "no matching manifest for linux/s390x in the manifest list entries" {
		t.Errorf("got %v", err)
	}
}

func TestPull_SaysThatThePlatformIsAnother(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "amd"})}})
	for _, wanted := range []string{"", "linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/arm64"} {
		var notes []string
		if _, err := Pull(t.Context(), st, message.Pull{Reference: r.name("1"), Platform: wanted}, func(e message.Event) {
			if e.Kind == message.Note {
				notes = append(notes, e.Text)
			}
		}); err != nil {
			t.Fatal(err)
		}
		var want []string
		if wanted == "linux/arm64" {
			want = []string{"WARNING: image with reference " + r.name("1") + " was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"}
		}
		if !slices.Equal(notes, want) {
			t.Errorf("%q: got %q, want %q", wanted, notes, want)
		}
	}
}

func TestPull_Refuses(t *testing.T) {
	layer := tarOf(map[string]string{"f": strings.Repeat("data", 1000)})
	good := imageSpec{layers: [][]byte{layer}}
	blob := digestOf(compress(layer))
	answer := func(content []byte) func(*registry) {
		return func(r *registry) {
			r.serve = func(w http.ResponseWriter, _ *http.Request, d string) bool {
				if d == blob {
					_, _ = w.Write(content)
				}
				return d == blob
			}
		}
	}
	flipped := slices.Clone(compress(layer))
	flipped[4] ^= 1 // the time in gzip's header: contents stay right
	tests := []struct {
		name  string
		spec  imageSpec
		spoil func(*registry)
		tag   string
		err   error
		text  string
	}{
		{name: "a tag that is not there", spec: good, tag: "2", err: message.ErrNotFound, text: "manifest for REF not found: manifest unknown: manifest unknown"},
		{name: "a layer with a wrong digest", spec: good, spoil: answer(flipped), err: message.ErrInvalid, text: "filesystem layer verification failed for digest " + blob},
		{name: "a layer with something behind it", spec: good, spoil: answer(append(compress(layer), 0)), err: message.ErrInvalid},
		{name: "a layer that ends early", spec: good, spoil: answer(compress(layer)[:50])},
		{name: "a layer that is no archive", spec: imageSpec{layers: [][]byte{[]byte(strings.Repeat("no tar", 500))}}, err: message.ErrInvalid},
		{name: "a configuration for another layer", spec: imageSpec{layers: [][]byte{layer}, diffIDs: []string{digestOf(nil)}}, err: message.ErrInvalid},
		{name: "a configuration for fewer layers", spec: imageSpec{layers: [][]byte{layer}, diffIDs: []string{}}, err: message.ErrInvalid},
		{name: "a digest with a path in it", spec: imageSpec{layers: [][]byte{layer}, diffIDs: []string{"sha256:../../../etc/passwd"}}, err: message.ErrInvalid},
		{name: "a layer that the registry lost", spec: good, spoil: func(r *registry) { delete(r.blobs, blob) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			st, r := newStore(t), newRegistry(t)
			r.add("1", tt.spec)
			if tt.spoil != nil {
				tt.spoil(r)
			}
			tag := tt.tag
			if tag == "" {
				tag = "1"
			}
			_, err := pull(t, st, r.name(tag))
			if err == nil || tt.err != nil && !errors.Is(err, tt.err) {
				t.Fatalf("got %v, want %v", err, tt.err)
			}
			if want := strings.ReplaceAll(tt.text, "REF", r.name(tag)); want != "" && err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
			if images, err := image.List(st); err != nil || len(images) != 0 {
				t.Errorf("images: got %v %v, want none", images, err)
			}
		})
	}
}

func TestPull_NobodyAnswers(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	r.Close()
	_, err := pull(t, st, r.name("1"))
	if !errors.Is(err, message.ErrUnreachable) || !strings.HasPrefix(err.Error(), `Get "http`) || !strings.HasSuffix(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestPull_KeepsOldTagOnFailure(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "old"})}})
	if _, err := pull(t, st, r.name("1")); err != nil {
		t.Fatal(err)
	}
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "new"}), []byte("no tar at all, but long enough to be read as a header")}})
	if _, err := pull(t, st, r.name("1")); err == nil {
		t.Fatal("got no error")
	}
	if got := contents(t, st, r.name("1"), "f"); got != "old" {
		t.Errorf("got %q, want old", got)
	}
}

// stall makes the registry send half of a blob and then nothing; sent tells
// when.
func stall(r *registry, digest string) (sent <-chan struct{}) {
	half := make(chan struct{})
	var once sync.Once
	r.serve = func(w http.ResponseWriter, q *http.Request, d string) bool {
		if d != digest {
			return false
		}
		blob := r.blobs[d]
		_, _ = w.Write(blob[:len(blob)/2])
		_ = http.NewResponseController(w).Flush()
		once.Do(func() { close(half) })
		<-q.Context().Done()
		return true
	}
	return half
}

func TestPull_CanceledLeavesNothing(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	layer := tarOf(map[string]string{"f": strings.Repeat("x", 1<<20)})
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"g": "g"}), layer}})
	sent := stall(r, digestOf(compress(layer)))
	applied := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-sent; <-applied; cancel() }()
	_, err := Pull(ctx, st, message.Pull{Reference: r.name("1")}, func(e message.Event) {
		if e.Kind == message.LayerApplied {
			close(applied)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestPull_HealsAfterKill(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	base, top := tarOf(map[string]string{"f": "base"}), tarOf(map[string]string{"g": strings.Repeat("x", 1<<20)})
	r.add("1", imageSpec{layers: [][]byte{base, top}})
	sent := stall(r, digestOf(compress(top)))
	applied := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := Pull(t.Context(), st, message.Pull{Reference: r.name("1")}, func(e message.Event) {
			if e.Kind == message.LayerApplied {
				close(applied)
			}
		})
		ended <- err
	}()
	<-sent
	<-applied
	killCouriers(t)
	if err := <-ended; err == nil {
		t.Fatal("a killed courier succeeded")
	}
	if left, _ := filepath.Glob(filepath.Join(st.Temp(), "[^.]*")); len(left) == 0 {
		t.Fatal("the kill left nothing: the test proves nothing")
	}
	r.serve = nil
	r.add("2", imageSpec{layers: [][]byte{tarOf(map[string]string{"h": "h"})}})
	if _, err := pull(t, st, r.name("2")); err != nil {
		t.Fatal(err)
	}
	if layers, _ := filepath.Glob(filepath.Join(st.Layers(), "????????????????*", "diff")); len(layers) != 1 {
		t.Errorf("got layers %v, want only the second image's", layers)
	}
	if _, err := pull(t, st, r.name("1")); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, st, r.name("1"), "f"); got != "base" {
		t.Errorf("got %q, want base", got)
	}
}

// killCouriers kills the couriers that this process started.
func killCouriers(t *testing.T) {
	t.Helper()
	for _, pid := range couriers(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

// couriers are the processes that this one started.
func couriers(t *testing.T) (pids []int) {
	t.Helper()
	self := strconv.Itoa(os.Getpid())
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (comm) state ppid: proc_pid_stat(5)
		head, tail, _ := strings.Cut(string(data), " (")
		_, tail, _ = strings.Cut(tail, ") ")
		fields := strings.Fields(tail)
		if len(fields) < 2 || fields[1] != self {
			continue
		}
		pid, err := strconv.Atoi(head)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func TestPull_ManyAtOnce(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	r.add("1", imageSpec{layers: [][]byte{tarOf(map[string]string{"f": "base"}), tarOf(map[string]string{"g": "g"})}})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := pull(t, st, r.name("1")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := contents(t, st, r.name("1"), "f"); got != "base" {
		t.Errorf("got %q, want base", got)
	}
}

// A pull must not hold a lock that others need while the network is silent.
func TestPull_StalledKeepsNobodyElseWaiting(t *testing.T) {
	st, r := newStore(t), newRegistry(t)
	layer := tarOf(map[string]string{"f": strings.Repeat("x", 1<<20)})
	r.add("slow", imageSpec{layers: [][]byte{layer}})
	r.add("2", imageSpec{layers: [][]byte{tarOf(map[string]string{"h": "h"})}})
	sent := stall(r, digestOf(compress(layer)))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = Pull(ctx, st, message.Pull{Reference: r.name("slow")}, nil)
	}()
	<-sent
	limited, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if _, err := Pull(limited, st, message.Pull{Reference: r.name("2")}, nil); err != nil {
		t.Error(err)
	}
	cancel()
	<-ended
}

// hasty is how tests wait for registries.
var hasty = message.Registries{Patience: message.Patience{
	Header: 2 * time.Second, Stall: 2 * time.Second, Pause: 20 * time.Millisecond, Total: 4 * time.Second,
}}
