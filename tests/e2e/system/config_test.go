package system_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"skiff/tests/harness"
)

// What docker's config.json says of lists and of the keys that detach.
func TestConfig_OfDockersClient(t *testing.T) {
	s := harness.New(t)
	image := s.LoadBusybox()
	s.OK("create", "--name", "it", "--network", "none", image)
	s.OK("volume", "create", "vol")
	s.WriteFile(".docker/config.json", `{"psFormat": "table {{.Names}}\t{{.Image}}", "imagesFormat": "{{.Repository}}!", "volumesFormat": "v {{.Name}}",
		"networksFormat": "n {{.Name}}", "statsFormat": "s {{.Name}}", "detachKeys": "ctrl-x,q"}`)
	s.Skiff("ps", "-a").Exits(0).PrintsMatch(`NAMES +IMAGE\nit +` + image)
	s.Skiff("ps", "-a", "--format", "{{.Names}}").Exits(0).Prints("it")
	s.Skiff("ps", "-aq").Exits(0).PrintsMatch("[0-9a-f]{12}")
	s.Skiff("images").Exits(0).Prints(image + "!")
	s.Skiff("images", "-q").Exits(0).PrintsMatch("[0-9a-f]{12}")
	s.Skiff("volume", "ls").Exits(0).Prints("v vol")
	s.Skiff("network", "ls", "-f", "name=none").Exits(0).Prints("n none")
	s.Skiff("stats", "--no-stream", "-a").Exits(0).Prints("s it")

	term := s.Terminal("run", "-it", "--name", "tty", "--network", "none", image, "sh")
	term.Expect("#")
	term.Type("\x18q")
	term.Exits(0)
	harness.Equal(t, "left running", s.Inspect("tty", "{{.State.Running}}"), "true")
	s.OK("rm", "-f", "tty")

	s.WriteFile(".docker/config.json", `{"psFormat":`)
	s.Skiff("ps", "-aq").Exits(0)
	s.Skiff("ps", "-a").Exits(0).Complains("WARNING: Error loading config file: " + s.Home() + "/.docker/config.json: unexpected end of JSON input").Says("it")
}

// What is meant for another machine is not run on this one.
func TestConfig_RunsNothingThatIsMeantForElsewhere(t *testing.T) {
	s := harness.New(t)
	const refusal = "talking to a remote engine is not supported"
	for _, host := range []string{"tcp://10.0.0.1:2375", "ssh://me@there", "http://there"} {
		s.Setenv("DOCKER_HOST", host)
		s.Skiff("ps").Exits(1).Complains("DOCKER_HOST=" + host + ": " + refusal).Complains("leave this out")
	}
	s.Skiff("--context", "default", "ps").Exits(0)
	s.Setenv("DOCKER_HOST", fmt.Sprintf("unix:///run/user/%d/docker.sock", s.UID()))
	s.OK("ps")
	s.Unsetenv("DOCKER_HOST")
	s.Setenv("DOCKER_CONTEXT", "away")
	s.Skiff("ps").Exits(1).Complains("DOCKER_CONTEXT=away: " + refusal)
	for name, host := range map[string]string{"away": "ssh://there", "desktop": "unix:///home/me/.docker/desktop/docker.sock"} {
		s.WriteFile(fmt.Sprintf(".docker/contexts/meta/%x/meta.json", sha256.Sum256([]byte(name))),
			fmt.Sprintf(`{"Name":%q,"Metadata":{},"Endpoints":{"docker":{"Host":%q,"SkipTLSVerify":false}}}`, name, host))
	}
	s.Skiff("ps").Exits(1).Complains("DOCKER_CONTEXT=away: " + refusal)
	s.Setenv("DOCKER_CONTEXT", "desktop")
	s.OK("ps")
	s.Unsetenv("DOCKER_CONTEXT")
	s.WriteFile(".docker/config.json", `{"currentContext": "away"}`)
	s.Skiff("ps").Exits(1).Complains("currentContext=away: " + refusal)
	s.Skiff("--context", "desktop", "ps").Exits(0)
	s.WriteFile(".docker/config.json", `{"currentContext": "desktop"}`)
	s.OK("ps")
}
