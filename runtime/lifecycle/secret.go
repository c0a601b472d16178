package lifecycle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"skiff/rootless"
	"skiff/runtime/spec"
	"skiff/runtime/stage/message"
	"skiff/storage/container"
	"skiff/storage/secret"
)

// secretVariables are the secrets that the container has as variables of its
// environment. They are in none of its records.
func secretVariables(c *container.Container) (env []string, err error) {
	for _, use := range c.Config.Host.Secrets {
		if use.Variable == "" {
			continue
		}
		s, err := secret.Find(c.Store, use.Name)
		if err != nil {
			return nil, err
		}
		env = append(env, use.Variable+"="+string(s.Data))
	}
	return env, nil
}

// secretFiles writes the secrets that the container has as files into its
// directory, anew at each start, and says where to bind them.
func secretFiles(c *container.Container, f *spec.Facts) (files []message.File, err error) {
	for i, use := range c.Config.Host.Secrets {
		if use.Target == "" {
			continue
		}
		s, err := secret.Find(c.Store, use.Name)
		if err != nil {
			return nil, err
		}
		source := filepath.Join(c.Dir(), "secret-"+strconv.Itoa(i))
		if err := writeSecret(source, s.Data, use, f); err != nil {
			return nil, fmt.Errorf("secret %q: %w", use.Name, err)
		}
		files = append(files, message.File{Path: use.Target, Source: source})
	}
	return files, nil
}

func writeSecret(path string, data []byte, use container.SecretUse, f *spec.Facts) error {
	uid, err := outerID(f.UIDMap, use.UID)
	if err != nil {
		return err
	}
	gid, err := outerID(f.GIDMap, use.GID)
	if err != nil {
		return err
	}
	// The last start's may be open somewhere and belong to another.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := out.Write(data); err != nil {
		return err
	}
	if uid != 0 || gid != 0 {
		if err := rootless.Await(); err != nil {
			return err
		}
		if err := out.Chown(uid, gid); err != nil {
			return err
		}
	}
	return out.Chmod(os.FileMode(use.Mode))
}
