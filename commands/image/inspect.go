package image

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"skiff/commands/document"
	"skiff/commands/env"
	"skiff/commands/flags"
	"skiff/storage"
	"skiff/storage/container"
	"skiff/storage/image"
)

// inspectOptions is what the user asked for.
type inspectOptions struct {
	Refs     []string
	Format   string
	Platform string
}

// InspectCommand shows all that is known about images.
func InspectCommand(e *env.Env) *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "Display detailed information on one or more images",
		ArgsUsage: "[OPTIONS] IMAGE [IMAGE...]",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: flags.InspectFormatUsage},
			variantFlag("Inspect a specific platform of the multi-platform image."),
		},
		Action: func(c *cli.Context) error {
			o, err := parseInspect(c)
			if err != nil {
				return err
			}
			return runInspect(e, o)
		},
	}
}

func parseInspect(c *cli.Context) (inspectOptions, error) {
	if err := flags.MinArgs(c, 1); err != nil {
		return inspectOptions{}, err
	}
	return inspectOptions{Refs: c.Args().Slice(), Format: c.String("format"), Platform: c.String("platform")}, nil
}

// runInspect prints what it finds before it says what it did not find.
func runInspect(e *env.Env, o inspectOptions) error {
	st, err := e.Store()
	if err != nil {
		return err
	}
	return document.Print(e, o.Format, o.Refs, func(ref string) (any, error) {
		img, err := image.Resolve(st, ref)
		if err == nil {
			img, err = variant(st, img, ref, o.Platform)
		}
		if err != nil {
			return nil, err
		}
		return Inspect(st, img), nil
	})
}

// inspection is docker's inspection of an image, the keys of versions before 29
// included.
type inspection struct {
	ID            string             `json:"Id"`
	RepoTags      []string           `json:"RepoTags"`
	RepoDigests   []string           `json:"RepoDigests"`
	Parent        string             `json:"Parent"`
	Comment       string             `json:"Comment"`
	Created       string             `json:"Created"`
	DockerVersion string             `json:"DockerVersion"`
	Author        string             `json:"Author"`
	Config        *container.Process `json:"Config"`
	Architecture  string             `json:"Architecture"`
	Variant       string             `json:"Variant,omitempty"`
	Os            string             `json:"Os"`
	OsVersion     string             `json:"OsVersion,omitempty"`
	Size          int64              `json:"Size"`
	VirtualSize   int64              `json:"VirtualSize"`
	GraphDriver   graphDriver        `json:"GraphDriver"`
	RootFS        rootFS             `json:"RootFS"`
	Metadata      metadata           `json:"Metadata"`
	Descriptor    *descriptor        `json:"Descriptor,omitempty"`
}

type graphDriver struct {
	Data map[string]string `json:"Data"`
	Name string            `json:"Name"`
}

type rootFS struct {
	Type   string   `json:"Type"`
	Layers []string `json:"Layers,omitempty"`
}

type metadata struct {
	LastTagTime time.Time `json:"LastTagTime"`
}

type descriptor struct {
	Digest string `json:"digest"`
}

// Inspect returns the image's document for `inspect`. The image has its
// configuration.
func Inspect(st *storage.Store, img *image.Image) any {
	d := &inspection{
		ID:          "sha256:" + img.ID,
		RepoTags:    familiarAll(img.Names),
		RepoDigests: familiarAll(img.Digests),
		Comment:     comment(img.Config),
		Created:     img.Created.UTC().Format(time.RFC3339Nano),
		Author:      img.Config.Author,
		Config:      &img.Config.Config,

		Architecture: img.Config.Architecture, Variant: img.Config.Variant,
		Os: img.Config.OS, OsVersion: img.Config.OSVersion,
		Size: img.Size, VirtualSize: img.Size,
		GraphDriver: graphDriver{Name: "overlay2", Data: layerDirs(st, img.Layers)},
		RootFS:      rootFS{Type: "layers", Layers: img.Config.RootFS.DiffIDs},
		Metadata:    metadata{LastTagTime: img.Tagged},
	}
	if img.ManifestDigest != "" {
		d.Descriptor = &descriptor{Digest: img.ManifestDigest}
	}
	return d
}

// comment is the configuration's, or that of its last step, as docker has it.
func comment(c image.Config) string {
	if c.Comment == "" && len(c.History) > 0 {
		return c.History[len(c.History)-1].Comment
	}
	return c.Comment
}

// layerDirs tells where the layers' files are.
func layerDirs(st *storage.Store, layers []string) map[string]string {
	if len(layers) == 0 {
		return nil
	}
	dirs := make([]string, len(layers))
	for i, id := range layers {
		dirs[i] = filepath.Join(st.Layers(), id, "diff")
	}
	data := map[string]string{"UpperDir": dirs[0]}
	if len(dirs) > 1 {
		data["LowerDir"] = strings.Join(dirs[1:], ":")
	}
	return data
}

func familiarAll(names []string) []string {
	all := make([]string, 0, len(names))
	for _, n := range sorted(names) {
		all = append(all, image.Familiar(n))
	}
	return all
}
