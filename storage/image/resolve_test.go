package image

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/storage"
	"skiff/storage/atomicfile"
)

// fixture is an image as containers/storage records it.
type fixture struct {
	id       string
	names    []string
	unmarked bool
}

// store writes the records of images as containers/storage does.
func store(t testing.TB, images ...fixture) *storage.Store {
	t.Helper()
	st := &storage.Store{Dir: t.TempDir()}
	dir := filepath.Join(st.Graph(), "overlay-images")
	var records []map[string]any
	for _, f := range images {
		config := "sha256:" + f.id
		bigData := []string{config, "manifest"}
		if !f.unmarked {
			bigData = append(bigData, SyncedKey)
		}
		records = append(records, map[string]any{
			"id": f.id, "digest": config, "names": f.names, "names-history": []string{"docker.io/library/old:latest"},
			"layer":          f.id,
			"metadata":       fmt.Sprintf(`{"layers":[%q],"size":7,"created":"2026-11-21T02:15:03Z"}`, f.id),
			"big-data-names": bigData,
			"big-data-sizes": map[string]int{"manifest": 507, config: 542}, "big-data-digests": map[string]string{"manifest": config, config: config},
			"created": time.Date(2026, 11, 21, 2, 15, 3, 0, time.UTC),
		})
		item := filepath.Join(dir, f.id, "="+base64.StdEncoding.EncodeToString([]byte(config)))
		if err := os.MkdirAll(filepath.Dir(item), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(item, []byte(fixtureConfig), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "images.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return st
}

// fixtureConfig is each fixture's configuration; an image that is to be resolved
// has its digest as id.
const fixtureConfig = `{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]}}`

func fixtureID() string {
	sum := sha256.Sum256([]byte(fixtureConfig))
	return hex.EncodeToString(sum[:])
}

func TestVariant_ChecksTheConfiguration(t *testing.T) {
	st := store(t, fixture{id: fixtureID(), names: []string{"docker.io/library/good:latest"}}, fixture{id: id("bad"), names: []string{"docker.io/library/bad:latest"}})
	use := func(ref string) (*Image, error) {
		img, err := Find(st, ref)
		if err != nil {
			t.Fatal(err)
		}
		return img.Variant(st, "", "")
	}
	if img, err := use("good"); err != nil || img.Config.Config.Cmd[0] != "sh" {
		t.Errorf("got %+v, %v", img, err)
	}
	if _, err := use("bad"); !atomicfile.IsDamaged(err) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(DataFile(st.Graph(), fixtureID(), "sha256:"+fixtureID())); err != nil {
		t.Fatal(err)
	}
	if _, err := use("good"); !atomicfile.IsDamaged(err) {
		t.Errorf("got %v", err)
	}
}

func TestList_MissesItsRecords(t *testing.T) {
	st := store(t, fixture{id: id("a")})
	table := filepath.Join(st.Graph(), "overlay-images", "images.json")
	for _, damage := range []func() error{func() error { return os.Truncate(table, 20) }, func() error { return os.Remove(table) }} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if images, err := List(st); !atomicfile.IsDamaged(err) {
			t.Errorf("got %v, %v", images, err)
		}
	}
}

func id(prefix string) string { return prefix + strings.Repeat("0", 64-len(prefix)) }

func TestResolve(t *testing.T) {
	digest := "sha256:" + strings.Repeat("d", 64)
	st := store(t,
		fixture{id: id("aa1"), names: []string{"docker.io/library/alpine:latest", "docker.io/library/alpine@" + digest}},
		fixture{id: id("aa2"), names: []string{"docker.io/u/app:1", "127.0.0.1:5000/x:latest"}},
		fixture{id: id("bb1"), names: []string{"docker.io/library/aa2:latest"}},
		fixture{id: id("cc1"), names: []string{"docker.io/library/half:latest"}, unmarked: true},
		fixture{id: id("dd1")},
	)
	tests := []struct {
		name string
		ref  string
		want string // beginning of the id
		err  error
		text string
	}{
		{name: "short name means docker.io/library and latest", ref: "alpine", want: "aa1"},
		{name: "full name", ref: "docker.io/library/alpine:latest", want: "aa1"},
		{name: "name with digest", ref: "alpine@" + digest, want: "aa1"},
		{name: "tag is ignored beside a digest", ref: "alpine:other@" + digest, want: "aa1"},
		{name: "registry with port", ref: "127.0.0.1:5000/x", want: "aa2"},
		{name: "full id", ref: id("dd1"), want: "dd1"},
		{name: "full id with algorithm", ref: "sha256:" + id("dd1"), want: "dd1"},
		{name: "short id", ref: "dd", want: "dd1"},
		{name: "short id with algorithm", ref: "sha256:dd1", want: "dd1"},
		{name: "a name goes before an id", ref: "aa2", want: "bb1"},
		{name: "an id that fits two images", ref: "aa", err: ErrAmbiguous},
		{name: "other tag", ref: "alpine:3", err: ErrNotFound, text: "No such image: alpine:3"},
		{name: "absent name gets its tag in the message", ref: "nope", err: ErrNotFound, text: "No such image: nope:latest"},
		{name: "old names do not count", ref: "old", err: ErrNotFound},
		{name: "an image without the mark does not exist", ref: "half", err: ErrNotFound},
		{name: "nor by its id", ref: id("cc1"), err: ErrNotFound, text: "No such image: sha256:" + id("cc1")},
		{name: "not a name", ref: "a..b", err: ErrInvalidReference, text: "invalid reference format"},
		{name: "empty", ref: "", err: ErrInvalidReference},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := Find(st, tt.ref)
			if !errors.Is(err, tt.err) {
				t.Fatalf("got error %v, want %v", err, tt.err)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Errorf("got %q, want %q", err, tt.text)
			}
			if err == nil && (img.ID != id(tt.want) || img.Layers[0] != img.ID) {
				t.Errorf("got %+v, want %s", img, tt.want)
			}
		})
	}
}

