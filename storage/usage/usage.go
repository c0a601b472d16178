// Package usage measures what a directory takes. It changes nothing.
package usage

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

// Below is the space that the files below dir take, hard links once.
// What cannot be read counts nothing.
func Below(dir string) (bytes int64) {
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		bytes += info.Size()
		return nil
	})
	return bytes
}
