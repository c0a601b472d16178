package container

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
	"skiff/storage/volume"
)

func testImage() *image.Image {
	return &image.Image{
		ID: "aa", Layers: []string{"top", "base"},
		Config: image.Config{OS: "linux", Architecture: "arm64", Variant: "v8", Config: container.Process{
			Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}, User: "1000", WorkingDir: "/srv/", StopSignal: "SIGQUIT",
			Env:    []string{"PATH=/bin", "SECRET_TOKEN", "*", "=x", "LANG=C"},
			Labels: map[string]string{"a": "image", "b": "image"},
		}},
	}
}

func TestConfigure_MergesCommand(t *testing.T) {
	cases := []struct {
		name       string
		entrypoint []string
		args       []string
		want       []string
	}{
		{"takes both from the image", nil, nil, []string{"/entry", "serve"}},
		{"replaces the command", nil, []string{"x", "y"}, []string{"/entry", "x", "y"}},
		{"an entrypoint takes the image's command away", []string{"/own"}, nil, []string{"/own"}},
		{"an empty entrypoint leaves the user's command", []string{""}, []string{"x"}, []string{"x"}},
	}
	for _, c := range cases {
		cfg, err := configure(createOptions{Entrypoint: c.entrypoint, Args: c.args}, testImage(), "host")
		if err != nil {
			t.Fatal(err)
		}
		if got := append([]string{cfg.Path}, cfg.Args...); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if _, err := configure(createOptions{Entrypoint: []string{""}}, testImage(), "host"); !errors.Is(err, errNoCommand) {
		t.Errorf("no command gives %v", err)
	}
}

func TestConfigure_MergesTheRest(t *testing.T) {
	o := createOptions{Process: container.Process{Env: []string{"LANG=de", "A=1"}, Labels: map[string]string{"b": "own"}}}
	cfg, err := configure(o, testImage(), "host")
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Config
	if want := []string{"LANG=de", "A=1", "PATH=/bin"}; !reflect.DeepEqual(p.Env, want) {
		t.Errorf("env %q, want %q", p.Env, want)
	}
	if want := map[string]string{"a": "image", "b": "own"}; !reflect.DeepEqual(p.Labels, want) {
		t.Errorf("labels %v", p.Labels)
	}
	if p.User != "1000" || p.WorkingDir != "/srv" || p.StopSignal != "SIGQUIT" || p.Hostname != cfg.ID[:12] || cfg.ImagePlatform != "linux/arm64/v8" {
		t.Errorf("got %+v", p)
	}
	o.Host.NetworkMode = "host"
	if cfg, err = configure(o, testImage(), "host"); err != nil || cfg.Config.Hostname != "host" {
		t.Errorf("host network gives the name %q, %v", cfg.Config.Hostname, err)
	}
	o.Process.WorkingDir = "relative"
	if _, err = configure(o, testImage(), "host"); err == nil {
		t.Error("a relative working directory was accepted")
	}
}

func TestConfigure_AddsNoVariables(t *testing.T) {
	img := testImage()
	img.Config.Config.Env = nil
	cfg, err := configure(createOptions{}, img, "host")
	if err != nil || len(cfg.Config.Env) != 0 {
		t.Errorf("got %q, %v", cfg.Config.Env, err)
	}
}

func plan(t *testing.T, st *storage.Store, o createOptions, volumes ...string) ([]container.Mount, error) {
	t.Helper()
	img := testImage()
	img.Config.Config.Volumes = map[string]struct{}{}
	for _, v := range volumes {
		img.Config.Config.Volumes[v] = struct{}{}
	}
	cfg := &container.Config{Host: o.Host}
	_, err := planMounts(st, cfg, o, img)
	return cfg.Mounts, err
}

func TestPlanMounts(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	missing := filepath.Join(t.TempDir(), "new", "dir")
	var o createOptions
	for _, raw := range []string{missing + ":/z/bind", "data:/data:ro", "/anon"} {
		v, err := flags.ParseVolume(raw, "/")
		if err != nil {
			t.Fatal(err)
		}
		o.Volumes = append(o.Volumes, v)
	}
	mounts, err := plan(t, st, o, "/data/", "/image")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(missing); err != nil {
		t.Error("the source of -v was not made:", err)
	}
	byDest := map[string]container.Mount{}
	for _, m := range mounts {
		byDest[m.Destination] = m
	}
	if m := byDest["/z/bind"]; m.Type != "bind" || m.Propagation != "rprivate" || !m.RW || m.Copy {
		t.Errorf("bind: %+v", m)
	}
	if m := byDest["/data"]; m.Name != "data" || m.RW || m.Anonymous || !m.Copy {
		t.Errorf("named: %+v", m)
	}
	if m := byDest["/anon"]; !m.Anonymous || len(m.Name) != 64 {
		t.Errorf("anonymous: %+v", m)
	}
	if m := byDest["/image"]; !m.Anonymous || len(mounts) != 4 {
		t.Errorf("image's: %+v of %d", m, len(mounts))
	}
}

func TestPlanMounts_RefusesMagicPathsOfImages(t *testing.T) {
	for _, dest := range []string{"/", "/proc", "/proc/self", "/sys", "/sys/fs/cgroup", "/dev", "../x", "//proc/../proc", ""} {
		st := &storage.Store{Dir: t.TempDir()}
		if _, err := plan(t, st, createOptions{}, "/a", dest); err == nil {
			t.Errorf("%q was accepted", dest)
		}
		if all, _ := volume.List(st); len(all) != 0 {
			t.Errorf("%q left volumes behind", dest)
		}
	}
}

func TestPlanMounts_MissingSourceOfMount(t *testing.T) {
	st := &storage.Store{Dir: t.TempDir()}
	o := createOptions{Host: container.Host{Mounts: []container.MountSpec{{Type: "bind", Source: "/nonexistent", Target: "/x"}}}}
	want := `invalid mount config for type "bind": bind source path does not exist: /nonexistent`
	if _, err := plan(t, st, o); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestRandomName(t *testing.T) {
	for range 100 {
		if err := container.CheckName(randomName()); err != nil {
			t.Error(err)
		}
	}
}
