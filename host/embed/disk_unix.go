//go:build unix

package embed

import (
	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/host/members"
)

// diskOf is the disk that a folder is on; the zero value where it can't be told.
func diskOf(dir string) members.Disk {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return members.Disk{}
	}
	block := uint64(st.Bsize) //nolint:gosec // it's never negative, and unsigned on some systems
	return members.Disk{Free: st.Bavail * block, Size: st.Blocks * block}
}
