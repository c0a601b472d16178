package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// AdditionalStores returns the graph directories of other stores of
// containers/storage, podman's or one that an administrator shares, whose images
// the user wants to use in place: `additionalimagestores` in storage.conf(5). The
// file is $CONTAINERS_STORAGE_CONF, else the user's, else the machine's. None is
// no error; a file that cannot be read as TOML is.
func AdditionalStores(getenv func(string) string) ([]string, error) {
	for _, file := range configFiles(getenv) {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read storage configuration: %w", err)
		}
		stores, err := parseAdditional(string(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var dirs []string
		for _, s := range stores {
			dir := os.Expand(s, getenv)
			if !filepath.IsAbs(dir) {
				return nil, fmt.Errorf("%s: additionalimagestores: %q is no absolute path", file, s)
			}
			dirs = append(dirs, filepath.Clean(dir))
		}
		return dirs, nil
	}
	return nil, nil
}

// configFiles are the places of storage.conf; the first that exists counts.
func configFiles(getenv func(string) string) []string {
	if file := getenv("CONTAINERS_STORAGE_CONF"); file != "" {
		return []string{file}
	}
	var files []string
	if dir := getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		files = append(files, filepath.Join(dir, "containers/storage.conf"))
	} else if home := getenv("HOME"); filepath.IsAbs(home) {
		files = append(files, filepath.Join(home, ".config/containers/storage.conf"))
	}
	return append(files, "/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
}

var errTOML = errors.New("additionalimagestores is not a list of strings")

// parseAdditional returns [storage.options] additionalimagestores of a TOML
// file (https://toml.io/en/v1.0.0), of which it reads no more than that: tables,
// and arrays of strings over several lines.
func parseAdditional(text string) ([]string, error) {
	table := ""
	for text != "" {
		line, rest, _ := strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(line)
		key, value, assigned := strings.Cut(trimmed, "=")
		switch {
		case strings.HasPrefix(trimmed, "["):
			name, _, _ := strings.Cut(trimmed, "#")
			table = strings.Join(strings.Fields(strings.Trim(strings.TrimSpace(name), "[]")), "")
		case !assigned || strings.HasPrefix(trimmed, "#"):
		case table == "storage.options" && strings.Trim(strings.TrimSpace(key), `"'`) == "additionalimagestores":
			return stringArray(value + "\n" + rest)
		}
		text = rest
	}
	return nil, nil
}

// stringArray reads the array of strings that text begins with.
func stringArray(text string) ([]string, error) {
	text, ok := strings.CutPrefix(skipBlank(text), "[")
	if !ok {
		return nil, errTOML
	}
	var all []string
	for {
		text = skipBlank(text)
		if strings.HasPrefix(text, "]") {
			return all, nil
		}
		if text == "" || text[0] != '"' && text[0] != '\'' {
			return nil, errTOML
		}
		s, rest, ok := strings.Cut(text[1:], text[:1])
		if !ok || strings.ContainsAny(s, "\n\\") {
			return nil, errTOML
		}
		all = append(all, s)
		text = strings.TrimPrefix(skipBlank(rest), ",")
	}
}

// skipBlank drops white space and comments.
func skipBlank(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\r\n")
		if !strings.HasPrefix(text, "#") {
			return text
		}
		_, text, _ = strings.Cut(text, "\n")
	}
}
