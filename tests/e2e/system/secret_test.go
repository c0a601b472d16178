package system_test

import (
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func TestSecret_CreateListInspectRemove(t *testing.T) {
	s := harness.New(t)
	s.WriteFile("key", "hush\n")
	key := filepath.Join(s.Home(), "key")
	id := s.Skiff("secret", "create", "--label", "tier=front", "key", key).Succeeds().PrintsMatch("[0-9a-f]{25}").Out()
	s.Skiff("secret", "create", "key", key).Exits(1).Complains("key: secret name in use")
	other := s.SkiffInput(strings.NewReader("other"), "secret", "create", "other", "-").Succeeds().Out()
	s.Skiff("secret", "ls", "--format", "{{.ID}} {{.Name}} {{.Driver}}").Exits(0).
		Prints(id + " key file\n" + other + " other file")
	s.Skiff("secret", "ls", "-q", "--filter", "label=tier=front").Exits(0).Prints(id)
	s.Skiff("secret", "ls", "-q", "--filter", "name=other").Exits(0).Prints(other)
	s.Skiff("secret", "inspect", "-f", "{{.ID}} {{.Spec.Name}} {{.Spec.Labels}}", id[:9]).Exits(0).Prints(id + " key map[tier:front]")
	if r := s.Skiff("secret", "inspect", "key").Exits(0); strings.Contains(r.Stdout, "hush") || strings.Contains(r.Stdout, "aHVzaA") {
		t.Errorf("inspect tells the secret: %s", r.Stdout)
	}
	s.Skiff("secret", "inspect", "--showsecret", "-f", "{{json .SecretData}}", "key").Exits(0).Prints(`"hush\n"`)
	s.Shell("stat -c %a ~/.local/share/skiff/secrets/key.json").Exits(0).Prints("600")
	s.Skiff("secret", "create", "--replace", "key", key).Exits(0)
	s.Skiff("secret", "exists", "key").Exits(0).Prints("")
	s.Skiff("secret", "exists", "nosuch").Exits(1).Prints("")
	s.Skiff("secret", "inspect", "nosuch").Exits(1).Complains(`no secret with name or id "nosuch": no such secret`)
	s.Skiff("secret", "create", "../x", key).Exits(1).Complains("invalid secret name")
	s.Skiff("secret", "create", "empty", "/dev/null").Exits(1).Complains("must be larger than 0")
	s.Skiff("secret", "create", "huge", "/dev/zero").Exits(1).Complains("not exceed 512000 bytes")
	s.Skiff("secret", "create", "gone", "/no/such").Exits(1).Complains("no such file")
	s.Skiff("secret", "rm", "nosuch", "key").Exits(1).Prints("key").Complains("no such secret")
	s.Skiff("secret", "rm", "--ignore", "nosuch").Exits(0).Prints("")
	s.Skiff("secret", "rm", "--all").Exits(0).Prints("other")
	s.Skiff("secret", "ls", "-q").Exits(0).Prints("")
}

// A secret of ten that come at once is the one that is kept.
func TestSecret_OneOfManyWins(t *testing.T) {
	s := harness.New(t)
	r := s.Shell("for i in 1 2 3 4 5 6 7 8 9 10; do (echo $i | skiff secret create one - 2>/dev/null && echo $i >won) & done; wait; " +
		"cat won; skiff secret inspect --showsecret -f '{{.SecretData}}' one; ls -A ~/.local/share/skiff/secrets").Exits(0)
	f := strings.Fields(r.Stdout)
	if len(f) < 3 || f[len(f)-1] != "one.json" || f[len(f)-2] != f[len(f)-3] {
		t.Errorf("got %q", r.Stdout)
	}
	if n := strings.Count(r.Stdout, "\n"); n > 5 {
		t.Errorf("several won: %q", r.Stdout)
	}
}

func TestUnshare_IsRootAmongTheSubordinateIDs(t *testing.T) {
	s := harness.New(t)
	s.Skiff("unshare", "id", "-u").Exits(0).Prints("0")
	s.Skiff("unshare", "sh", "-c", "touch mine && chown 7 mine && stat -c %u mine && rm mine; exit 3").Exits(3).Prints("7")
	s.Skiff("unshare", "cat", "--help").Exits(0) // the command's flags are its own
	s.Skiff("unshare", "nosuch").Exits(127).Complains("run nosuch: ")
	s.Skiff("unshare", "/etc").Exits(126).Complains("run /etc: ")
	s.SkiffInput(strings.NewReader("id -u; exit 4"), "unshare").Exits(4).Prints("0")
}
