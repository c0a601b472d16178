package lifecycle

import (
	"os/exec"
	"path/filepath"

	"skiff/rootless"
	"skiff/runtime/stage/message"
)

// network is how a container reaches the world.
type network struct {
	helper      *message.Helper // started beside the container, nil without
	resolver    string          // address of the helper's name server
	hostNetwork bool
}

// NetworkEngine names the program that connects containers to the world by
// default, "pasta" or "slirp4netns", and is empty when neither is installed:
// the default network then has only a loopback interface.
func NetworkEngine() string {
	// For root pasta becomes nobody, who may not enter the container's namespace.
	if rootless.Rootless() && lookPath("pasta") != "" {
		return "pasta"
	}
	if lookPath("slirp4netns") != "" {
		return "slirp4netns"
	}
	return ""
}

// chooseNetwork decides for a network mode; dir is the container's directory.
func chooseNetwork(mode, dir string) network {
	switch mode {
	case "", "default", "bridge", "pasta", "slirp4netns":
	case "host":
		return network{hostNetwork: true}
	default:
		return network{}
	}
	engine := NetworkEngine()
	if (mode == "pasta" || mode == "slirp4netns") && lookPath(mode) != "" {
		engine = mode
	}
	switch engine {
	case "pasta":
		netns, ready := filepath.Join(dir, "netns"), filepath.Join(dir, "network.ready")
		return network{resolver: "169.254.1.1", helper: &message.Helper{
			Path: lookPath("pasta"), Netns: netns, Ready: ready, Args: []string{
				"--config-net", "--foreground", "--quiet", "--pid", ready, "-t", "none", "-u", "none", "-T", "none", "-U", "none",
				"--no-map-gw", "--dns-forward", "169.254.1.1", "--netns-only", "--netns", netns,
			},
		}}
	case "slirp4netns":
		return network{resolver: "10.0.2.3", helper: &message.Helper{Path: lookPath("slirp4netns"), Args: []string{
			"--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--ready-fd=3", "{pid}", "tap0",
		}}}
	}
	return network{}
}

// lookPath is exec.LookPath that answers with an empty path.
func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	return path
}
