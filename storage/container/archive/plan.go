package archive

import (
	"errors"
	"path"
	"strings"
)

// What docker's cp says when source and destination do not fit.
var (
	// ErrCannotCopyDir says that a directory cannot become a file.
	ErrCannotCopyDir = errors.New("cannot copy directory")
	// ErrDirNotExists says that the directory to copy into is missing.
	ErrDirNotExists = errors.New("no such directory")
	// ErrNotDirectory says that a path with a slash at its end is a file.
	ErrNotDirectory = errors.New("not a directory")
)

// Placement says where a copy goes: below Dir under the name Base, which is "."
// for the contents of a directory.
type Placement struct{ Dir, Base string }

// Contents reports whether a source path means what is in the directory and not
// the directory itself: it ends in "/." or is the root.
func Contents(source string) bool {
	return source == "." || strings.HasSuffix(source, "/.") || path.Clean(source) == "/"
}

// WantsDir reports whether a path says that it is a directory.
func WantsDir(name string) bool { return strings.HasSuffix(name, "/") || Contents(name) }

// Plan decides where a source is copied to, by docker's rules:
//
//	destination   source is a file         source is a directory
//	directory     into it, same name       into it, same name ("/.": its contents)
//	file          replaces it              ErrCannotCopyDir
//	missing       created by that name     created by that name, with its contents
//	missing, "/"  ErrDirNotExists          created by that name, with its contents
func Plan(source string, from Info, dest string, to Info) (Placement, error) {
	clean := path.Clean(dest)
	switch {
	case WantsDir(source) && !from.Dir, WantsDir(dest) && to.Exists && !to.Dir:
		return Placement{}, ErrNotDirectory
	case to.Exists && to.Dir && from.Dir && Contents(source):
		return Placement{clean, "."}, nil
	case to.Exists && to.Dir:
		return Placement{clean, path.Base(path.Clean(source))}, nil
	case to.Exists && from.Dir:
		return Placement{}, ErrCannotCopyDir
	case !to.Exists && !from.Dir && WantsDir(dest):
		return Placement{}, ErrDirNotExists
	}
	return Placement{path.Dir(clean), path.Base(clean)}, nil
}
