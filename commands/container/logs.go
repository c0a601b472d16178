package container

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/runtime/logs"
	"skiff/runtime/stage/logdriver"
)

type logsOptions struct {
	Ref        string
	Timestamps bool
	Details    bool
	Read       logs.Options
}

// LogsCommand prints what a container wrote.
func LogsCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "Fetch the logs of a container",
		ArgsUsage: "[OPTIONS] CONTAINER",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "details", Usage: "Show extra details provided to logs"},
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "Follow log output"},
			&cli.StringFlag{Name: "since", Usage: `Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Value: "all", Usage: "Number of lines to show from the end of the logs"},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "Show timestamps"},
			&cli.StringFlag{Name: "until", Usage: `Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)`},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 1); err != nil {
				return err
			}
			o, err := parseLogs(c, e.Clock())
			if err != nil {
				return err
			}
			return runLogs(c.Context, e, o)
		},
	}
}

// LogsFlags are those of logs.
func LogsFlags() []cli.Flag { return LogsCommand(nil).Flags }

// Logs prints the log of one container as the flags of logs in c say.
func Logs(c *cli.Context, e *env.Env, id string) error {
	o, err := parseLogs(c, e.Clock())
	if err != nil {
		return err
	}
	o.Ref = id
	return runLogs(c.Context, e, o)
}

func parseLogs(c *cli.Context, now time.Time) (o logsOptions, err error) {
	o = logsOptions{Ref: c.Args().First(), Timestamps: c.Bool("timestamps"), Details: c.Bool("details")}
	o.Read = logs.Options{Follow: c.Bool("follow"), Tail: -1}
	// Anything but a number is all, as docker has it.
	if n, err := strconv.Atoi(c.String("tail")); err == nil {
		o.Read.Tail = n
	}
	if o.Read.Since, err = flags.ParseTime(c.String("since"), now); err != nil {
		return o, failure.Local("invalid value for \"since\": %v", err)
	}
	if o.Read.Until, err = flags.ParseTime(c.String("until"), now); err != nil {
		return o, failure.Local("invalid value for \"until\": %v", err)
	}
	return o, nil
}

func runLogs(ctx context.Context, e *env.Env, o logsOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	c, err := find(st, o.Ref)
	if err != nil {
		return err
	}
	if c.Config.Host.LogConfig.Type == "none" || c.Config.Host.LogConfig.Type == "passthrough" {
		return failure.Engine(nil, "configured logging driver does not support reading")
	}
	o.Read.Ended = func() bool {
		s, err := c.Status()
		return err != nil || !s.Running() && s.State != "restarting"
	}
	out := &lineWriter{w: e.Out, timestamps: o.Timestamps, details: o.Details}
	errOut := &lineWriter{w: e.Err, timestamps: o.Timestamps, details: o.Details}
	return logs.Read(ctx, c.Dir(), o.Read, func(stream byte, t time.Time, p []byte) error {
		if stream == logdriver.Stderr {
			return errOut.write(t, p)
		}
		return out.write(t, p)
	})
}

// lineWriter puts what was asked for in front of every line. A piece of output
// may begin and end within a line.
type lineWriter struct {
	w          io.Writer
	timestamps bool
	details    bool
	inLine     bool
}

// timestampLayout is RFC 3339 with all nine digits, so that columns align.
const timestampLayout = "2006-01-02T15:04:05.000000000Z07:00"

func (l *lineWriter) write(t time.Time, p []byte) error {
	if !l.timestamps && !l.details {
		_, err := l.w.Write(p)
		return err
	}
	prefix := ""
	if l.timestamps {
		prefix = t.UTC().Format(timestampLayout) + " "
	}
	if l.details {
		// There are no details; docker leaves their space.
		prefix += " "
	}
	var b bytes.Buffer
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		if !l.inLine {
			b.WriteString(prefix)
		}
		b.Write(line)
		if ended {
			b.WriteByte('\n')
		}
		l.inLine, p = !ended, rest
	}
	_, err := l.w.Write(b.Bytes())
	return err
}
