package hostile_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"skiff/tests/harness"
	"skiff/tests/registry"
)

// tarOf makes an archive of entries as they are, however odd.
func tarOf(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, e := range entries {
		content := ""
		if e.Typeflag == 0 || e.Typeflag == tar.TypeReg {
			content = "owned\n"
			e.Size = int64(len(content))
		}
		if e.Mode == 0 {
			e.Mode = 0o755
		}
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// gone fails the test if a pull left anything but what is published.
func gone(s *harness.Session) {
	s.T.Helper()
	s.Skiff("images", "-aq").Exits(0).Prints("")
	for _, pattern := range []string{"tmp/[^.]*", "storage/overlay/staging/*", "storage/overlay/[0-9a-f]*/diff"} {
		if left, _ := filepath.Glob(filepath.Join(s.Store(), pattern)); len(left) > 0 {
			s.T.Errorf("left %v", left)
		}
	}
}

func TestA20_LayersThatPointOut(t *testing.T) {
	s := harness.New(t)
	host := canary(s)
	r := registry.New(t)
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	hard := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
	}
	up := strings.Repeat("../", 30)
	layers := map[string][][]byte{
		"dotdot":     {tarOf(t, tar.Header{Name: up + host + "/x"})},
		"absname":    {tarOf(t, tar.Header{Name: host + "/x"})},
		"symwrite":   {tarOf(t, link("l", host), tar.Header{Name: "l/x"})},
		"symwrite2":  {tarOf(t, link("l", host)), tarOf(t, tar.Header{Name: "l/x"})},
		"hardlink":   {tarOf(t, hard("h", host+"/victim"), tar.Header{Name: "h"})},
		"hardlinkdd": {tarOf(t, hard("h", up+host+"/victim"), tar.Header{Name: "h"})},
		"hardsym":    {tarOf(t, link("l", host), hard("h", "l/victim"))},
		"whsym":      {tarOf(t, link("l", host)), tarOf(t, tar.Header{Name: "l/.wh.victim"})},
		"whdotdot":   {tarOf(t, tar.Header{Name: up + host + "/.wh.victim"})},
		"opaque":     {tarOf(t, link("l", host)), tarOf(t, tar.Header{Name: "l/.wh..wh..opq"})},
	}
	for name, of := range layers {
		r.Add(name, "1", of...)
		// Whether it is refused or put where it does no harm is the library's affair.
		s.Skiff("pull", "-q", r.Address+"/ok/"+name+":1")
	}
}

func TestA21_OverlayAttributesFromALayer(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("x", "1", tarOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir, PAXRecords: map[string]string{
		"SCHILY.xattr.user.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y",
		"SCHILY.xattr.trusted.overlay.redirect": "/etc",
	}}))
	s.OK("pull", "-q", r.Address+"/ok/x:1")
	dirs, err := filepath.Glob(filepath.Join(s.Store(), "storage/overlay/*/diff/d"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("got %v %v, want one directory", dirs, err)
	}
	if names := s.Shell("getfattr -d -m - " + dirs[0] + " 2>/dev/null").Stdout; strings.Contains(names, "overlay") {
		t.Errorf("the directory has %s", names)
	}
}

func TestA23_DigestsThatArePaths(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	for _, digest := range []string{"sha256:../../../etc/passwd", "sha256:" + strings.Repeat("0", 63) + "/", "md5:" + strings.Repeat("0", 32)} {
		name := "x" + fmt.Sprint(len(digest))
		r.AddManifest(name, "1", registry.ManifestType, fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[]}`, registry.ManifestType, registry.ConfigType, digest))
		s.Skiff("pull", r.Address+"/ok/"+name+":1").Exits(1)
		r.AddManifest(name, "index", registry.IndexType, fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":2,"platform":{"os":"linux","architecture":"amd64"}}]}`, registry.IndexType, registry.ManifestType, digest))
		s.Skiff("pull", r.Address+"/ok/"+name+":index").Exits(1)
		s.Skiff("pull", r.Address+"/ok/"+name+"@"+digest).Exits(1)
	}
	gone(s)
}

