package system

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/build"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/check"
	courier "skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/lock"
)

// CheckCommand looks for damage in the user's store and mends it.
func CheckCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "Look for damage in images, containers, volumes, networks and secrets",
		ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "Print the findings as JSON ('json') or through a Go template"},
			&cli.BoolFlag{Name: "quick", Aliases: []string{"q"}, Usage: "Do not read the contents of layers, only how long their files are"},
			&cli.BoolFlag{Name: "repair", Aliases: []string{"r"}, Usage: "Mend what can be mended, and set aside what cannot"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runCheck(c.Context, e, checkOptions{Quick: c.Bool("quick"), Repair: c.Bool("repair"), Format: c.String("format")})
		},
	}
}

type checkOptions struct {
	Quick, Repair bool
	Format        string
}

// errDamaged is the exit code of a store with damage that is not mended.
const errDamaged = failure.Status(1)

// checkReport is what --format is given.
type checkReport struct {
	Findings []message.Finding
	Images   int
	Layers   int
	Bytes    int64 // of layers that were read
	Objects  int   // containers, volumes, networks, secrets
}

func runCheck(ctx context.Context, e *env.Env, o checkOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	r, err := examine(ctx, e, st, o)
	if err != nil {
		return err
	}
	if o.Format != "" {
		err = format.Document(e.Out, o.Format, r)
	} else {
		_, err = fmt.Fprint(e.Out, format.EscapeText(r.text()))
	}
	if err != nil {
		return err
	}
	for _, f := range r.Findings {
		if f.Mended == "" {
			return errDamaged
		}
	}
	return nil
}

func examine(ctx context.Context, e *env.Env, st *storage.Store, o checkOptions) (*checkReport, error) {
	want := message.Check{Quick: o.Quick, Repair: o.Repair}
	var err error
	if o.Repair {
		if want.Registries, err = configuration.Read(e.Getenv); err != nil {
			return nil, err
		}
		// Nobody makes a container of an image that is just being mended.
		held, err := lock.Exclusive(ctx, st.ImagesLock())
		if err != nil {
			return nil, err
		}
		defer held.Release()
	}
	// Images first: containers stand on them.
	images, err := courier.Check(ctx, st, want)
	if err != nil {
		return nil, err
	}
	r := &checkReport{Findings: images.Findings, Images: images.Images, Layers: images.Layers, Bytes: images.Bytes}
	found, objects, err := check.Records(st, o.Repair)
	if err != nil {
		return nil, err
	}
	cached, err := build.Check(st, o.Repair)
	if err != nil {
		return nil, err
	}
	r.Findings, r.Objects = append(append(r.Findings, found...), cached...), objects
	return r, nil
}

// text is the report for people.
func (r *checkReport) text() string {
	var b strings.Builder
	mended := 0
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", f.Kind, f.Object, f.Path, f.Damage)
		fmt.Fprintf(&b, "    follows: %s\n", f.Follows)
		if f.Mended != "" {
			mended++
			fmt.Fprintf(&b, "    mended: %s\n", f.Mended)
		} else {
			fmt.Fprintf(&b, "    cure: %s\n", f.Cure)
		}
	}
	read := "sizes only"
	if r.Bytes > 0 || r.Layers == 0 {
		read = format.Size(r.Bytes) + " read"
	}
	fmt.Fprintf(&b, "%d images, %d layers (%s), %d containers, volumes, networks and secrets: ", r.Images, r.Layers, read, r.Objects)
	switch {
	case len(r.Findings) == 0:
		b.WriteString("no damage\n")
	case mended == len(r.Findings):
		fmt.Fprintf(&b, "%d found and mended\n", mended)
	case mended > 0:
		fmt.Fprintf(&b, "%d found, %d mended\n", len(r.Findings), mended)
	default:
		fmt.Fprintf(&b, "%d found\n", len(r.Findings))
	}
	return b.String()
}
