package image

import (
	"strings"

	"github.com/urfave/cli/v2"

	"skiff/commands/failure"
	"skiff/storage"
	"skiff/storage/image"
)

// variantFlag is --platform of the verbs over what the store has.
func variantFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "platform", Usage: usage + ` Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")`}
}

// platformOf is os/architecture[/variant] of an image, whose configuration is
// read.
func platformOf(img *image.Image) string {
	return strings.TrimSuffix(strings.Join([]string{img.Config.OS, img.Config.Architecture, img.Config.Variant}, "/"), "/")
}

// fitsPlatform refuses an image that is for none of the platforms, a list
// separated by commas. The store has each image for one platform.
func fitsPlatform(st *storage.Store, img *image.Image, ref, platforms string) error {
	if platforms == "" {
		return nil
	}
	if err := img.ReadConfig(st); err != nil {
		return err
	}
	is := platformOf(img)
	for want := range strings.SplitSeq(platforms, ",") {
		if is == want || strings.HasPrefix(is, want+"/") || strings.HasPrefix(want, is+"/") {
			return nil
		}
	}
	return failure.Engine(nil, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", ref, is, platforms)
}
