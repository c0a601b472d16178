package build

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"skiff/runtime/lifecycle"
	"skiff/storage/container"
)

// sandboxName is the host name that BuildKit's containers have.
const sandboxName = "buildkitsandbox"

// logLines is how much of a failed step's output is shown again.
const logLines = 20

// proxies are the build arguments that a RUN sees without being declared, and
// that neither history nor cache know.
var proxies = []string{
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy",
	"ALL_PROXY", "all_proxy",
}

func (e *evaluation) run(c *command) error {
	if e.Check {
		return nil
	}
	network := c.Network
	if network == "" {
		network = e.Network
	}
	switch network {
	case "", "default", "none", "host":
	default:
		return fmt.Errorf("invalid network mode %q", network)
	}
	if c.Security == "insecure" {
		return errors.New("security.insecure is not allowed: skiff runs every step confined; leave --security=insecure out")
	}
	if len(c.Devices) > 0 {
		return errors.New("RUN --device is not supported")
	}
	args, script := c.commandLine()
	if c.Shell && script == nil {
		args = e.withShell(args)
	}
	mounts, err := e.parseMounts(&c.Command)
	if err != nil {
		return err
	}
	mountKeys, err := e.mountKeys(mounts)
	if err != nil {
		return err
	}
	p := e.process()
	env := slices.Clone(e.env)
	key := keyOf("run", e.key, args, string(script), env, p.User, p.WorkingDir, network, mountKeys, e.ExtraHosts, e.Epoch, e.Ulimits)
	text := args
	if len(e.declared) > 0 {
		var known []string
		for _, d := range e.declared {
			value, ok := getEnv(e.env, d.Key)
			if !ok {
				value = d.Value
			}
			known = setEnv(known, d.Key, value)
		}
		text = append(append([]string{fmt.Sprintf("|%d", len(known))}, known...), args...)
	}
	title := e.shown(c)
	if i := strings.IndexByte(title, '\n'); i >= 0 {
		title = title[:i]
	}
	if len(c.Files) == 1 && strings.HasPrefix(c.Args[0], "<<") {
		title += " (" + summary(c.Files[0].Data) + ")"
	}
	var output log
	task := e.Watch.Begin(e.title(title, c.trigger))
	l, err := e.layer(c, task, []string{key}, false, func(w *work) error {
		return w.execute(args, script, env, network, mounts, &output)
	})
	if err != nil {
		if c.trigger {
			title = "ONBUILD " + title
		}
		return &Failure{Err: err, Step: fmt.Sprintf("[%s] %s", e.where(), title), Log: output.tail(), Start: c.Start, End: c.End}
	}
	e.remark("RUN "+strings.Join(text, " ")+" # buildkit", l)
	return nil
}

// where is the place of the current step among the stage's.
func (e *evaluation) where() string {
	text := fmt.Sprintf("%d/%d", e.current, e.total)
	if e.name != "" {
		return e.name + " " + text
	}
	return text
}

// commandLine is what a RUN runs: its words, or what stands in its heredocs.
// script is a program that begins with #!.
func (c *command) commandLine() (args []string, script []byte) {
	if len(c.Files) == 0 || len(c.Args) == 0 {
		return c.Args, nil
	}
	if isHeredoc(c.Args[0]) {
		f := c.Files[0]
		data := f.Data
		if f.Chomp {
			data = chomp(data)
		}
		if strings.HasPrefix(data, "#!") {
			return []string{"/dev/pipes/" + f.Name}, []byte(data)
		}
		return []string{data}, nil
	}
	var b strings.Builder
	b.WriteString(c.Args[0])
	for _, f := range c.Files {
		b.WriteByte('\n')
		b.WriteString(f.Data)
		b.WriteString(f.Name)
	}
	return []string{b.String()}, nil
}

// isHeredoc reports whether a line is nothing but the beginning of a heredoc.
func isHeredoc(line string) bool {
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "<<")
	rest = strings.Trim(strings.TrimPrefix(rest, "-"), `"'`)
	return ok && rest != "" && !strings.ContainsAny(rest, " \t\n<>|&;\"'")
}

// chomp takes the tabs off the beginning of every line.
func chomp(data string) string {
	lines := strings.Split(data, "\n")
	for i := range lines {
		lines[i] = strings.TrimLeft(lines[i], "\t")
	}
	return strings.Join(lines, "\n")
}

func summary(data string) string {
	first, _, more := strings.Cut(strings.TrimSpace(data), "\n")
	if len(first) > 20 {
		first, more = first[:20], true
	}
	if more {
		first += "..."
	}
	return first
}

// execute runs the process of a RUN.
func (w *work) execute(args []string, script []byte, env []string, network string, mounts []*mount, output *log) error {
	p := *w.process()
	for _, name := range proxies {
		if value, ok := w.Args[name]; ok {
			env = setEnv(env, name, value)
		}
	}
	cfg := &container.Config{
		ID: randomID(), Path: args[0], Args: args[1:],
		Config: container.Process{Hostname: sandboxName, User: p.User, WorkingDir: p.WorkingDir, Env: env},
		Host:   container.Host{NetworkMode: network, ExtraHosts: w.ExtraHosts, ShmSize: w.ShmSize, Ulimits: w.Ulimits},
	}
	if network == "" {
		cfg.Host.NetworkMode = "default"
	}
	if script != nil {
		dir := filepath.Join(w.dir, "pipes")
		name := filepath.Join(dir, path.Base(args[0]))
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(name, script, 0o755), os.Chmod(name, 0o755)); err != nil {
			return err
		}
		cfg.Mounts = append(cfg.Mounts, container.Mount{Type: "bind", Source: dir, Destination: "/dev/pipes"})
	}
	missing, err := w.absent(mounts)
	if err != nil {
		return err
	}
	clean, err := w.attach(mounts, cfg)
	defer func() { clean() }()
	if err != nil {
		return err
	}
	stdout, outDone, err := pump(w.task, output, 1)
	if err != nil {
		return err
	}
	stderr, errDone, err := pump(w.task, output, 2)
	if err != nil {
		stdout.Close()
		return err
	}
	code, err := lifecycle.RunStep(w.ctx, w.st, &lifecycle.Step{
		Config: cfg, Dir: w.dir, Upper: w.diff(), Work: w.scratch(), Lower: w.dirs(w.builder), Stdout: stdout, Stderr: stderr,
	})
	stdout.Close()
	stderr.Close()
	<-outDone
	<-errDone
	var start *lifecycle.StartError
	switch {
	case errors.As(err, &start) && start.Code != 125:
		text := start.Error() + "\n"
		w.task.Output(2, []byte(text))
		output.write([]byte(text))
		return &ExitError{args, start.Code}
	case err != nil:
		return err
	case code != 0:
		return &ExitError{args, code}
	}
	return w.sweepStubs(missing)
}

// pump returns a pipe to write to, whose other end is passed on until it is
// closed by everybody.
func pump(task Task, output *log, stream int) (*os.File, chan struct{}, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				data := bytes.Clone(buf[:n])
				output.write(data)
				task.Output(stream, data)
			}
			if err != nil {
				return
			}
		}
	}()
	return w, done, nil
}

// log keeps the end of what a step wrote.
type log struct {
	mu   sync.Mutex
	data []byte
}

const logBytes = 64 << 10

func (l *log) write(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.data = append(l.data, data...)
	if over := len(l.data) - logBytes; over > 0 {
		l.data = slices.Clone(l.data[over:])
	}
}

func (l *log) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimRight(string(l.data), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	return lines[max(0, len(lines)-logLines):]
}
