package build

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"skiff/storage"
	"skiff/storage/courier/message"
	"skiff/storage/lock"
)

// Check looks for records of the build cache that cannot be read. A build takes
// them for absent, and makes again what they stood for; repairing deletes them,
// unless a build runs.
func Check(st *storage.Store, repair bool) (found []message.Finding, err error) {
	c := &cache{st: st, dir: Dir(st)}
	var files []string
	for _, pattern := range []string{recordsDir + "/*", layersDir + "/*/" + layerFile} {
		files = append(files, storage.Glob(c.dir, pattern)...)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && json.Valid(data) {
			continue
		}
		if err == nil && len(data) == 0 {
			continue // what a power cut leaves of a file that was not synced
		}
		f := message.Finding{
			Kind: "build cache", Object: filepath.Base(name), Path: name, Damage: "it is no JSON",
			Follows: "nothing: the step is done again", Cure: "`skiff system check --repair` deletes it, it is a cache",
		}
		if err != nil {
			f.Damage = err.Error()
		}
		if repair {
			if f.Mended, err = c.forget(name); err != nil {
				f.Cure = "could not be mended: " + err.Error()
			}
		}
		found = append(found, f)
	}
	return found, nil
}

// forget deletes a file of the cache that no build can use.
func (c *cache) forget(name string) (string, error) {
	held, err := lock.TryExclusive(c.path(usersLock))
	if errors.Is(err, lock.ErrBusy) {
		return "", errors.New("a build runs")
	}
	if err != nil {
		return "", err
	}
	defer held.Release()
	return "deleted", os.Remove(name)
}
