package systemd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	ccontainer "skiff/commands/container"
	"skiff/commands/env"
	"skiff/commands/failure"
	"skiff/commands/flags"
	"skiff/commands/format"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/courier/client"
	"skiff/storage/courier/configuration"
	"skiff/storage/courier/message"
	"skiff/storage/image"
)

// The labels by which a container asks for updates, podman's.
const (
	updateLabel = "io.containers.autoupdate"
	authLabel   = "io.containers.autoupdate.authfile"
)

type updateOptions struct {
	DryRun, Rollback bool
	AuthFile, Format string
}

// UpdateCommand is `auto-update`.
func UpdateCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name: "auto-update", Usage: "Update the images of containers that ask for it, and restart their units", ArgsUsage: "[OPTIONS]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "authfile", Usage: "File with credentials for registries"},
			&cli.BoolFlag{Name: "dry-run", Usage: "Only look: nothing is pulled, no unit is restarted"},
			&cli.StringFlag{Name: "format", Usage: flags.FormatUsage},
			&cli.BoolFlag{Name: "rollback", Value: true, Usage: "Go back to the old image where a unit does not start with the new one"},
		},
		Action: func(c *cli.Context) error {
			if err := flags.ExactArgs(c, 0); err != nil {
				return err
			}
			return runUpdate(c.Context, e, updateOptions{
				DryRun: c.Bool("dry-run"), Rollback: c.Bool("rollback"), AuthFile: c.String("authfile"), Format: c.String("format"),
			})
		},
	}
}

// updated is what became of one container.
type updated struct {
	container *container.Container
	unit      string
	policy    string
	ref       image.Reference // of its image, with a tag
	state     string          // podman's: false, pending, true, failed, rolled back
	replaced  bool            // the name means another image than the container's
}

func runUpdate(ctx context.Context, e *env.Env, o updateOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	list, failed := wanting(st)
	u := &updater{Env: e, updateOptions: o, st: st}
	var units []string
	for _, one := range list {
		if !slices.Contains(units, one.unit) {
			units = append(units, one.unit)
		}
		if err := u.look(ctx, one); err != nil {
			one.state = "failed"
			failed = append(failed, fmt.Errorf("container %s: %w", one.container.Config.Name, err))
		}
	}
	for _, unit := range units {
		if err := u.restart(unit, list); err != nil {
			failed = append(failed, err)
		}
	}
	if err := printUpdates(e, o.Format, list); err != nil {
		return err
	}
	return failed.Err()
}

// wanting are the containers that run in units and ask for updates.
func wanting(st *storage.Store) (list []*updated, failed failure.Several) {
	all, broken := container.List(st)
	if broken != nil {
		failed = append(failed, broken)
	}
	for _, c := range all {
		cfg := c.Config
		policy := policyOf(cfg, memberName(st, cfg))
		if policy == "" || policy == "disabled" {
			continue
		}
		if s, err := c.Status(); err != nil || !s.Running() {
			continue // as podman does it
		}
		one := &updated{container: c, unit: cfg.Config.Labels[ccontainer.UnitLabel], policy: policy, state: "false"}
		ref, err := image.ParseReference(cfg.Config.Image)
		one.ref = ref.WithDefaultTag()
		switch {
		case policy != "registry" && policy != "image" && policy != "local":
			err = fmt.Errorf("auto-update policy %q is neither registry nor local", policy)
		case one.unit == "":
			err = fmt.Errorf("no %s label found: it does not run in a unit", ccontainer.UnitLabel)
		case err == nil && strings.HasPrefix(strings.TrimPrefix(cfg.ImageID, "sha256:"), cfg.Config.Image):
			err = fmt.Errorf("the image %s has no name that could mean a newer one", cfg.Config.Image)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("container %s: %w", cfg.Name, err))
			continue
		}
		list = append(list, one)
	}
	return list, failed
}

// memberName is a container's name in its pod's manifest.
func memberName(st *storage.Store, cfg *container.Config) string {
	if infra, err := container.Find(st, cfg.Pod); cfg.Pod != "" && err == nil && infra.Config.Infra != nil {
		return strings.TrimPrefix(cfg.Name, infra.Config.Infra.Name+"-")
	}
	return cfg.Name
}

// policyOf reads the label, or what a manifest has in its place.
func policyOf(cfg *container.Config, name string) string {
	if policy := cfg.Config.Labels[updateLabel]; policy != "" {
		return policy
	}
	if policy := cfg.Host.Annotations[updateLabel+"/"+name]; policy != "" {
		return policy
	}
	return cfg.Host.Annotations[updateLabel]
}

// updater does the work on one store.
type updater struct {
	*env.Env
	updateOptions
	st *storage.Store
}

