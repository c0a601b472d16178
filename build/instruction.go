package build

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"skiff/build/dockerfile"
	"skiff/storage/container"
)

// dispatch applies one instruction to the state. The history's lines are
// BuildKit's.
func (e *evaluation) dispatch(c *command) error {
	p := e.process()
	switch c.Name {
	case "run":
		return e.run(c)
	case "copy", "add":
		return e.copy(c)
	case "workdir":
		return e.workdir(c)
	case "env":
		return e.setVariables(c)
	case "arg":
		return e.declare(c)
	case "label":
		if p.Labels == nil {
			p.Labels = make(map[string]string)
		}
		pairs, err := e.expandPairs(c.Pairs)
		if err != nil {
			return err
		}
		text := "LABEL"
		for _, kv := range pairs {
			p.Labels[kv.Key] = kv.Value
			text += " " + kv.Key + "=" + kv.Value
		}
		e.remark(text, nil)
	case "maintainer":
		e.config.Author = c.Args[0]
		e.remark("MAINTAINER "+c.Args[0], nil)
	case "user":
		user, err := e.expand(c.Args[0])
		if err != nil {
			return err
		}
		p.User = user
		e.remark("USER "+user, nil)
	case "expose":
		return e.expose(c)
	case "volume":
		list, err := e.expandAll(c.Args)
		if err != nil {
			return err
		}
		if p.Volumes == nil {
			p.Volumes = make(map[string]struct{})
		}
		for _, v := range list {
			if v == "" {
				return errors.New("VOLUME specified can not be an empty string")
			}
			p.Volumes[v] = struct{}{}
		}
		e.remark(fmt.Sprintf("VOLUME %v", list), nil)
	case "cmd":
		args := c.Args
		if c.Shell {
			args = e.withShell(args)
		}
		p.Cmd, e.cmdSet = args, true
		e.remark(fmt.Sprintf("CMD %q", args), nil)
	case "entrypoint":
		args := c.Args
		if c.Shell {
			args = e.withShell(args)
		}
		p.Entrypoint = args
		if !e.cmdSet {
			p.Cmd = nil
		}
		e.remark(fmt.Sprintf("ENTRYPOINT %q", args), nil)
	case "shell":
		p.Shell = c.Args
		e.remark(fmt.Sprintf("SHELL %v", c.Args), nil)
	case "stopsignal":
		sig, err := e.expand(c.Args[0])
		if err != nil {
			return err
		}
		if err := checkSignal(sig); err != nil {
			return err
		}
		p.StopSignal = sig
		e.remark("STOPSIGNAL "+sig, nil)
	case "healthcheck":
		h := c.Health
		p.Healthcheck = &container.Healthcheck{
			Test: h.Test, Interval: time.Duration(h.Interval), Timeout: time.Duration(h.Timeout),
			StartPeriod: time.Duration(h.StartPeriod), StartInterval: time.Duration(h.StartInterval), Retries: h.Retries,
		}
		e.remark(fmt.Sprintf("HEALTHCHECK %+v", *p.Healthcheck), nil)
	case "onbuild":
		p.OnBuild = append(p.OnBuild, c.Args[0])
	default:
		return fmt.Errorf("unknown instruction: %s", strings.ToUpper(c.Name))
	}
	return nil
}

// withShell is a command line for the shell that the image has.
func (e *evaluation) withShell(args []string) []string {
	sh := e.process().Shell
	if len(sh) == 0 {
		sh = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(sh), strings.Join(args, " "))
}

