package image

import (
	"slices"
	"strconv"
	"time"

	"skiff/commands/format"
	"skiff/storage/image"
)

// Disk is what one image takes of the disk.
type Disk struct {
	*image.Image
	// Shared are the bytes of its layers that other images stand on, too.
	Shared int64
	// Containers is how many were made from it.
	Containers int
	// Row describes it as `system df -v` does.
	Row format.Row
}

// DiskColumns are the columns of `system df -v`.
func DiskColumns() format.List {
	l := imageList(imagesOptions{})
	l.Columns = []string{"Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"}
	return l
}

// DiskUsage tells how much images take, each and (total) all together, layers
// that several share once. users counts the containers of each image ID.
func DiskUsage(images []*image.Image, layers map[string]image.Layer, users map[string]int, now time.Time, noTrunc bool) (all []Disk, total int64) {
	standing := make(map[string]int) // images on each layer
	for _, img := range images {
		for _, id := range img.Layers {
			if standing[id] == 0 {
				total += layers[id].Size
			}
			standing[id]++
		}
	}
	slices.SortStableFunc(images, func(a, b *image.Image) int { return b.Created.Compare(a.Created) })
	for _, img := range images {
		d := Disk{Image: img, Containers: users[img.ID]}
		for _, id := range img.Layers {
			if standing[id] > 1 {
				d.Shared += layers[id].Size
			}
		}
		rows := imageRows(img, imagesOptions{NoTrunc: noTrunc}, now)
		d.Row = rows[0]
		d.Row["SharedSize"], d.Row["UniqueSize"] = format.LongSize(d.Shared), format.LongSize(img.Size-d.Shared)
		d.Row["Containers"] = strconv.Itoa(d.Containers)
		if d.Row["Digest"] == none {
			d.Row["Digest"] = ""
		}
		all = append(all, d)
	}
	return all, total
}
