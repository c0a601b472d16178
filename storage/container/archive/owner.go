package archive

import "fmt"

// Owners says whose files of a tree are whose in the archive: in a container
// without the user's own ids root is another than here.
type Owners struct{ UIDs, GIDs []IDs }

// IDs are Size ids from Inside on, in the archive, that are those from Outside on
// in the tree.
type IDs struct{ Inside, Outside, Size int }

// nobody is whom the kernel shows for an id that has no place in a map.
const nobody = 65534

// WithOwners returns the tree with other owners than its files seem to have. nil
// changes nothing.
func (t Tree) WithOwners(o *Owners) Tree {
	t.owners = o
	return t
}

// inside are the ids of the archive for those of a file in the tree.
func (o *Owners) inside(uid, gid int) (int, int) {
	if o == nil {
		return uid, gid
	}
	return inside(o.UIDs, uid), inside(o.GIDs, gid)
}

func inside(list []IDs, id int) int {
	for _, m := range list {
		if n := id - m.Outside; n >= 0 && n < m.Size {
			return m.Inside + n
		}
	}
	return nobody
}

// outside are the ids of a file in the tree for those of the archive.
func (o *Owners) outside(uid, gid int) (u, g int, err error) {
	if o == nil {
		return uid, gid, nil
	}
	if u, err = outside(o.UIDs, uid); err == nil {
		g, err = outside(o.GIDs, gid)
	}
	return u, g, err
}

func outside(list []IDs, id int) (int, error) {
	for _, m := range list {
		if n := id - m.Inside; n >= 0 && n < m.Size {
			return m.Outside + n, nil
		}
	}
	return 0, fmt.Errorf("the container has no id %d", id)
}
