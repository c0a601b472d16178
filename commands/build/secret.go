package build

import (
	"os"
	"strings"

	"skiff/commands/env"
	"skiff/commands/failure"
)

// secret is one --secret.
type secret struct{ id, file, env string }

func parseSecrets(e *env.Env, list []string) (map[string][]byte, error) {
	out := make(map[string][]byte)
	for _, text := range list {
		var s secret
		kind := ""
		for _, f := range strings.Split(text, ",") {
			key, value, ok := strings.Cut(f, "=")
			if !ok {
				return nil, failure.Local("invalid field '%s' must be a key=value pair", f)
			}
			switch strings.ToLower(key) {
			case "type":
				if kind = value; value != "file" && value != "env" {
					return nil, failure.Local("unsupported secret type %q", value)
				}
			case "id":
				s.id = value
			case "src", "source":
				s.file = value
			case "env":
				s.env = value
			default:
				return nil, failure.Local("unexpected key '%s' in '%s'", key, f)
			}
		}
		if s.id == "" {
			return nil, failure.Local("secret %q has no id", text)
		}
		if kind == "env" && s.env == "" {
			s.env, s.file = s.file, ""
		}
		if s.env == "" && s.file == "" {
			if _, ok := lookup(e, s.id); ok && kind != "file" {
				s.env = s.id
			} else {
				s.file = s.id
			}
		}
		if s.env != "" {
			value, _ := lookup(e, s.env)
			out[s.id] = []byte(value)
			continue
		}
		data, err := os.ReadFile(s.file)
		if err != nil {
			return nil, failure.Local("failed to read secret %s: %v", s.id, err)
		}
		out[s.id] = data
	}
	return out, nil
}

func parseAgents(e *env.Env, list []string) (map[string]string, error) {
	out := make(map[string]string)
	for _, text := range list {
		id, socket, given := strings.Cut(text, "=")
		if !given {
			socket = e.Getenv("SSH_AUTH_SOCK")
		}
		if socket == "" {
			return nil, failure.Local("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
		}
		info, err := os.Stat(socket)
		if err != nil {
			return nil, failure.Local("failed to stat ssh agent socket: %v", err)
		}
		if info.Mode()&os.ModeSocket == 0 {
			return nil, failure.Local("%s is not a socket: private keys are not read, start an agent (ssh-agent) and add the key to it", socket)
		}
		out[id] = socket
	}
	return out, nil
}
