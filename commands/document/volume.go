package document

import (
	"time"

	"skiff/storage/volume"
)

// Volume is docker's inspect document of a volume.
type Volume struct {
	CreatedAt  string
	Driver     string
	Labels     map[string]string
	Mountpoint string
	Name       string
	Options    map[string]string
	Scope      string
}

// OfVolume describes a volume.
func OfVolume(v *volume.Volume) Volume {
	labels := v.Labels
	if len(labels) == 0 {
		labels = nil // as docker prints none
	}
	return Volume{
		CreatedAt: v.CreatedAt.Format(time.RFC3339), Driver: "local", Labels: labels,
		Mountpoint: v.Mountpoint, Name: v.Name, Scope: "local", Options: v.Options,
	}
}
