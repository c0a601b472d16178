package build

import (
	"encoding/json"
	"os"
	"strings"

	"skiff/build"
)

// writeMetadata writes what buildx writes with --metadata-file.
func writeMetadata(o *options, r *build.Result, digest string) error {
	values := map[string]any{
		"containerimage.config.digest": "sha256:" + r.ImageID,
		"containerimage.digest":        "sha256:" + r.ImageID,
	}
	if digest != "" {
		values["containerimage.digest"] = digest
	}
	if len(o.Tags) > 0 {
		values["image.name"] = strings.Join(o.Tags, ",")
	}
	data, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.Metadata, append(data, '\n'), 0o644)
}
