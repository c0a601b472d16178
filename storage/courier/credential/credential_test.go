package credential

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string) *File {
	t.Helper()
	dir := t.TempDir()
	if text != "" {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestGet_FindsWhatDockerWrote(t *testing.T) {
	auth := base64.StdEncoding.EncodeToString([]byte("ana:se:cret"))
	ana := Credential{Username: "ana", Password: "se:cret"}
	for _, tt := range []struct {
		name, text, host string
		want             Credential
	}{
		{"nothing", "", "x", Credential{}},
		{"an empty file", " ", "x", Credential{}},
		{"a host", `{"auths":{"x:5000":{"auth":"` + auth + `"}}}`, "x:5000", ana},
		{"another port", `{"auths":{"x:5000":{"auth":"` + auth + `"}}}`, "x", Credential{}},
		{"Docker Hub", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + auth + `"}}}`, "docker.io", ana},
		{"an address of old", `{"auths":{"https://x/v1/":{"auth":"` + auth + `"}}}`, "x", ana},
		{"an identity token", `{"auths":{"x":{"auth":"` + auth + `","identitytoken":"t"}}}`, "x", Credential{"ana", "se:cret", "t"}},
		{"plain words", `{"auths":{"x":{"username":"u","password":"p"}}}`, "x", Credential{Username: "u", Password: "p"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := load(t, tt.text).Get(t.Context(), tt.host)
			if err != nil || got != tt.want {
				t.Errorf("got %v %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestGet_RefusesNonsense(t *testing.T) {
	if _, err := load(t, `{"auths":{"x":{"auth":"%%%"}}}`).Get(t.Context(), "x"); err == nil {
		t.Error("got no error for a broken entry")
	}
	if _, err := load(t, `{"credsStore":"../../bin/sh"}`).Get(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "not the name of a program") {
		t.Errorf("a helper with a path: got %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("got %v", err)
	}
}

func TestPut_KeepsWhatItDoesNotKnow(t *testing.T) {
	f := load(t, `{"psFormat":"x","auths":{"y":{"auth":"`+base64.StdEncoding.EncodeToString([]byte("a:b"))+`"}}}`)
	if err := f.Put(t.Context(), "x", Credential{Username: "u", Password: "p"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(f.Path)
	if err != nil || !strings.Contains(string(data), `"psFormat": "x"`) || !strings.Contains(string(data), `"y"`) {
		t.Errorf("got %s %v", data, err)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v %v, want 0600", info.Mode(), err)
	}
	again, err := Load(filepath.Dir(f.Path))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), "x"); err != nil || got.Password != "p" {
		t.Errorf("got %v %v", got, err)
	}
	if had, err := again.Erase(t.Context(), "x"); !had || err != nil {
		t.Errorf("erase: got %v %v", had, err)
	}
	if had, err := again.Erase(t.Context(), "x"); had || err != nil {
		t.Errorf("erase again: got %v %v", had, err)
	}
}
