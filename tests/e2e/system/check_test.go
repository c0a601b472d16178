package system_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"skiff/tests/harness"
)

// How a file can be damaged.
var damages = map[string]func(path string) error{
	"truncated": func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()/2)
	},
	// In place, as a disk does it: the file keeps its inode.
	"flipped": func(path string) error {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		var b [1]byte
		if _, err := f.ReadAt(b[:], info.Size()/2); err != nil {
			return err
		}
		b[0] ^= 1
		_, err = f.WriteAt(b[:], info.Size()/2)
		return err
	},
	"missing": os.Remove,
}

// damagedStore is a store with one of everything twice: what is damaged, hurt, and
// what must not be touched by it, well.
type damagedStore struct {
	*harness.Session
	registry *harness.Registry
	pulled   string // an image that a registry has, "hurt"
}

func newDamagedStore(t *testing.T) *damagedStore {
	t.Helper()
	s := &damagedStore{Session: harness.New(t), registry: harness.NewRegistry(t)}
	s.Setenv("NO_PROXY", "127.0.0.1")
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{
		harness.Dir("data"), harness.File("data/text", strings.Repeat("contents\n", 1000)), harness.File("data/empty", ""), harness.Symlink("data/link", "text"),
	})
	i.Name = "hurt:latest"
	s.pulled = s.registry.Push(t, i, "hurt:1")
	s.OK("pull", "-q", s.pulled)
	i.Layers[1] = append(i.Layers[1], harness.File("data/loaded", "only here"))
	i.Name = "loaded:latest"
	s.Load(i)
	s.LoadBusybox()
	for _, name := range []string{"well", "hurt"} {
		s.OK("run", "--name", name, "--network", "none", s.pulled, "true")
		s.OK("volume", "create", "--label", "a=b", "v-"+name)
		s.OK("network", "create", "n-"+name)
		s.OK("secret", "create", "s-"+name, s.WriteFile("secret", "hush"))
	}
	s.OK("run", "--name", "of-loaded", "--network", "none", "loaded", "true")
	s.OK("run", "--rm", "--network", "none", "-v", "v-hurt:/v", "busybox", "sh", "-c", "echo kept >/v/f")
	// The tables of records are copied by the command behind the one that wrote them,
	// too, and a store that was copied by hand has other inodes.
	s.OK("tag", "busybox", "well:1")
	s.keep()
	return s
}

func (s *damagedStore) keep() { s.shell("cp -a " + s.Store() + " " + s.Dir + "/kept") }

// restore is the store as it was before it was damaged.
func (s *damagedStore) restore() {
	s.T.Helper()
	s.shell("rm -rf " + s.Store() + " && cp -a " + s.Dir + "/kept " + s.Store())
	s.OK("tag", "busybox", "well:2")
}

