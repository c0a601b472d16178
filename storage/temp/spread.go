package temp

import "golang.org/x/sys/unix"

// topDirectory is FS_TOPDIR_FL of <linux/fs.h>: see chattr(1), attribute T.
const topDirectory = 0x00020000

// Spread asks the file system to put what is made in the directories that will be
// made in dir far from dir, and from each other. ext4 puts a new directory's files
// beside those of its parent, and to find a free inode there it looks at each that
// was deleted in the last minutes, for each file anew: loading an image of 2,000
// files after one was removed took 2.0 s, of which 1.2 s were that. Elsewhere the
// mark is unknown, and is not missed.
func Spread(dir string) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if have, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS); err == nil && have&topDirectory == 0 {
		_ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, have|topDirectory)
	}
}
