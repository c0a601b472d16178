package system_test

import (
	"encoding/json"
	"testing"

	"skiff/tests/harness"
)

type finding struct{ Name, State, Found, Meaning, Cure string }

// doctor returns the findings by name, and the exit code.
func doctor(t *testing.T, s *harness.Session) (map[string]finding, int) {
	t.Helper()
	r := s.Skiff("doctor", "--json")
	var list []finding
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r.Stdout)
	}
	found := map[string]finding{}
	for _, f := range list {
		found[f.Name] = f
	}
	return found, r.Code
}

func TestDoctor_FindsAMachineOnWhichContainersRun(t *testing.T) {
	s := harness.New(t)
	found, code := doctor(t, s)
	harness.Equal(t, "the exit code", code, 0)
	for _, name := range []string{"user namespaces", "subordinate user ids", "newuidmap", "overlay", "store"} {
		if found[name].State != "ok" {
			t.Errorf("%s: %+v", name, found[name])
		}
	}
	s.Skiff("doctor").Exits(0).Says("ok       user namespaces       this user can make them")
}

func TestDoctor_NamesWhatIsAmiss(t *testing.T) {
	harness.Requires(t, harness.Root)
	tests := []struct{ name, spoil, check, state, cure string }{
		{"no subordinate ids", "mount --bind /dev/null /etc/subuid", "subordinate user ids", "warning", "usermod --add-subuids"},
		{"newuidmap that may do nothing", "cp /usr/bin/newuidmap /run/plain && chmod 755 /run/plain && mount --bind /run/plain /usr/bin/newuidmap && rm -f /run/plain", "newuidmap", "failure", "chmod u+s /usr/bin/newuidmap"},
		{"no resolver", "mount --bind /dev/null /etc/resolv.conf", "resolver", "warning", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := harness.New(t)
			s.InMountNamespace(test.spoil)
			found, code := doctor(t, s)
			f := found[test.check]
			harness.Equal(t, "the state", f.State, test.state)
			harness.Equal(t, "the exit code is 1", code == 1, test.state == "failure")
			if len(f.Cure) < len(test.cure) || f.Cure[:len(test.cure)] != test.cure || f.Meaning == "" {
				t.Errorf("%+v", f)
			}
			s.Skiff("doctor", "--fix")
		})
	}
}

func TestDoctor_TakesNoArgument(t *testing.T) {
	s := harness.New(t)
	s.Skiff("doctor", "everything").Exits(1).Complains("accepts no arguments")
}