// shell runs a line as root: the files belong to many ids.
func (s *damagedStore) shell(line string) {
	s.T.Helper()
	if out, err := exec.Command("sh", "-ec", line).CombinedOutput(); err != nil {
		s.T.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func (s *damagedStore) id(container string) string {
	s.T.Helper()
	return s.Inspect(container, "{{.Id}}")
}

// layer is the topmost layer of an image.
func (s *damagedStore) layer(image string) string {
	s.T.Helper()
	var all []struct {
		ID, Layer string
		Names     []string
	}
	data, err := os.ReadFile(filepath.Join(s.Store(), "storage/overlay-images/images.json"))
	if err == nil {
		err = json.Unmarshal(data, &all)
	}
	if err != nil {
		s.T.Fatal(err)
	}
	for _, i := range all {
		if slices.ContainsFunc(i.Names, func(n string) bool { return strings.Contains(n, image) }) {
			return i.Layer
		}
	}
	s.T.Fatalf("no record of %s", image)
	return ""
}

// item is a file that is kept with an image.
func (s *damagedStore) item(image, like string) string {
	s.T.Helper()
	dir := filepath.Join(s.Store(), "storage/overlay-images", strings.TrimPrefix(s.Inspect(image, "{{.Id}}"), "sha256:"))
	found, err := filepath.Glob(filepath.Join(dir, like))
	if err != nil || len(found) == 0 {
		s.T.Fatalf("%s/%s: %v", dir, like, err)
	}
	return found[0]
}

// others are commands that have nothing to do with what is damaged.
var others = map[string]string{
	"containers": "ps -a", "images": "images", "volumes": "volume ls", "networks": "network ls", "secrets": "secret ls",
	"run": "run --rm --network none busybox true", "start": "start -a well", "inspect": "inspect well",
	"volume": "volume inspect v-well", "network": "network inspect n-well", "secret": "secret inspect s-well",
}

// damage is a file of the store and what must be true when it is damaged.
type damage struct {
	name string
	path func(s *damagedStore) string
	how  []string // nil for each way
	// fails are those of others that do not succeed, warns those that say what they
	// lack; what of the well they list they must list still.
	fails, warns []string
	// complains is a command that names the file and the cure, "" if none does.
	complains string
	mended    string // what repair says
	// left says that a container lacks its image until the user brings it again.
	left  bool
	after func(s *damagedStore)
}

func storeFile(name string) func(*damagedStore) string {
	return func(s *damagedStore) string { return filepath.Join(s.Store(), name) }
}

func layerFile(image, name string) func(*damagedStore) string {
	return func(s *damagedStore) string { return filepath.Join(s.Store(), "storage/overlay", s.layer(image), name) }
}

func runs(image string) func(*damagedStore) {
	return func(s *damagedStore) {
		s.T.Helper()
		s.Skiff("run", "--rm", "--network", "none", image, "sh", "-c", "wc -c </data/link; ls /data/empty").Exits(0).Prints("9000\n/data/empty")
		s.Skiff("start", "-a", "well").Exits(0)
	}
}

// loadedAgain is what a user does about an image that was set aside.
func loadedAgain(s *damagedStore) {
	s.T.Helper()
	s.Skiff("run", "--rm", "--pull", "never", "--network", "none", "loaded", "true").Exits(125)
	i := harness.BusyboxImage(s.T)
	i.Layers = append(i.Layers, harness.Layer{
		harness.Dir("data"), harness.File("data/text", strings.Repeat("contents\n", 1000)), harness.File("data/empty", ""), harness.Symlink("data/link", "text"),
		harness.File("data/loaded", "only here"),
	})
	i.Name = "loaded:latest"
	s.Load(i)
	runs("loaded")(s)
	s.Skiff("start", "-a", "of-loaded").Exits(0)
}

var damageTable = []damage{
	{
		name: "a container's configuration", path: func(s *damagedStore) string {
			return filepath.Join(s.Store(), "containers", s.id("hurt"), "config.json")
		},
		warns: []string{"containers"}, complains: "start hurt", mended: "set aside",
		after: func(s *damagedStore) {
			s.Skiff("start", "hurt").Exits(1).Complains("No such container: hurt")
			s.Skiff("run", "--name", "hurt", "--network", "none", "busybox", "true").Exits(0)
		},
	},
	{
		name: "a container's state", how: []string{"truncated", "flipped"},
		path: func(s *damagedStore) string {
			return filepath.Join(s.Store(), "containers", s.id("hurt"), "state.json")
		},
		warns: []string{"containers"}, complains: "inspect hurt", mended: "recorded as killed",
		after: func(s *damagedStore) {
			s.Skiff("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "hurt").Exits(0).Prints("exited 137")
			s.Skiff("start", "-a", "hurt").Exits(0)
		},
	},
	{
		name: "a volume", path: storeFile("volumes/v-hurt/volume.json"), warns: []string{"volumes"},
		complains: "run --rm --network none -v v-hurt:/v busybox true", mended: "recorded anew",
		after: func(s *damagedStore) {
			s.Skiff("run", "--rm", "--network", "none", "-v", "v-hurt:/v", "busybox", "cat", "/v/f").Exits(0).Prints("kept")
			s.Skiff("volume", "ls", "-q").Exits(0).Prints("v-hurt\nv-well")
		},
	},
	{
		name: "a network", how: []string{"truncated", "flipped"}, path: storeFile("networks/n-hurt.json"), warns: []string{"networks"},
		complains: "network inspect n-hurt", mended: "set aside",
		after: func(s *damagedStore) { s.Skiff("network", "create", "n-hurt").Exits(0) },
	},
	{
		name: "a secret", how: []string{"truncated", "flipped"}, path: storeFile("secrets/s-hurt.json"), warns: []string{"secrets"},
		complains: "secret inspect s-hurt", mended: "set aside",
		after: func(s *damagedStore) { s.Skiff("secret", "create", "s-hurt", s.WriteFile("secret", "hush")).Exits(0) },
	},
	{
		name: "the images' records", how: []string{"truncated", "missing"}, path: storeFile("storage/overlay-images/images.json"),
		fails: []string{"images", "run"}, complains: "images", mended: "3 records put back", after: runs("loaded"),
	},
	{
		name: "the images' records", how: []string{"flipped"}, path: storeFile("storage/overlay-images/images.json"),
		complains: "tag busybox another:1", mended: "3 records put back", after: runs("loaded"),
	},
	{
		name: "the layers' records", path: storeFile("storage/overlay-layers/layers.json"),
		complains: "save -o saved.tar busybox", mended: "3 records put back", after: runs("loaded"),
	},
	{
		name: "the configuration of an image that was pulled", path: func(s *damagedStore) string { return s.item(s.pulled, "=c2hh*") },
		complains: "run --rm --network none REGISTRY/hurt:1 true", mended: "fetched again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "the configuration of an image that was loaded", path: func(s *damagedStore) string { return s.item("loaded", "=c2hh*") },
		complains: "run --rm --network none loaded true", mended: "set aside", after: loadedAgain,
	},
	{
		name: "the manifest of an image", path: func(s *damagedStore) string { return s.item("loaded", "manifest") },
		mended: "put back from its copy", after: runs("loaded"),
	},
	{
		name: "the mark of an image", path: func(s *damagedStore) string { return s.item("loaded", "skiff.synced") },
		mended: "written again", after: runs("loaded"),
	},
	{
		name: "a file in a layer that was pulled", path: layerFile("/hurt", "diff/data/text"),
		mended: "fetched again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "an empty file in a layer that was pulled", how: []string{"missing"}, path: layerFile("/hurt", "diff/data/empty"),
		mended: "fetched again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "a link in a layer that was pulled", how: []string{"missing"}, path: layerFile("/hurt", "diff/data/link"),
		mended: "fetched again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "a file in a layer that was loaded", path: layerFile("loaded", "diff/data/text"), mended: "set aside", left: true, after: loadedAgain,
	},
	{
		name: "the headers of a layer", mended: "fetched again",
		path: func(s *damagedStore) string {
			return filepath.Join(s.Store(), "storage/overlay-layers", s.layer("/hurt")+".tar-split.gz")
		},
		after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "the short name of a layer", path: layerFile("/hurt", "link"), mended: "made again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
	{
		name: "what names the layers below", path: layerFile("/hurt", "lower"), mended: "made again", after: func(s *damagedStore) { runs(s.pulled)(s) },
	},
}

func TestCheck_FindsAndMendsEachDamage(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := newDamagedStore(t)
	s.Skiff("system", "check").Exits(0).Says("no damage")
	for n, d := range damageTable {
		how := d.how
		if how == nil {
			how = []string{"flipped", "missing", "truncated"}
		}
		if os.Getenv("SKIFF_DAMAGES") != "all" { // the long form; this one takes turns
			n %= len(how)
			how = how[n : n+1]
		}
		for _, h := range how {
			t.Run(d.name+", "+h, func(t *testing.T) {
				in := *s
				in.Session = s.In(t)
				in.hurt(d, h)
			})
		}
	}
	s.restore()
}

func (s *damagedStore) hurt(d damage, how string) {
	s.T.Helper()
	s.restore()
	path := d.path(s)
	if err := damages[how](path); err != nil {
		s.T.Fatal(err)
	}
	for what, line := range others {
		r := s.Skiff(strings.Fields(line)...)
		fails, warns := slices.Contains(d.fails, what), slices.Contains(d.warns, what)
		if fails || warns {
			if (r.Code == 0) == fails {
				s.T.Errorf("%s: exit code %d", line, r.Code)
			}
			if warns {
				r.Complains("WARNING: ")
			}
			r.Complains(path).Complains("skiff system check")
			if what != "images" && what != "run" && !strings.Contains(r.Stdout, "well") {
				s.T.Errorf("%s: does not list what is well\n%s", line, r.Stdout)
			}
			continue
		}
		r.Exits(0)
	}
	if d.complains != "" {
		r := s.Skiff(strings.Fields(strings.ReplaceAll(d.complains, "REGISTRY", s.registry.Address))...)
		if r.Complains(path).Complains("skiff system check").Code == 0 {
			s.T.Errorf("%s: succeeds", d.complains)
		}
	}
	found := s.Skiff("system", "check").Exits(1)
	file := path
	if i := strings.Index(path, "/diff/"); i > 0 {
		file = path[:i+len("/diff")]
	} else if strings.HasSuffix(path, ".tar-split.gz") {
		file = filepath.Base(strings.TrimSuffix(path, ".tar-split.gz"))
	} else if filepath.Base(path) == "lower" {
		file = filepath.Dir(path)
	}
	found.Says(file).Says("follows: ").Says("cure: ")
	r := s.Skiff("system", "check", "--repair").Says(file).Says("mended: " + d.mended)
	if d.left {
		r.Exits(1).Says("container of-loaded").Says("load or build loaded again")
	} else {
		r.Exits(0)
		s.Skiff("system", "check").Exits(0).Says("no damage")
	}
	d.after(s)
	s.Skiff("system", "check").Exits(0).Says("no damage")
	s.Skiff("ps", "-a").Exits(0)
	s.Skiff("images").Exits(0)
}

// An image whose registry does not answer is set aside until the user brings it again;
// he is told how. Its containers live on as far as they can.
func TestCheck_NoRegistryAnswers(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := newDamagedStore(t)
	for name, test := range map[string]struct {
		path func(*damagedStore) string
		left bool // the layers are whole
	}{
		"a layer":         {layerFile("/hurt", "diff/data/text"), false},
		"a configuration": {func(s *damagedStore) string { return s.item(s.pulled, "=c2hh*") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := *s
			in.Session = s.In(t)
			s := &in
			hurt := func() {
				t.Helper()
				s.restore()
				if err := damages["flipped"](test.path(s)); err != nil {
					t.Fatal(err)
				}
			}
			hurt()
			s.registry.Stop()
			repaired := s.Skiff("system", "check", "--repair").Says("mended: set aside").
				Says("; `skiff pull " + s.pulled + "` when the registry answers, and ")
			works := func() {
				t.Helper()
				if test.left {
					s.Skiff("system", "check").Exits(0).Says("no damage")
					s.Skiff("start", "-a", "hurt").Exits(0)
					return
				}
				s.Skiff("system", "check").Exits(1).Says("cure: pull, load or build " + s.pulled + " again")
				s.Skiff("start", "-a", "hurt").Exits(1).Complains("of " + s.pulled + " is missing").Complains("hint: pull, load or build " + s.pulled + " again")
			}
			if test.left {
				repaired.Exits(0)
			} else {
				repaired.Exits(1)
			}
			works()
			s.Skiff("images", "-q", "--filter", "reference="+s.pulled).Exits(0).Prints("")
			s.Skiff("rmi", s.pulled).Exits(1).Complains("No such image: " + s.pulled)
			// What deletes layers that no image stands on leaves those of containers.
			s.Skiff("run", "--rm", "--network", "none", s.pulled, "true").Exits(125).Complains("connection refused")
			s.Skiff("image", "prune", "-f").Exits(0)
			works()
			s.registry.Start(t)
			s.OK("pull", "-q", s.pulled)
			runs(s.pulled)(s)
			s.Skiff("start", "-a", "hurt").Exits(0)
			s.Skiff("system", "check").Exits(0).Says("no damage")

			// Who wants it gone needs neither the repair nor the registry.
			hurt()
			s.registry.Stop()
			defer s.registry.Start(t)
			s.OK("rm", "hurt", "well")
			s.Skiff("rmi", s.pulled).Exits(0)
			s.Skiff("system", "check").Exits(0).Says("no damage")
		})
	}
	s.restore()
}

// What was unpacked to be executed has its digest in its name: it is compared at the
// first start of each boot, and when somebody asks.
func TestCheck_UnpackedProgram(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	s.OK("tag", s.LoadBusybox(), "busybox")
	run := func() {
		t.Helper()
		s.Skiff("run", "--rm", "--network", "none", "busybox", "echo", "fine").Exits(0).Prints("fine")
		s.Alone() // what is executed cannot be written to
	}
	run()
	run()
	found, err := filepath.Glob(filepath.Join(s.Store(), "cache/stage-????????????????????????????????"))
	if err != nil || len(found) > 1 {
		t.Fatal(found, err)
	}
	if len(found) == 0 {
		t.Skip("the stage is no program of its own in this build")
	}
	whole, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	isWhole := func() {
		t.Helper()
		if now, err := os.ReadFile(found[0]); err != nil || !bytes.Equal(now, whole) {
			t.Errorf("%s is not mended: %v", found[0], err)
		}
	}
	if err := damages["flipped"](found[0]); err != nil {
		t.Fatal(err)
	}
	s.Skiff("system", "check").Exits(1).Says(found[0]).Says("not what was unpacked")
	s.Skiff("system", "check", "--repair").Exits(0).Says("mended: deleted")
	run()
	isWhole()
	s.Skiff("system", "check").Exits(0).Says("no damage")

	if err := errors.Join(damages["flipped"](found[0]), os.Remove(found[0]+".checked"), os.Symlink("another boot", found[0]+".checked")); err != nil {
		t.Fatal(err)
	}
	run()
	isWhole()
}

func TestCheck_Quick(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	i := harness.BusyboxImage(t)
	i.Layers = append(i.Layers, harness.Layer{harness.File("text", strings.Repeat("contents\n", 100)), harness.File("empty", "")})
	s.Load(i)
	found, err := filepath.Glob(filepath.Join(s.Store(), "storage/overlay/*/diff/text"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	s.Skiff("system", "check", "-q").Exits(0).Prints("1 images, 2 layers (sizes only), 0 containers, volumes, networks and secrets: no damage")
	if err := damages["flipped"](found[0]); err != nil {
		t.Fatal(err)
	}
	// What it costs to see this is why there is --quick.
	s.Skiff("system", "check", "--quick").Exits(0)
	r := s.Skiff("system", "check", "--format", "json").Exits(1)
	var report struct {
		Findings []struct{ Kind, Object, Path, Damage, Follows, Cure, Mended string }
		Layers   int
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || report.Layers != 2 || len(report.Findings) != 1 {
		t.Fatalf("%s: %v", r.Stdout, err)
	}
	if f := report.Findings[0]; f.Kind != "layer" || f.Path != filepath.Dir(found[0]) || f.Cure == "" || f.Mended != "" {
		t.Errorf("got %+v", f)
	}
	s.Skiff("system", "check", "--format", "{{len .Findings}}").Exits(1).Prints("1")
	if err := damages["truncated"](found[0]); err != nil {
		t.Fatal(err)
	}
	s.Skiff("system", "check", "--quick").Exits(1).Says("/text has 450 bytes instead of 900")
	if err := os.Remove(filepath.Join(filepath.Dir(found[0]), "empty")); err != nil {
		t.Fatal(err)
	}
	s.Skiff("system", "check", "extra").Exits(1).Complains("accepts no arguments")
	s.Skiff("system", "check", "--format", "{{").Exits(64)
	// skiff/hello mends itself: it is part of the program.
	s.OK("run", "--rm", "skiff/hello")
}

// What nobody owns is found, and goes with --repair.
func TestCheck_Leftovers(t *testing.T) {
	harness.Requires(t, harness.Root)
	s := harness.New(t)
	s.LoadBusybox()
	stray := filepath.Join(s.Store(), "storage/overlay", strings.Repeat("ab", 32))
	if err := os.MkdirAll(filepath.Join(stray, "diff"), 0o755); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(s.Store(), "containers/by-name/dead")
	if err := errors.Join(os.MkdirAll(filepath.Dir(dead), 0o700), os.Symlink(strings.Repeat("cd", 32), dead)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%d", s.UID(), s.GID()), stray, filepath.Join(s.Store(), "containers")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.Skiff("system", "check").Exits(1).Says("leftover dead: " + dead).Says("leftover abababababab: " + stray).Says("2 found")
	s.Skiff("system", "check", "--repair").Exits(0).Says("2 found and mended")
	if harness.Exists(stray) || harness.Exists(dead) {
		t.Error("they are still there")
	}
	s.Skiff("system", "check").Exits(0)
}

// What a monitor that was killed had begun to write goes with the next command.
func TestAttempts_GoWithTheNextCommand(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("run", "-d", "--name", "killed", "--network", "none", image, "sleep", "1000")
	dir := filepath.Join(s.Store(), "containers", s.Inspect("killed", "{{.Id}}"))
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	attempt := filepath.Join(dir, fmt.Sprintf(".state.json.%d.1.tmp", ended.ProcessState.Pid()))
	if err := os.WriteFile(attempt, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := s.KillRoles("skiff:monitor"); n != 1 {
		t.Fatalf("%d monitors killed", n)
	}
	s.Eventually("the end is noticed", func() bool { return s.Inspect("killed", "{{.State.Status}}") == "exited" })
	if harness.Exists(attempt) {
		t.Error("it is still there")
	}
	// One of another kind is found by those who look.
	attempt = filepath.Join(dir, fmt.Sprintf(".config.json.%d.1.tmp", ended.ProcessState.Pid()))
	if err := os.WriteFile(attempt, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Skiff("system", "check").Exits(1).Says("leftover " + filepath.Base(attempt))
	s.Skiff("rename", "killed", "renamed").Exits(0)
	if harness.Exists(attempt) {
		t.Error("who writes the file next leaves it there")
	}
	s.Skiff("system", "check").Exits(0)
}

// A store that others work in has no damage.
func TestCheck_WhileOthersWork(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	archive := harness.Image{Name: "other:1", Layers: []harness.Layer{{harness.File("f", "x")}}, Config: map[string]any{}}.OCIArchive(t, filepath.Join(s.Dir, "other.tar"))
	ended := make(chan *harness.Result)
	lines := []string{
		"skiff load -q -i " + archive + " && skiff rmi other:1",
		"skiff create --name a$n --network none " + image + " true && skiff rename a$n b$n && skiff rm b$n",
		"skiff run --rm --network none " + image + " true && skiff volume create v$n && skiff volume rm v$n && skiff network create n$n && skiff network rm n$n",
	}
	for _, line := range lines {
		go func() { ended <- s.Shell("for n in 1 2 3 4 5 6 7 8; do " + line + " >/dev/null || exit 1; done") }()
	}
	for working := len(lines); working > 0; {
		select {
		case r := <-ended:
			r.Exits(0)
			working--
		default:
			s.Skiff("system", "check").Exits(0).Says("no damage")
		}
	}
}
