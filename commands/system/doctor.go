package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/rootless"
	"skiff/rootless/doctor"
	"skiff/runtime/stage/message"
	"skiff/runtime/stage/rootfs"
	"skiff/storage"
	"skiff/storage/temp"
)

// DoctorCommand examines the machine and the user's account.
func DoctorCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		Usage:     "Examine what skiff needs of this machine, and tell what mends it",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "fix", Usage: "Do what needs no root, and print the rest as one sudo line"},
			&cli.BoolFlag{Name: "json", Usage: "Print the findings as JSON"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runDoctor(c.Context, e, c.Bool("fix"), c.Bool("json"))
		},
	}
}

// errUnhealthy is the exit code of a machine on which containers cannot run.
const errUnhealthy = failure.Status(1)

func runDoctor(ctx context.Context, e *env.Env, fix, asJSON bool) error {
	findings := doctor.Examine(patient(ctx, e))
	if fix {
		if fixed := cure(ctx, e, findings); fixed {
			findings = doctor.Examine(patient(ctx, e))
		}
	}
	if asJSON {
		out := json.NewEncoder(e.Out)
		out.SetEscapeHTML(false)
		out.SetIndent("", "    ")
		if err := out.Encode(findings); err != nil {
			return err
		}
	} else if _, err := fmt.Fprint(e.Out, format.EscapeText(diagnosis(findings, fix))); err != nil {
		return err
	}
	for _, f := range findings {
		if f.State == doctor.Failure {
			return errUnhealthy
		}
	}
	return nil
}

// patient is this machine, with what had to be tried.
func patient(ctx context.Context, e *env.Env) *doctor.Machine {
	m := &doctor.Machine{
		UID: rootless.UID(), User: strconv.Itoa(rootless.UID()), RuntimeDir: e.Getenv("XDG_RUNTIME_DIR"), Now: e.Clock(),
		Namespace: rootless.Await(),
		LookPath: func(name string) string {
			path, err := exec.LookPath(name)
			if err != nil {
				return ""
			}
			return path
		},
	}
	// What cannot be known is told by the check that needs it.
	if u, err := user.LookupId(m.User); err == nil {
		m.User = u.Username
	}
	m.Program, _ = os.Executable()
	m.Store, _ = storage.Locate(e.Getenv, m.UID)
	m.Overlay = tryOverlay(ctx, e)
	return m
}

// tryOverlay assembles an overlay in the store, as a container's root would be,
// and returns why that cannot be done.
func tryOverlay(ctx context.Context, e *env.Env) error {
	if !rootless.Inside() {
		return errors.New("not tried without a user namespace")
	}
	st, err := e.Store()
	if err != nil {
		return err
	}
	work, err := temp.Make(ctx, st)
	if err != nil {
		return err
	}
	for _, dir := range []string{"lower", "upper", "work"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(work.Path, dir), 0o755))
	}
	if err == nil {
		var fd int
		fd, err = rootfs.Overlay(&message.Overlay{
			Base: work.Path, Lower: []string{"lower"}, Upper: filepath.Join(work.Path, "upper"),
			Work: filepath.Join(work.Path, "work"), UserAttr: rootless.Rootless(), Volatile: true,
		})
		if err == nil {
			err = unix.Close(fd)
		}
	}
	return errors.Join(err, work.Remove())
}

// cure runs what the user may do himself and reports whether it ran anything. It
// leaves alone what deletes, and what only the caller's shell can do.
func cure(ctx context.Context, e *env.Env, findings []doctor.Finding) bool {
	ran := false
	for _, f := range findings {
		program, args, ok := strings.Cut(f.Cure, " ")
		if f.Root || !ok || program != "loginctl" {
			continue
		}
		cmd := exec.CommandContext(ctx, program, strings.Fields(args)...)
		cmd.Stdout, cmd.Stderr = e.Err, e.Err
		fmt.Fprintln(e.Err, "running:", f.Cure)
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(e.Err, "failed:", err)
		}
		ran = true
	}
	return ran
}

// diagnosis is the findings as text.
func diagnosis(findings []doctor.Finding, fix bool) string {
	var b strings.Builder
	count := map[doctor.State]int{}
	var asRoot []string
	for _, f := range findings {
		count[f.State]++
		fmt.Fprintf(&b, "%-8s %-21s %s\n", f.State, f.Name, f.Found)
		if f.Meaning != "" {
			fmt.Fprintf(&b, "%30s %s\n", "", f.Meaning)
		}
		switch {
		case f.State == doctor.OK || f.Cure == "":
		case f.Root:
			asRoot = append(asRoot, f.Cure)
			if !fix {
				fmt.Fprintf(&b, "%30s as root: %s\n", "", f.Cure)
			}
		default:
			fmt.Fprintf(&b, "%30s cure: %s\n", "", f.Cure)
		}
	}
	if fix && len(asRoot) > 0 {
		for i, c := range asRoot {
			asRoot[i] = "{ " + c + "; }"
		}
		fmt.Fprintf(&b, "\nsudo sh -c %s\n", quote(strings.Join(asRoot, "; ")))
	}
	switch {
	case count[doctor.Failure] > 0:
		fmt.Fprintf(&b, "\n%d of %d checks failed: containers will not run as they should.\n", count[doctor.Failure], len(findings))
	case count[doctor.Warning] > 0:
		fmt.Fprintf(&b, "\nContainers run; %d of %d checks could be better.\n", count[doctor.Warning], len(findings))
	default:
		fmt.Fprintf(&b, "\nAll %d checks are well.\n", len(findings))
	}
	return b.String()
}

// quote makes text one word of sh.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
