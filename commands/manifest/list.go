// Package manifest is the commands about manifests and manifest lists: looking
// at them in a registry, and putting lists together, which lie meanwhile where
// docker's client keeps them, in the directory manifests beside config.json.
// Start reading at Commands.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/storage/atomicfile"
	"skiff/storage/courier/configuration"
	"skiff/storage/image"
)

// Media types of manifests and of lists of them.
const (
	dockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"
	ociImage    = "application/vnd.oci.image.manifest.v1+json"
	ociIndex    = "application/vnd.oci.image.index.v1+json"
)

// Commands are the members of the management group `manifest`.
func Commands(e *env.Env) []*cli.Command {
	return []*cli.Command{
		AnnotateCommand(e),
		CreateCommand(e),
		InspectCommand(e),
		PushCommand(e),
		RemoveCommand(e),
	}
}

// platform is what an entry of a list is for.
type platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version,omitempty"`
	OSFeatures   []string `json:"os.features,omitempty"`
	Variant      string   `json:"variant,omitempty"`
}

// descriptor points to a manifest.
type descriptor struct {
	MediaType string    `json:"mediaType"`
	Digest    string    `json:"digest,omitempty"`
	Size      int64     `json:"size"`
	Platform  *platform `json:"platform,omitempty"`
}

// entry is one manifest of a list that is being put together, in the form of
// docker's client.
type entry struct {
	Ref        string // normalized
	Descriptor descriptor
	Raw        []byte
	// One of these is the manifest in Raw.
	Schema2 json.RawMessage `json:"SchemaV2Manifest,omitempty"`
	OCI     json.RawMessage `json:"OCIManifest,omitempty"`
}

// list is a manifest list that is being put together.
type list struct {
	Ref image.Reference
	dir string
}

// openList returns the list named ref; it may not exist yet.
func openList(e *env.Env, ref image.Reference) list {
	return list{ref, filepath.Join(configuration.DockerConfig(e.Getenv), "manifests", fileName(ref.String()))}
}

// fileName makes a file's name of a reference, as docker's client does.
func fileName(ref string) string {
	return strings.NewReplacer(":", "-", "/", "_").Replace(ref)
}

// exists reports whether the list has been created.
func (l list) exists() bool {
	_, err := os.Stat(l.dir)
	return err == nil
}

// entries returns the list's manifests in the order of their names.
func (l list) entries() ([]entry, error) {
	files, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSuch(l.Ref.String())
	}
	if err != nil {
		return nil, err
	}
	var all []entry
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue // what is just being written
		}
		data, err := os.ReadFile(filepath.Join(l.dir, f.Name()))
		if err != nil {
			return nil, err
		}
		var one entry
		if err := json.Unmarshal(data, &one); err != nil {
			return nil, fmt.Errorf("read manifest list %s: %w", l.Ref.Familiar(), err)
		}
		all = append(all, one)
	}
	return all, nil
}

// entry returns the manifest ref of the list, or fs.ErrNotExist.
func (l list) entry(ref image.Reference) (entry, error) {
	var one entry
	data, err := os.ReadFile(filepath.Join(l.dir, fileName(ref.String())))
	if err == nil {
		err = json.Unmarshal(data, &one)
	}
	return one, err
}

// save puts a manifest into the list, which it makes if need be.
func (l list) save(one entry) error {
	data, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("write manifest list: %w", err)
	}
	return atomicfile.Write(filepath.Join(l.dir, fileName(one.Ref)), data, 0o644, atomicfile.Durable)
}

// remove deletes the list.
func (l list) remove() error {
	if !l.exists() {
		return noSuch(l.Ref.String())
	}
	return os.RemoveAll(l.dir)
}

func noSuch(ref string) error { return failure.Local("No such manifest: %s", ref) }

// listed is a descriptor with docker's order of keys in a list of its own kind,
// which decides about the list's digest.
type listed struct {
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size"`
	Digest    string    `json:"digest"`
	Platform  *platform `json:"platform,omitempty"`
}

// index makes the manifest list, and says of which kind it is: docker's if it has
// docker's manifests only.
func index(entries []entry) (blob []byte, mediaType string, err error) {
	mediaType = dockerList
	var ofDocker []listed
	var ofOCI []descriptor
	for _, one := range entries {
		d := one.Descriptor
		if d.MediaType != dockerImage {
			mediaType = ociIndex
		}
		ofDocker, ofOCI = append(ofDocker, listed{d.MediaType, d.Size, d.Digest, d.Platform}), append(ofOCI, d)
	}
	document := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
		Manifests     any    `json:"manifests"`
	}{2, mediaType, ofDocker}
	if mediaType == ociIndex {
		document.Manifests = ofOCI
	}
	blob, err = json.MarshalIndent(document, "", "   ")
	return blob, mediaType, err
}

// parse reads a reference of the user's.
func parse(text string) (image.Reference, error) {
	ref, err := image.ParseReference(text)
	if err != nil {
		return ref, failure.Local("error parsing name %s: %v", text, err)
	}
	return ref.WithDefaultTag(), nil
}
