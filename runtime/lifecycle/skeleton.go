package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"skiff/storage"
	"skiff/storage/temp"
)

// skeletonDir is in the cache; a layer with other contents gets another name.
const skeletonDir = "skeleton-1"

// skeletonDirs and skeletonFiles are what something is mounted on in every
// container. Programs ask /.dockerenv whether they are in one.
var (
	skeletonDirs  = []string{"dev", "etc", "proc", "sys"}
	skeletonFiles = []string{".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf"}
)

// maxLower is how many lower layers the kernel takes for one overlay
// (OVL_MAX_STACK in fs/overlayfs/params.h), and images may have as many.
const maxLower = 500

// withSkeleton returns lower, topmost first and relative to base unless that is
// empty, with the skeleton below them. Where there is no room for one, mount points
// are made in the writable layer, as they are for everything else that is mounted.
func withSkeleton(ctx context.Context, st *storage.Store, base string, lower []string) ([]string, error) {
	if len(lower) >= maxLower {
		return lower, nil
	}
	lowest, err := skeleton(ctx, st)
	if err == nil && base != "" {
		lowest, err = filepath.Rel(base, lowest)
	}
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(lower), lowest), nil
}

// skeleton returns the directory of the layer that lies below all layers of
// every image, and makes it when it is not there. What an image lacks of the
// usual mount points is found there, instead of being made in the writable layer
// of each container anew, which costs up to eight inodes: ext4 passes over every
// inode that was deleted in the last minutes before it hands out one. What an
// image has hides it. Docker has a layer for that purpose too, so that its
// diff and commit do not know the mount points.
func skeleton(ctx context.Context, st *storage.Store) (string, error) {
	dir := filepath.Join(st.Cache(), skeletonDir)
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	work, err := temp.Make(ctx, st)
	if err != nil {
		return "", err
	}
	made := filepath.Join(work.Path, skeletonDir)
	err = fillSkeleton(made)
	if err == nil {
		err = os.MkdirAll(st.Cache(), 0o700)
	}
	if err == nil {
		err = os.Rename(made, dir)
	}
	if _, there := os.Lstat(dir); there == nil {
		err = nil // somebody else's is as good
	}
	if err = errors.Join(err, work.Remove()); err != nil {
		return "", fmt.Errorf("make the layer of mount points: %w", err)
	}
	return dir, nil
}

// fillSkeleton needs nobody's umask: what is mounted on must be reachable.
func fillSkeleton(top string) error {
	for _, name := range append([]string{"."}, skeletonDirs...) {
		dir := filepath.Join(top, name)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			return err
		}
	}
	for _, name := range skeletonFiles {
		file := filepath.Join(top, name)
		if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Chmod(file, 0o644)); err != nil {
			return err
		}
	}
	return nil
}