func TestList_SkipsUnmarked(t *testing.T) {
	images, err := List(store(t, fixture{id: id("a"), names: []string{`docker.io/library/x:a"b`}}, fixture{id: id("b"), unmarked: true}))
	if err != nil || len(images) != 1 || images[0].ID != id("a") || images[0].Size != 7 {
		t.Fatalf("got %v %v, want the marked image", images, err)
	}
}

func TestList_EmptyStore(t *testing.T) {
	images, err := List(&storage.Store{Dir: t.TempDir()})
	if err != nil || len(images) != 0 {
		t.Fatalf("got %v %v, want nothing", images, err)
	}
}

func TestScan_DamagedRecords(t *testing.T) {
	for _, data := range []string{"", "[", "[{", `[{"id"`, `[{"id":`, `[{"id":"a`, `[{"id":"a"`, "{}", "null", `[{"id":"a\`, "[,]", "[}]"} {
		if _, err := (&allRecords{own: []byte(data)}).match(func([]byte) bool { return true }); err != nil {
			t.Logf("%q: %v", data, err)
		}
	}
}

// FuzzElements compares the scanner with encoding/json on whatever that takes.
func FuzzElements(f *testing.F) {
	f.Add([]byte(`[{"id":"a","x":[1,{"y":"]}\""}]} , {"id":"b"},null, 3.5e7,"s"]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []json.RawMessage
		valid := json.Unmarshal(data, &want) == nil && len(data) > 0 && trimSpace(data)[0] == '['
		var got []string
		for e := range elements(data) {
			for range members(e) {
			}
			got = append(got, string(e))
		}
		if !valid {
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: got %q, want %q", data, got, want)
		}
		for i := range want {
			if got[i] != strings.TrimSpace(string(want[i])) {
				t.Fatalf("%q: got %q, want %q", data, got[i], want[i])
			}
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{10, 1000} {
		var images []fixture
		for i := range n {
			images = append(images, fixture{id: fmt.Sprintf("%064x", i), names: []string{fmt.Sprintf("docker.io/library/image%d:latest", i)}})
		}
		st := store(b, images...)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Resolve(st, "image7"); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprint("list", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := List(st); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