func TestA24_LayersThatAreOthersThanPromised(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	layer := registry.Compress(tarOf(t, tar.Header{Name: "x"}))
	d := r.AddBlob(layer)
	for name, diffIDs := range map[string]string{
		"wrong": `["` + registry.Digest(nil) + `"]`, "fewer": "[]", "more": `["` + registry.Digest(nil) + `","` + registry.Digest(nil) + `"]`,
	} {
		config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":%s}}`, diffIDs)
		r.AddManifest(name, "1", registry.ManifestType, fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
			registry.ManifestType, registry.ConfigType, r.AddBlob(config), len(config), registry.LayerType, d, len(layer)))
		s.Skiff("pull", r.Address+"/ok/"+name+":1").Exits(1)
	}
	gone(s)
}

func TestA25_ManifestsOfTwoKinds(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	s.Skiff("pull", r.Address+"/mamb/app:1").Exits(1).Complains("ambiguous manifest")
	gone(s)
}

func TestA26_AnswersWithoutMeasure(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	for _, mode := range []string{"mhuge", "mdeep"} {
		start := time.Now()
		refused := s.Shell(inLittleMemory + "skiff pull " + r.Address + "/" + mode + "/app:1").Exits(1)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: refused after %v", mode, took)
		}
		if strings.Contains(refused.Stderr, "memory") {
			t.Errorf("%s: %s", mode, refused.Stderr)
		}
	}
	gone(s)
}

// A registry that falls silent keeps nobody but its own client waiting.
func TestA27_ASilentRegistryHoldsNoLock(t *testing.T) {
	s := harness.New(t)
	img := s.LoadBusybox()
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	ctx, cancel := context.WithCancel(t.Context())
	pull := s.Command(ctx, s.Binary(), "pull", "-q", r.Address+"/hang/app:1")
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = pull.Wait() // it is killed
		s.Skiff("images").Exits(0)
	})
	s.Eventually("the blob is asked for", func() bool {
		for _, q := range r.Seen() {
			if strings.Contains(q.Path, "/blobs/") {
				return true
			}
		}
		return false
	})
	for _, args := range [][]string{{"ps"}, {"images"}, {"run", "--rm", "--network", "none", img, "true"}, {"tag", img, "other"}, {"rmi", "other"}} {
		start := time.Now()
		s.Skiff(args...).Exits(0)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%v took %v", args, took)
		}
	}
}

func TestA29_CredentialsStayWithTheirRegistry(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	secret := base64.StdEncoding.EncodeToString([]byte("ana:secret"))
	s.Mkdir(".docker")
	s.WriteFile(".docker/config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.Address, secret))
	s.Setenv("DOCKER_CONFIG", filepath.Join(s.Home(), ".docker"))
	if _, err := os.Stat(filepath.Join(s.Home(), ".docker/config.json")); err != nil {
		s.Setenv("DOCKER_CONFIG", filepath.Join(s.Dir, ".docker"))
	}
	for _, mode := range []string{"realm", "redir", "urls"} {
		s.OK("pull", "-q", r.Address+"/"+mode+"/app:1")
		s.OK("rmi", r.Address+"/"+mode+"/app:1")
	}
	for _, q := range r.SeenByOther() {
		if q.Authorization != "" {
			t.Errorf("%s %s: another server saw %q", q.Method, q.Path, q.Authorization)
		}
	}
	// The same credentials are used where they belong.
	r.Auth = "Basic " + secret
	s.OK("pull", "-q", r.Address+"/token/app:1")
}

func TestA30_APolicyThatRefuses(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	s.Shell("mkdir -p ~/.config/containers && echo '{\"default\":[{\"type\":\"reject\"}]}' > ~/.config/containers/policy.json").Exits(0)
	s.Skiff("pull", r.Address+"/ok/app:1").Exits(1).Complains("rejected by policy")
	gone(s)
}

func TestA32_ARegistrysWordsAreEscaped(t *testing.T) {
	s := harness.New(t)
	r := registry.New(t)
	r.Add("app", "1", tarOf(t, tar.Header{Name: "x"}))
	result := s.Skiff("pull", r.Address+"/ansi/app:1").Exits(1)
	for _, c := range result.Stdout + result.Stderr {
		if c != '\n' && (c < ' ' || c >= 0x7f && c <= 0x9f) {
			t.Errorf("prints the control character %U\n%q", c, result.Stderr)
		}
	}
	if lines := strings.Count(result.Stderr, "\n"); lines != 1 {
		t.Errorf("the error has %d lines:\n%s", lines, result.Stderr)
	}
}