// look finds out whether there is a newer image, and gets it.
func (u *updater) look(ctx context.Context, one *updated) error {
	cfg := one.container.Config
	have, err := image.Resolve(u.st, one.ref.String())
	if err != nil && !errors.Is(err, image.ErrNotFound) {
		return err
	}
	if one.policy != "local" && one.ref.Digest == "" {
		newer, err := u.newer(ctx, one, have)
		if err != nil {
			return err
		}
		if newer && u.DryRun {
			one.state = "pending"
			return nil
		}
		if newer {
			if err := u.skiff(one, "pull", "-q", one.ref.String()); err != nil {
				return err
			}
		}
	}
	now, err := image.Resolve(u.st, one.ref.String())
	if err != nil {
		return err
	}
	one.replaced = "sha256:"+now.ID != cfg.ImageID
	if one.replaced && u.DryRun {
		one.state = "pending"
	}
	return nil
}

// newer reports whether the registry has another image by that name than we have.
func (u *updater) newer(ctx context.Context, one *updated, have *image.Image) (bool, error) {
	getenv := func(name string) string {
		if file := u.authFile(one); name == "REGISTRY_AUTH_FILE" && file != "" {
			return file
		}
		return u.Getenv(name)
	}
	registries, err := configuration.Read(getenv)
	if err != nil {
		return false, err
	}
	found, err := client.Manifest(ctx, message.Manifest{Reference: one.ref.String(), Registries: registries})
	if err != nil {
		return false, fmt.Errorf("look for a newer %s: %w", one.ref.Familiar(), err)
	}
	sum := sha256.Sum256(found.Raw)
	return have == nil || !slices.Contains(have.Digests, one.ref.Name()+"@sha256:"+hex.EncodeToString(sum[:])), nil
}

// authFile is where the credentials are, empty for the usual place.
func (u *updater) authFile(one *updated) string {
	if u.AuthFile != "" {
		return u.AuthFile
	}
	return one.container.Config.Config.Labels[authLabel]
}

// skiff runs this program: what changes the store needs the user's namespace, in
// which systemd does not listen to us.
func (u *updater) skiff(one *updated, args ...string) error {
	cmd := exec.Command(program(), args...)
	cmd.Env = u.Environ()
	if file := u.authFile(one); file != "" {
		cmd.Env = append(cmd.Env, "REGISTRY_AUTH_FILE="+file)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("skiff %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// restart restarts a unit if an image of its containers is another now, and goes
// back to the old ones where it does not come up.
func (u *updater) restart(unit string, all []*updated) error {
	var list []*updated
	for _, one := range all {
		if one.unit == unit && one.replaced && one.state != "pending" {
			list = append(list, one)
		}
	}
	if len(list) == 0 {
		return nil
	}
	state := func(s string) {
		for _, one := range list {
			one.state = s
		}
	}
	state("true")
	failed := restartUnit(unit)
	if failed == nil {
		return nil
	}
	state("failed")
	failed = fmt.Errorf("restart %s with the new image: %w", unit, failed)
	if !u.Rollback {
		return failed
	}
	for _, one := range list {
		if err := u.skiff(one, "tag", strings.TrimPrefix(one.container.Config.ImageID, "sha256:"), one.ref.String()); err != nil {
			return errors.Join(failed, fmt.Errorf("go back to the old image: %w", err))
		}
	}
	if err := restartUnit(unit); err != nil {
		return errors.Join(failed, fmt.Errorf("restart %s with the old image: %w", unit, err))
	}
	state("rolled back")
	fmt.Fprintf(u.Err, "WARNING: %v; the old image is back\n", failed)
	return nil
}

// restartUnit waits until the unit has started: with Type=notify until it is ready.
// That it failed often of late is forgiven.
func restartUnit(unit string) error {
	_ = systemctl("reset-failed", unit) // it need not have failed
	return systemctl("restart", unit)
}

var updateLayout = format.List{
	Headings: [][2]string{
		{"Unit", "UNIT"},
		{"Container", "CONTAINER"},
		{"Image", "IMAGE"},
		{"Policy", "POLICY"},
		{"Updated", "UPDATED"},
		{"ContainerID", "CONTAINERID"},
		{"ContainerName", "CONTAINERNAME"},
		{"ImageName", "IMAGENAME"},
	},
	Columns: []string{"Unit", "Container", "Image", "Policy", "Updated"},
}

func printUpdates(e *env.Env, layout string, list []*updated) error {
	rows := make([]format.Row, len(list))
	for i, one := range list {
		cfg := one.container.Config
		rows[i] = format.Row{
			"Unit": one.unit, "Container": cfg.ID[:12] + " (" + cfg.Name + ")", "ContainerID": cfg.ID, "ContainerName": cfg.Name,
			"Image": cfg.Config.Image, "ImageName": cfg.Config.Image, "Policy": one.policy, "Updated": one.state,
		}
	}
	return updateLayout.Print(e.Out, layout, false, rows)
}
