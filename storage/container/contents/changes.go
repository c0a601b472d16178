package contents

import (
	"path"
	"slices"
	"strings"
)

// Kind is what happened to a file, in docker's letters.
type Kind byte

// What may have happened.
const (
	Changed Kind = 'C'
	Added   Kind = 'A'
	Deleted Kind = 'D'
)

// Change is one line of docker's diff.
type Change struct {
	Kind Kind
	Path string // absolute in the container
}

// Changes lists what the container changed in its image, sorted by path. A
// directory is changed also when something in it is.
func (r *Root) Changes() ([]Change, error) {
	kinds := make(map[string]Kind)
	err := r.walk(func(c *change) error {
		kind := Changed
		switch {
		case c.removed:
			kind = Deleted
		case c.before == nil:
			kind = Added
		case !c.differs():
			return nil
		}
		kinds["/"+c.path] = kind
		for dir := path.Dir("/" + c.path); dir != "/" && kinds[dir] == 0; dir = path.Dir(dir) {
			kinds[dir] = Changed
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(kinds))
	for p, k := range kinds {
		changes = append(changes, Change{k, p})
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes, nil
}
