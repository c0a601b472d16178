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

// variant returns that of the images that ref means which is for platform, and
// refuses if none is. Without a platform it is the image itself.
func variant(st *storage.Store, img *image.Image, ref, platform string) (*image.Image, error) {
	if platform == "" {
		return img, nil
	}
	of, err := img.Variant(st, img.NameOf(ref), platform)
	if err == nil && !of.Suits(platform) {
		err = otherPlatform(img, ref, platform)
	}
	return of, err
}

func otherPlatform(img *image.Image, ref, wanted string) error {
	return failure.Engine(nil, "image with reference %s was found but its platform (%s) does not match the specified platform (%s)", ref, img.Platform(), wanted)
}

// variants are the images that a name of img stands for, all of them or those for
// one of the platforms, a list separated by commas. The user said ref.
func variants(st *storage.Store, img *image.Image, ref, name, platforms string) ([]string, error) {
	if platforms == "" {
		return img.Platforms[name], nil
	}
	var ids []string
	var failed error
	for platform := range strings.SplitSeq(platforms, ",") {
		of, err := img.Variant(st, name, platform)
		if err != nil {
			return nil, err
		}
		if !of.Suits(platform) {
			failed = otherPlatform(img, ref, platforms)
			continue
		}
		ids = append(ids, of.ID)
	}
	if len(ids) > 0 {
		failed = nil
	}
	return ids, failed
}
