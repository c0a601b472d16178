package image

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/golden"
	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fakeEnv is a world with three images.
func fakeEnv(t *testing.T) (e *env.Env, out *bytes.Buffer) {
	t.Helper()
	st := &storage.Store{Dir: t.TempDir()}
	id := func(c string) string { return strings.Repeat(c, 64) }
	writeImages(t, st, []map[string]any{
		{"id": id("a"), "names": []string{"docker.io/library/alpine:3.20", "docker.io/library/alpine@sha256:" + id("1"), "docker.io/library/alpine:latest"}, "metadata": `{"size":7800000,"created":"2026-11-07T12:00:00Z"}`},
		{"id": id("b"), "names": []string{"ghcr.io/x/y@sha256:" + id("2")}, "metadata": `{"size":72900000,"created":"2026-11-21T11:00:00Z","layers":["l2","l1"],"tagged":"2026-11-21T11:30:00Z"}`},
		{"id": id("c"), "metadata": `{"size":0}`},
	})
	out = &bytes.Buffer{}
	return &env.Env{
		Out: out, Err: out, Program: "skiff", Clock: func() time.Time { return now }, Getenv: func(string) string { return "" },
		OpenStore: func() (*storage.Store, error) { return st, nil },
	}, out
}

// writeImages writes records as containers/storage does.
func writeImages(t *testing.T, st *storage.Store, records []map[string]any) {
	t.Helper()
	dir := filepath.Join(st.Graph(), "overlay-images")
	for _, r := range records {
		r["big-data-names"] = []string{image.SyncedKey}
		key := base64.StdEncoding.EncodeToString([]byte("sha256:" + r["id"].(string)))
		path := filepath.Join(dir, r["id"].(string), "="+key)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		config := `{"architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Labels":{"tier":"` + r["id"].(string)[:1] + `"}},"rootfs":{"type":"layers","diff_ids":["sha256:1"]},"history":[{"comment":"last step"}]}`
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "images.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run executes one command line of command.
func run(t *testing.T, e *env.Env, command *cli.Command, args ...string) error {
	t.Helper()
	app := &cli.App{
		Commands: []*cli.Command{command}, Writer: e.Out, ErrWriter: e.Err, ExitErrHandler: func(*cli.Context, error) {},
		HideHelp: true, DisableSliceFlagSeparator: true,
	}
	return app.RunContext(t.Context(), append([]string{"skiff", command.Name}, args...))
}

func TestImages(t *testing.T) {
	t.Setenv("TZ", "UTC")
	for name, args := range map[string][]string{
		"table":           nil,
		"digests":         {"--digests"},
		"quiet":           {"-q"},
		"no-trunc":        {"--no-trunc"},
		"json":            {"--format", "json"},
		"template":        {"--format", "{{.Repository}}:{{.Tag}} {{.Digest}} {{.Size}} {{.CreatedSince}}"},
		"dangling":        {"--filter", "dangling=true"},
		"label":           {"--filter", "label=tier=b"},
		"reference":       {"--filter", "reference=al*"},
		"argument":        {"alpine:3.20"},
		"before":          {"--filter", "before=bbbb"},
		"since":           {"--filter", "since=alpine"},
		"until":           {"--filter", "until=24h"},
		"nothing matches": {"nope"},
	} {
		t.Run(name, func(t *testing.T) {
			e, out := fakeEnv(t)
			if err := run(t, e, ImagesCommand(e), args...); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "images-"+strings.ReplaceAll(name, " ", "-"), out.String())
		})
	}
}

func TestImages_Refuses(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"two arguments":       {[]string{"a", "b"}, "requires at most 1 argument"},
		"an unknown filter":   {[]string{"--filter", "x=1"}, "invalid filter 'x'"},
		"dangling like maybe": {[]string{"--filter", "dangling=maybe"}, "invalid filter 'dangling=[maybe]'"},
		"an absent limit":     {[]string{"--filter", "before=nope"}, "No such image: nope:latest"},
		"an unreadable time":  {[]string{"--filter", "until=soon"}, `failed to parse "soon" as a time: expected integer`},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := fakeEnv(t)
			err := run(t, e, ImagesCommand(e), tt.args...)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	e, out := fakeEnv(t)
	if err := run(t, e, InspectCommand(e), "bbbb"); err != nil {
		t.Fatal(err)
	}
	st, err := e.Store()
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "inspect", strings.ReplaceAll(out.String(), st.Dir, "STORE"))
	out.Reset()
	err = run(t, e, InspectCommand(e), "-f", "{{.Id}} {{.RepoTags}} {{index .Config.Labels \"tier\"}}", "alpine", "nope")
	if !errors.Is(err, image.ErrNotFound) || err.Error() != "No such image: nope:latest" {
		t.Errorf("got %v", err)
	}
	if got, want := out.String(), "sha256:"+strings.Repeat("a", 64)+" [alpine:3.20 alpine:latest] a\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestInspect_NothingFoundIsAnEmptyArray(t *testing.T) {
	e, out := fakeEnv(t)
	if err := run(t, e, InspectCommand(e), "nope"); !errors.Is(err, image.ErrNotFound) {
		t.Errorf("got %v, want %v", err, image.ErrNotFound)
	}
	if out.String() != "[]\n" {
		t.Errorf("got %q", out)
	}
}

