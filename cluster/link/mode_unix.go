//go:build unix

package link

import (
	"io/fs"
	"os"
	"syscall"
)

// othersMay is what a key's mode lets others do. The group may read one that is
// root's: so is a secret that a container gets as a file.
func othersMay(st fs.FileInfo) fs.FileMode {
	forbidden := fs.FileMode(0o077)
	if s, ok := st.Sys().(*syscall.Stat_t); ok && s.Uid == 0 && os.Geteuid() != 0 {
		forbidden = 0o037
	}
	return st.Mode().Perm() & forbidden
}
