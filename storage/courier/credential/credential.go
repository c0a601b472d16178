// Package credential keeps what proves to registries who the user is, where
// docker keeps it: in config.json, in the store that its credsStore names, or in
// the helper that its credHelpers names for a registry. It writes what it does
// not know back as it was. Standard library only.
// https://docs.docker.com/reference/cli/docker/login/#credential-stores
package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"skiff/storage/atomicfile"
)

const (
	fileName = "config.json"
	// hubName is how references call Docker Hub; HubKey is its key in docker's
	// file, an address of times past.
	hubName = "docker.io"
	HubKey  = "https://index.docker.io/v1/"
	// tokenUser is the user name by which helpers mark an identity token.
	tokenUser = "<token>"
	// helperPrefix begins the names of helper programs.
	helperPrefix = "docker-credential-"
	// notFound is what a helper says that has nothing for a server.
	notFound = "credentials not found in native keychain"
)

// Credential is a user's name and password, or a token. The zero value is none.
type Credential struct {
	Username, Password string
	IdentityToken      string
}

// File is docker's config.json.
type File struct {
	// Path is where it lies, or would.
	Path string
	// raw is everything in it.
	raw  map[string]json.RawMessage
	auth map[string]entry
	// store and helpers name programs: docker-credential-<name>.
	store   string
	helpers map[string]string
	// Outside runs the helpers, where this process is not quite the user; nil
	// runs them here.
	Outside *Outside
}

// entry is one registry in config.json.
type entry struct {
	Auth          string `json:"auth,omitempty"`
	Username      string `json:"username,omitempty"`
	Password      string `json:"password,omitempty"`
	IdentityToken string `json:"identitytoken,omitempty"`
}

// Key is the name under which docker keeps the credential for a registry.
func Key(host string) string {
	if host == hubName || host == "index.docker.io" || host == "registry-1.docker.io" {
		return HubKey
	}
	return host
}

// Load reads config.json in dir. An absent file is an empty one.
func Load(dir string) (*File, error) {
	f := &File{Path: filepath.Join(dir, fileName), raw: map[string]json.RawMessage{}, auth: map[string]entry{}}
	data, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("loading config file: %w", err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return f, nil
	}
	var known struct {
		Auths       map[string]entry  `json:"auths"`
		CredsStore  string            `json:"credsStore"`
		CredHelpers map[string]string `json:"credHelpers"`
	}
	if err = json.Unmarshal(data, &f.raw); err == nil {
		err = json.Unmarshal(data, &known)
	}
	if err != nil {
		return nil, fmt.Errorf("loading config file: %s: %w", f.Path, err)
	}
	if known.Auths != nil {
		f.auth = known.Auths
	}
	f.store, f.helpers = known.CredsStore, known.CredHelpers
	return f, nil
}

// Helper returns the name of the helper that keeps the credential for key, ""
// when config.json itself does.
func (f *File) Helper(key string) string {
	if name, ok := f.helpers[key]; ok {
		return name
	}
	return f.store
}

// Get returns what is kept for a registry.
func (f *File) Get(ctx context.Context, host string) (Credential, error) {
	key := Key(host)
	if name := f.Helper(key); name != "" {
		c, err := f.askHelper(ctx, name, key)
		if err != nil || c != (Credential{}) || f.helpers[key] != "" {
			return c, err
		}
	}
	e, ok := f.auth[key]
	if !ok {
		// Entries of old have an address for a key.
		for _, name := range f.sortedKeys() {
			if hostOf(name) == hostOf(key) {
				e, ok = f.auth[name], true
				break
			}
		}
	}
	if !ok {
		return Credential{}, nil
	}
	return e.credential()
}