func TestPrintPulled(t *testing.T) {
	digest := "sha256:" + strings.Repeat("d", 64)
	for name, tt := range map[string]struct {
		ref     string
		quiet   bool
		changed bool
		want    string
	}{
		"new":      {"alpine", false, true, "Digest: " + digest + "\nStatus: Downloaded newer image for alpine:latest\ndocker.io/library/alpine:latest\n"},
		"the same": {"u/a:1", false, false, "Digest: " + digest + "\nStatus: Image is up to date for u/a:1\ndocker.io/u/a:1\n"},
		"quiet":    {"alpine", true, true, "docker.io/library/alpine:latest\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e, out := fakeEnv(t)
			ref, err := image.ParseReference(tt.ref)
			if err != nil {
				t.Fatal(err)
			}
			o := pullOptions{Ref: ref.WithDefaultTag(), Quiet: tt.quiet}
			if err := printPulled(e, o, message.Result{Digest: digest, Changed: tt.changed}); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPrintLoadedAndRemoved(t *testing.T) {
	e, out := fakeEnv(t)
	loaded := []message.Loaded{{ID: "1", Names: []string{"docker.io/library/a:1", "docker.io/u/b:2"}}, {ID: "2"}}
	removed := []message.Removed{{Untagged: "docker.io/library/a:1"}, {Deleted: "sha256:1"}}
	if err := errors.Join(printLoaded(e, loaded), printRemoved(e, removed)); err != nil {
		t.Fatal(err)
	}
	want := "Loaded image: a:1\nLoaded image: u/b:2\nLoaded image ID: sha256:2\nUntagged: a:1\nDeleted: sha256:1\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

func TestBadArguments(t *testing.T) {
	for name, tt := range map[string]struct {
		command func(*env.Env) *cli.Command
		args    []string
		want    string
		local   bool
	}{
		"pull without a name":        {PullCommand, nil, "requires 1 argument", false},
		"pull of an upper-case name": {PullCommand, []string{"Foo"}, "invalid reference format: repository name (library/Foo) must be lowercase", true},
		"pull of a path":             {PullCommand, []string{"x@sha256:../../etc"}, "invalid reference format", true},
		"tag without a target":       {TagCommand, []string{"a"}, "requires 2 arguments", false},
		"tag of an absent image":     {TagCommand, []string{"nope", "b"}, "No such image: nope:latest", false},
		"tag with a bad target":      {TagCommand, []string{"alpine", "../y"}, `Error parsing reference: "../y" is not a valid repository/tag: invalid reference format`, true},
		"tag with a digest":          {TagCommand, []string{"alpine", "x@sha256:" + strings.Repeat("a", 64)}, "refusing to create a tag with a digest reference", true},
		"rmi without a name":         {RemoveCommand, nil, "requires at least 1 argument", false},
		"rmi of an absent image":     {RemoveCommand, []string{"nope"}, "No such image: nope:latest", false},
		"load with an argument":      {LoadCommand, []string{"x"}, "accepts no arguments", false},
		"load of an absent file":     {LoadCommand, []string{"-i", "/nonexistent"}, "open /nonexistent: no such file or directory", true},
		"import without a source":    {ImportCommand, nil, "requires at least 1 argument", false},
		"import of an absent file":   {ImportCommand, []string{"/nonexistent"}, "open /nonexistent: no such file or directory", true},
		"import under a bad name":    {ImportCommand, []string{"-", "Foo"}, "invalid reference format: repository name (library/Foo) must be lowercase", true},
		"inspect without a name":     {InspectCommand, nil, "requires at least 1 argument", false},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := fakeEnv(t)
			err := run(t, e, tt.command(e), tt.args...)
			if err == nil || err.Error() != tt.want {
				t.Fatalf("got %v, want %s", err, tt.want)
			}
			var said *failure.Error
			if local := errors.As(err, &said) && said.Local; local != tt.local {
				t.Errorf("said by the client: got %v, want %v", local, tt.local)
			}
		})
	}
}

func TestRemove_ForcedAbsentImageIsNoFailure(t *testing.T) {
	e, out := fakeEnv(t)
	if err := run(t, e, RemoveCommand(e), "-f", "nope"); err != nil {
		t.Fatal(err)
	}
	if out.String() != "Error: No such image: nope:latest\n" {
		t.Errorf("got %q", out)
	}
}

func TestCreatedSince(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cases := []struct {
		name    string
		created time.Time
		want    string
	}{
		{"an image that does not say", time.Time{}, "N/A"},
		{"a reproducible build's epoch counts, as with docker", time.Unix(0, 0), "56 years ago"},
		{"an hour", now.Add(-time.Hour), "About an hour ago"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := createdSince(now, c.created); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	t.Setenv("TZ", "UTC")
	made := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	img := &image.Image{ID: strings.Repeat("a", 64), Layers: []string{"top", "base"}}
	img.Config.History = []image.History{
		{Created: &made, CreatedBy: "ADD file:123 in /", Comment: "base"},
		{CreatedBy: "ENV\tA=b", EmptyLayer: true},
		{Created: &made, CreatedBy: "RUN " + strings.Repeat("long ", 20)},
	}
	layers := map[string]image.Layer{"top": {Size: 1234}, "base": {Size: 72900000}}
	for name, o := range map[string]historyOptions{
		"default": {Human: true}, "exact": {}, "no-trunc": {Human: true, NoTrunc: true}, "quiet": {Human: true, Quiet: true},
		"json": {Human: true, Format: "json"}, "template": {Human: true, Format: "{{.ID}} {{.Size}} {{.CreatedAt}}"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := historyList(o).Print(&out, o.Format, o.Quiet, historyRows(img, layers, o, now)); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "history-"+name, out.String())
		})
	}
}
