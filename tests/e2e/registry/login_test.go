package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/tests/harness"
)

func config(s *harness.Session) string { return filepath.Join(s.Home(), ".docker/config.json") }

func TestLogin_KeepsCredentialsWhereDockerDoes(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistryWithPassword(t)
	img := s.LoadBusybox()
	ref := r.Address + "/team/app:1"
	s.OK("tag", img, ref)
	s.Skiff("push", ref).Exits(1).Complains("no basic auth credentials")
	s.Skiff("pull", ref).Exits(1).Complains("pull access denied for " + r.Address + "/team/app, repository does not exist or may require 'docker login'")
	s.Skiff("login", "-u", "ana", "-p", "wrong", r.Address).Exits(1).
		Complains("login attempt to http://" + r.Address + "/v2/ failed with status: 401 Unauthorized")
	if harness.Exists(config(s)) {
		t.Error("a wrong password was kept")
	}
	result := s.SkiffInput(strings.NewReader("secret\n"), "login", "-u", "ana", "--password-stdin", r.Address).Exits(0).Prints("Login Succeeded")
	result.Complains("WARNING! Your credentials are stored unencrypted in '" + config(s) + "'.")
	harness.Equal(t, "config.json", s.Shell("cat "+config(s)).Stdout, "{\n\t\"auths\": {\n\t\t\""+r.Address+"\": {\n\t\t\t\"auth\": \"YW5hOnNlY3JldA==\"\n\t\t}\n\t}\n}")
	info, err := os.Stat(config(s))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("config.json: %v %v, want mode 0600", info.Mode(), err)
	}
	s.OK("push", "-q", ref)
	s.OK("rmi", ref)
	s.Skiff("pull", "-q", ref).Exits(0).Prints(ref)
	s.OK("rmi", ref)
	s.Skiff("login", r.Address).Exits(0).Prints("Login Succeeded").Complains("Authenticating with existing credentials... [Username: ana]")
	s.Skiff("logout", "http://"+r.Address+"/v1/").Exits(0).Prints("Removing login credentials for " + r.Address)
	s.Skiff("logout", r.Address).Exits(0).Prints("Removing login credentials for " + r.Address)
	s.Skiff("logout").Exits(0).Prints("Removing login credentials for https://index.docker.io/v1/")
	s.Skiff("pull", ref).Exits(1).Complains("pull access denied")
}

func TestLogin_RefusesInDockersWords(t *testing.T) {
	s := harness.New(t)
	for _, test := range []struct{ args, want string }{
		{"127.0.0.1:1", "Cannot perform an interactive login from a non TTY device"},
		{"-u ana 127.0.0.1:1", "Cannot perform an interactive login from a non TTY device"},
		{"-p x 127.0.0.1:1", "WARNING! Using --password via the CLI is insecure. Use --password-stdin."},
		{"-u ana -p x 127.0.0.1:1", `Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`},
		{"--password-stdin 127.0.0.1:1", "the --password-stdin option requires --username to be set"},
		{"-u ana -p x --password-stdin 127.0.0.1:1", "conflicting options: cannot specify both --password and --password-stdin"},
		{"-u '' -p x 127.0.0.1:1", "username is empty"},
		{"a b", "'skiff login' requires at most 1 argument"},
	} {
		s.Shell("skiff login " + test.args + " </dev/null").Exits(1).Complains(test.want)
	}
	s.Shell("mkdir -p ~/.docker; echo '{' > ~/.docker/config.json")
	s.Skiff("login", "-u", "ana", "-p", "x", "127.0.0.1:1").Exits(1).Complains("config.json: unexpected end of JSON input")
}

func TestLogin_AsksOnATerminal(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistryWithPassword(t)
	c := s.Terminal("login", r.Address)
	c.Expect("Username: ")
	c.Type("ana\r")
	c.Expect("Password: ")
	c.Type("secret\r")
	c.Expect("Login Succeeded")
	c.Exits(0)
	if strings.Contains(c.Output(), "secret") {
		t.Error("the password was shown")
	}
	// Ctrl-C ends it at once.
	s.OK("logout", r.Address)
	c = s.Terminal("login", r.Address)
	c.Expect("Username: ")
	c.Type("ana\r")
	c.Expect("Password: ")
	c.Type("\x03")
	c.Exits(130)
}

