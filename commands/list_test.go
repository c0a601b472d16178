package commands

import (
	"testing"

	"skiff/commands/env"
)

func TestEntries_BuildWhatTheyAreNamed(t *testing.T) {
	e := env.New("skiff")
	for _, c := range entries(e) {
		if c.name == describesAll {
			continue
		}
		list := commandList(e, c.name)
		if len(list) != 1 || list[0].Name != c.name || len(list[0].Aliases) != 0 {
			t.Errorf("%s: %d commands, the first is %s with the aliases %q", c.name, len(list), list[0].Name, list[0].Aliases)
		}
	}
	for _, only := range []string{"", "--debug", describesAll} {
		if n := len(commandList(e, only)); n != len(entries(e)) {
			t.Errorf("%q: %d commands of %d", only, n, len(entries(e)))
		}
	}
}
