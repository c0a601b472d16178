// Package registry is the commands about registries as such: who the user is
// there, and what is to be found.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/commands/terminal"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/credential"
	"skiff/storage/courier/message"
)

// hub is how references call Docker Hub.
const hub = "docker.io"

// maxPassword is the longest password that is read, in bytes.
const maxPassword = 1 << 20

// loginOptions is what the user asked for.
type loginOptions struct {
	Host     string // docker.io or host[:port]
	Username string
	Password string
	// Given says that a user name or password came with the command.
	Given bool
}

// LoginCommand keeps the credentials for a registry.
func LoginCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "login",
		Usage:     "Authenticate to a registry",
		ArgsUsage: "[OPTIONS] [SERVER]",
		Category:  "Common",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "password", Aliases: []string{"p"}, Usage: "Password or Personal Access Token (PAT)"},
			&cli.BoolFlag{Name: "password-stdin", Usage: "Take the Password or Personal Access Token (PAT) from stdin"},
			&cli.StringFlag{Name: "username", Aliases: []string{"u"}, Usage: "Username"},
		},
		Action: func(c *cli.Context) error {
			o, err := parseLogin(c, e)
			if err != nil {
				return err
			}
			return runLogin(c.Context, e, o)
		},
	}
}

func parseLogin(c *cli.Context, e *env.Env) (loginOptions, error) {
	if err := flags.MaxArgs(c, 1); err != nil {
		return loginOptions{}, err
	}
	o := loginOptions{Host: host(c.Args().First()), Username: c.String("username"), Password: c.String("password")}
	o.Given = c.IsSet("username") || c.IsSet("password") || c.Bool("password-stdin")
	if c.IsSet("password") {
		if c.Bool("password-stdin") {
			return o, failure.Local("conflicting options: cannot specify both --password and --password-stdin")
		}
		if o.Password == "" {
			return o, failure.Local("password is empty")
		}
		fmt.Fprintln(e.Err, "WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
	}
	if c.IsSet("username") && o.Username == "" {
		return o, failure.Local("username is empty")
	}
	// docker takes -p - for --password-stdin as no other program does; the
	// contents are the whole of standard input.
	if c.Bool("password-stdin") {
		if o.Username == "" {
			return o, failure.Local("the --password-stdin option requires --username to be set")
		}
		data, err := io.ReadAll(io.LimitReader(e.In, maxPassword))
		if err != nil {
			return o, fmt.Errorf("read password: %w", err)
		}
		o.Password = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	return o, nil
}

// host returns the registry that a user names, perhaps by an address.
func host(server string) string {
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	server, _, _ = strings.Cut(server, "/")
	switch server {
	case "", hub, "index.docker.io", "registry-1.docker.io":
		return hub
	}
	return server
}

func runLogin(ctx context.Context, e *env.Env, o loginOptions) error {
	registries, err := configuration.Read(e.Getenv)
	if err != nil {
		return err
	}
	file, err := credential.Load(registries.DockerConfig)
	if err != nil {
		return err
	}
	known, err := file.Get(ctx, o.Host)
	if err != nil {
		return err
	}
	if !o.Given && known != (credential.Credential{}) {
		// As docker does: what is known may still do.
		name := format.Escape(known.Username)
		if name == "" {
			name = "<token>"
		}
		fmt.Fprintf(e.Err, "Authenticating with existing credentials... [Username: %s]\n\n", name)
		fmt.Fprint(e.Err, " Info -> To login with a different account, run 'docker logout' followed by 'docker login'\n\n\n")
		err := tryLogin(ctx, o.Host, known, registries)
		if err == nil {
			_, err = fmt.Fprintln(e.Out, "Login Succeeded")
			return err
		}
		if !errors.Is(err, message.ErrDenied) {
			return err
		}
		fmt.Fprintf(e.Err, "Login did not succeed, error: %s\n", format.EscapeText(err.Error()))
	}
	if err := ask(ctx, e, &o, known.Username); err != nil {
		return err
	}
	given := credential.Credential{Username: o.Username, Password: o.Password}
	if err := tryLogin(ctx, o.Host, given, registries); err != nil {
		return err
	}
	had := file.Has(o.Host)
	if err := file.Put(ctx, o.Host, given); err != nil {
		return err
	}
	if !had && file.Helper(credential.Key(o.Host)) == "" {
		fmt.Fprintf(e.Err, "\nWARNING! Your credentials are stored unencrypted in '%s'.\n"+
			"Configure a credential helper to remove this warning. See\n"+
			"https://docs.docker.com/go/credential-store/\n\n", file.Path)
	}
	_, err = fmt.Fprintln(e.Out, "Login Succeeded")
	return err
}

func tryLogin(ctx context.Context, host string, c credential.Credential, registries message.Registries) error {
	return client.Login(ctx, message.Login{
		Host: host, Username: c.Username, Password: c.Password, IdentityToken: c.IdentityToken, Registries: registries,
	})
}

// ask asks the user for what is missing.
func ask(ctx context.Context, e *env.Env, o *loginOptions, known string) error {
	if o.Username != "" && o.Password != "" {
		return nil
	}
	if e.In == nil || !term.IsTerminal(int(e.In.Fd())) {
		text := "Cannot perform an interactive login from a non TTY device"
		if e.Docker() {
			text = "Error: " + text
		}
		return failure.Local("%s", text)
	}
	if o.Username == "" {
		prompt := "Username: "
		if known != "" {
			prompt = fmt.Sprintf("Username (%s): ", format.Escape(known))
		}
		if o.Host == hub {
			fmt.Fprintln(e.Out, "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.")
		}
		fmt.Fprint(e.Out, prompt)
		name, err := terminal.ReadLine(ctx, e.In)
		if err != nil {
			return fmt.Errorf("read user name: %w", err)
		}
		name = strings.TrimSpace(name)
		if o.Username = name; name == "" {
			o.Username = known
		}
		if o.Username == "" {
			return failure.Local("username is required")
		}
	}
	if o.Password == "" {
		password, err := terminal.ReadSecret(ctx, e.In, func() { fmt.Fprint(e.Out, "Password: ") })
		fmt.Fprintln(e.Out)
		if err != nil {
			return fmt.Errorf("read password: %w", err)
		}
		if o.Password = password; o.Password == "" {
			return failure.Local("password is required")
		}
	}
	return nil
}