// The helper's protocol is that of docker-credential-helpers.
func TestLogin_UsesHelpers(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistryWithPassword(t)
	s.Shell("mkdir -p ~/bin ~/.docker ~/kept").Exits(0)
	helper := `#!/bin/sh
cd ~/kept
case $1 in
store) cat >"last"; sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' last | tr -c 'a-z0-9\n' _ | { read n; mv last "$n"; } ;;
get) n=$(tr -c 'a-z0-9\n' _); [ -e "$n" ] && cat "$n" || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) n=$(tr -c 'a-z0-9\n' _); rm "$n" ;;
esac
`
	s.SkiffInput(strings.NewReader(""), "version").Exits(0)
	s.Do(strings.NewReader(helper), "/bin/sh", "-c", "cat > ~/bin/docker-credential-test && chmod 755 ~/bin/docker-credential-test").Exits(0)
	s.Shell(`echo '{"credsStore":"test","other":{"kept":1}}' > ~/.docker/config.json`).Exits(0)
	line := func(args string) *harness.Result { return s.Shell("PATH=$HOME/bin:$PATH; skiff " + args) }
	line("login -u ana -p secret " + r.Address).Exits(0).Says("Login Succeeded")
	text := s.Shell("cat " + config(s)).Stdout
	if strings.Contains(text, "YW5h") || !strings.Contains(text, `"kept": 1`) || !strings.Contains(text, r.Address) {
		t.Errorf("config.json is\n%s", text)
	}
	img := s.LoadBusybox()
	s.OK("tag", img, r.Address+"/app")
	line("push -q " + r.Address + "/app").Exits(0)
	line("logout " + r.Address).Exits(0)
	line("push -q " + r.Address + "/app").Exits(1).Complains("no basic auth credentials")
	s.Shell(`echo '{"credHelpers":{"` + r.Address + `":"nosuch"}}' > ~/.docker/config.json`)
	line("pull " + r.Address + "/app").Exits(1).Complains("error getting credentials - err: exec: \"docker-credential-nosuch\": executable file not found in $PATH")
	s.OK("rmi", r.Address+"/app")
}

// A helper asks the user's keyring over the session's bus: as the user, with the
// user's environment, also where the command itself has entered a user namespace.
func TestHelpers_RunAsTheUser(t *testing.T) {
	s := harness.New(t)
	r := harness.NewRegistryWithPassword(t)
	s.Shell("mkdir -p ~/bin ~/.docker").Exits(0)
	helper := `#!/bin/sh
read server
echo "$1 $server $(id -u):$(id -g) $DBUS_SESSION_BUS_ADDRESS" >>~/said
readlink /proc/self/ns/user >>~/spaces
echo '{"ServerURL":"x","Username":"ana","Secret":"secret"}'
`
	s.Do(strings.NewReader(helper), "/bin/sh", "-c", "cat >~/bin/docker-credential-test && chmod 755 ~/bin/docker-credential-test").Exits(0)
	s.Shell(`echo '{"credsStore":"test"}' >~/.docker/config.json`).Exits(0)
	space := s.Shell("readlink /proc/self/ns/user").Exits(0).Stdout
	line := func(args string) *harness.Result {
		return s.Shell("PATH=$HOME/bin:$PATH DBUS_SESSION_BUS_ADDRESS=unix:path=/run/bus; export PATH DBUS_SESSION_BUS_ADDRESS; skiff " + args)
	}
	name := r.Address + "/app"
	s.OK("tag", s.LoadBusybox(), name)
	for _, command := range []string{
		"push -q " + name,
		"rmi -f " + name + " busybox && skiff pull -q " + name,
		"rmi -f " + name + " && skiff run --rm --network none " + name + " true",
		"rmi -f " + name + " && echo FROM " + name + " | skiff build -q -",
		"manifest inspect " + name,
	} {
		s.Shell("rm -f ~/said ~/spaces")
		line(command).Exits(0)
		want := fmt.Sprintf("get %s %d:%d unix:path=/run/bus\n", r.Address, s.UID(), s.GID())
		if said := s.Shell("sort -u ~/said").Stdout; said != want {
			t.Errorf("%s: the helper says %q, want %q", command, said, want)
		}
		harness.Equal(t, "user namespace of the helper", s.Shell("sort -u ~/spaces").Stdout, space)
	}
	// One that fails is told of in its own words.
	s.Do(strings.NewReader("#!/bin/sh\necho the keyring is locked; exit 3\n"), "/bin/sh", "-c", "cat >~/bin/docker-credential-test").Exits(0)
	line("pull " + name).Exits(1).Complains("error getting credentials - err: exit status 3, out: `the keyring is locked`")
}