func (f *File) sortedKeys() []string {
	keys := make([]string, 0, len(f.auth))
	for k := range f.auth {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// hostOf cuts scheme and path off a key.
func hostOf(key string) string {
	key = strings.TrimPrefix(strings.TrimPrefix(key, "https://"), "http://")
	host, _, _ := strings.Cut(key, "/")
	return host
}

func (e entry) credential() (Credential, error) {
	c := Credential{Username: e.Username, Password: e.Password, IdentityToken: e.IdentityToken}
	if e.Auth != "" {
		data, err := base64.StdEncoding.DecodeString(e.Auth)
		name, password, ok := strings.Cut(string(data), ":")
		if err != nil || !ok {
			return Credential{}, errors.New("invalid auth configuration file")
		}
		c.Username, c.Password = name, strings.Trim(password, "\x00")
	}
	return c, nil
}

// Put keeps c for a registry, in place of what was there.
func (f *File) Put(ctx context.Context, host string, c Credential) error {
	key := Key(host)
	if name := f.Helper(key); name != "" {
		user, secret := c.Username, c.Password
		if c.IdentityToken != "" {
			user, secret = tokenUser, c.IdentityToken
		}
		request, err := json.Marshal(map[string]string{"ServerURL": key, "Username": user, "Secret": secret})
		if err != nil {
			return err
		}
		if _, err := f.run(ctx, name, "store", request); err != nil {
			return fmt.Errorf("error storing credentials - err: %w", err)
		}
		// An empty entry tells docker for which registries to ask the store.
		f.auth[key] = entry{}
		return f.save()
	}
	e := entry{IdentityToken: c.IdentityToken}
	if c.Username != "" {
		e.Auth = base64.StdEncoding.EncodeToString([]byte(c.Username + ":" + c.Password))
	}
	f.auth[key] = e
	return f.save()
}

// Erase forgets what is kept for a registry and reports whether config.json had
// anything.
func (f *File) Erase(ctx context.Context, host string) (bool, error) {
	key := Key(host)
	had := false
	for _, k := range []string{key, "https://" + key, "http://" + key} {
		if _, ok := f.auth[k]; ok {
			had = true
			delete(f.auth, k)
		}
	}
	var failed error
	if name := f.Helper(key); name != "" {
		if _, err := f.run(ctx, name, "erase", []byte(key)); err != nil && !strings.Contains(err.Error(), notFound) {
			failed = fmt.Errorf("error erasing credentials - err: %w", err)
		}
	}
	if !had {
		return false, failed
	}
	return true, errors.Join(failed, f.save())
}

// Has reports whether config.json has an entry for the registry.
func (f *File) Has(host string) bool {
	_, ok := f.auth[Key(host)]
	return ok
}

// save writes config.json anew, mode 0600, with docker's indentation.
func (f *File) save() error {
	auths, err := json.Marshal(f.auth)
	if err != nil {
		return err
	}
	f.raw["auths"] = auths
	data, err := json.MarshalIndent(f.raw, "", "\t")
	if err != nil {
		return err
	}
	// A config.json that is a symbolic link stays one.
	path := f.Path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	return atomicfile.Write(path, data, 0o600, atomicfile.Durable)
}

// askHelper asks a helper for what it has for key.
func (f *File) askHelper(ctx context.Context, name, key string) (Credential, error) {
	out, err := f.run(ctx, name, "get", []byte(key))
	if err != nil {
		if strings.Contains(err.Error(), notFound) {
			return Credential{}, nil
		}
		return Credential{}, fmt.Errorf("error getting credentials - err: %w", err)
	}
	var said struct{ ServerURL, Username, Secret string }
	if err := json.Unmarshal(out, &said); err != nil {
		return Credential{}, fmt.Errorf("error getting credentials - %s%s: %w", helperPrefix, name, err)
	}
	if said.Username == tokenUser {
		return Credential{IdentityToken: said.Secret}, nil
	}
	return Credential{Username: said.Username, Password: said.Secret}, nil
}

// run runs a helper where that is to be done.
func (f *File) run(ctx context.Context, name, verb string, input []byte) ([]byte, error) {
	if f.Outside != nil {
		return f.Outside.run(ctx, name, verb, input)
	}
	return runHelper(ctx, name, verb, input)
}

// runHelper runs a helper with a request on its standard input.
// https://github.com/docker/docker-credential-helpers#development
func runHelper(ctx context.Context, name, verb string, input []byte) ([]byte, error) {
	if name != filepath.Base(name) {
		return nil, fmt.Errorf("credential helper %q: not the name of a program", name)
	}
	cmd := exec.CommandContext(ctx, helperPrefix+name, verb)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w, out: `%s`", err, strings.TrimSpace(string(out)))
	}
	return out, nil
}