func (e *evaluation) expandPairs(list []dockerfile.Pair) ([]dockerfile.Pair, error) {
	out := slices.Clone(list)
	for i := range out {
		var err, err2 error
		out[i].Key, err = e.expand(out[i].Key)
		out[i].Value, err2 = e.expand(out[i].Value)
		if err = errors.Join(err, err2); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (e *evaluation) setVariables(c *command) error {
	pairs, err := e.expandPairs(c.Pairs)
	if err != nil {
		return err
	}
	text := "ENV"
	for _, kv := range pairs {
		e.process().Env = setEnv(e.process().Env, kv.Key, kv.Value)
		e.env = setEnv(e.env, kv.Key, kv.Value)
		text += " " + kv.Key + "=" + kv.Value
	}
	e.remark(text, nil)
	return nil
}

// declare is ARG: from the command line, by default, or what was said before
// the first FROM.
func (e *evaluation) declare(c *command) error {
	var texts []string
	for _, a := range c.Pairs {
		value, known := e.args[a.Key]
		switch {
		case known:
		case !a.Missing:
			var err error
			if value, err = e.expand(a.Value); err != nil {
				return err
			}
			known = true
		default:
			value, known = getEnv(e.global, a.Key)
		}
		text := a.Key
		if known {
			e.env = setEnv(e.env, a.Key, value)
			text += "=" + value
		}
		e.declared = append(e.declared, dockerfile.Pair{Key: a.Key, Value: value, Missing: !known})
		texts = append(texts, text)
	}
	e.remark("ARG "+strings.Join(texts, " "), nil)
	return nil
}

func (e *evaluation) expose(c *command) error {
	var ports []string
	for _, w := range c.Args {
		words, err := e.lex.ProcessWords(w, shell.EnvsFromSlice(e.env))
		if err != nil {
			return err
		}
		for _, word := range words {
			list, err := portRange(word)
			if err != nil {
				return err
			}
			ports = append(ports, list...)
		}
	}
	p := e.process()
	if p.ExposedPorts == nil {
		p.ExposedPorts = make(map[string]struct{})
	}
	sort.Strings(ports)
	ports = slices.Compact(ports)
	for _, port := range ports {
		p.ExposedPorts[port] = struct{}{}
	}
	e.remark(fmt.Sprintf("EXPOSE %v", ports), nil)
	return nil
}

// portRange reads [host:]first[-last][/proto].
func portRange(spec string) ([]string, error) {
	ports, proto, ok := strings.Cut(spec, "/")
	if !ok {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	if proto != "tcp" && proto != "udp" && proto != "sctp" {
		return nil, fmt.Errorf("invalid proto: %s", proto)
	}
	if i := strings.LastIndexByte(ports, ':'); i >= 0 {
		ports = ports[i+1:]
	}
	from, to, ok := strings.Cut(ports, "-")
	if !ok {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || last < first {
		return nil, fmt.Errorf("invalid containerPort: %s", ports)
	}
	var out []string
	for n := first; n <= last; n++ {
		out = append(out, fmt.Sprintf("%d/%s", n, proto))
	}
	return out, nil
}

// checkSignal refuses what is no signal's name or number.
func checkSignal(s string) error {
	if n, err := strconv.Atoi(s); err == nil {
		if n > 0 && n <= 64 {
			return nil
		}
		return fmt.Errorf("invalid signal: %s", s)
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if strings.HasPrefix(name, "RTMIN") || strings.HasPrefix(name, "RTMAX") || slices.Contains(signals, name) {
		return nil
	}
	return fmt.Errorf("invalid signal: %s", s)
}

// signals are the names of signal(7).
var signals = []string{
	"ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL", "PROF",
	"PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2",
	"VTALRM", "WINCH", "XCPU", "XFSZ",
}

// workdir makes the directory and changes to it.
func (e *evaluation) workdir(c *command) error {
	dir, err := e.expand(c.Args[0])
	if err != nil {
		return err
	}
	if !path.IsAbs(dir) && !e.workdirSet && (!e.foreign || dir == c.Args[0]) {
		e.warn(&c.Command, "WorkdirRelativePath", "workdir-relative-path",
			fmt.Sprintf("Relative workdir %q can have unexpected results if the base image changes", dir))
	}
	e.workdirSet = true
	if !path.IsAbs(dir) {
		dir = path.Join(e.process().WorkingDir, dir)
	}
	dir = path.Clean("/" + dir)
	title := e.shown(c)
	e.process().WorkingDir = dir
	if e.Check {
		return nil
	}
	if dir == "/" {
		e.remark("WORKDIR "+dir, nil)
		return nil
	}
	user := e.process().User
	l, err := e.step(c, title, []string{keyOf("workdir", e.key, dir, user, e.Epoch)}, func(w *work) error {
		owner, err := w.owner(user)
		if err != nil {
			return err
		}
		at, err := w.tree.mkdirAll(dir, owner, 0o755)
		if err == nil {
			at.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	e.remark("WORKDIR "+dir, l)
	return nil
}
