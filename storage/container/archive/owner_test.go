package archive

import "testing"

func TestOwners_TranslateBothWays(t *testing.T) {
	o := &Owners{
		UIDs: []IDs{{Inside: 0, Outside: 1, Size: 10}, {Inside: 100, Outside: 50, Size: 5}},
		GIDs: []IDs{{Inside: 0, Outside: 3, Size: 2}},
	}
	for _, c := range []struct {
		name                         string
		inUID, inGID, outUID, outGID int
	}{
		{"root", 0, 0, 1, 3},
		{"the second run", 104, 1, 54, 4},
	} {
		if u, g, err := o.outside(c.inUID, c.inGID); err != nil || u != c.outUID || g != c.outGID {
			t.Errorf("%s outside: %d %d %v", c.name, u, g, err)
		}
		if u, g := o.inside(c.outUID, c.outGID); u != c.inUID || g != c.inGID {
			t.Errorf("%s inside: %d %d", c.name, u, g)
		}
	}
	if u, g := o.inside(0, 3); u != nobody || g != 0 {
		t.Errorf("who is not in the map: %d %d", u, g)
	}
	for _, ids := range [][2]int{{10, 0}, {99, 0}, {0, 2}} {
		if _, _, err := o.outside(ids[0], ids[1]); err == nil {
			t.Errorf("%v is nobody in the container", ids)
		}
	}
	if u, g, err := (*Owners)(nil).outside(7, 8); u != 7 || g != 8 || err != nil {
		t.Errorf("without a map: %d %d %v", u, g, err)
	}
}
