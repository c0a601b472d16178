package build

import (
	"fmt"
	"os"
	"strings"

	"skiff/build/dockerfile"
)

type heredoc = dockerfile.Heredoc

func newFile(fd int, name string) *os.File { return os.NewFile(uintptr(fd), name) }

// remoteError says that a source of ADD is not on this machine.
func remoteError(source string) error {
	if strings.HasPrefix(source, "http") {
		return fmt.Errorf("ADD of %s: URLs are not supported yet; fetch it in a RUN, or before the build", source)
	}
	return fmt.Errorf("ADD of %s: git repositories are not supported yet; clone it in a RUN, or before the build", source)
}
