//go:build integration && linux

package failover_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// system runs a tool of the system.
func system(t *testing.T, argv ...string) {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// smallDisk puts a node's registry on a file system of its own that holds a few megabytes.
func (n *node) smallDisk(megabytes string) string {
	n.site.t.Helper()
	dir := filepath.Join(n.data, "registry")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.site.t.Fatal(err)
	}
	system(n.site.t, "mount", "-t", "tmpfs", "-o", "size="+megabytes+"m,mode=0700", "tmpfs", dir)
	n.site.t.Cleanup(func() { system(n.site.t, "umount", "-l", dir) })
	return dir
}

// loopDisk puts a node's registry on a file system in a file, which can be frozen.
func (n *node) loopDisk() string {
	n.site.t.Helper()
	dir, image := filepath.Join(n.data, "registry"), filepath.Join(n.site.dir, n.name+".img")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		n.site.t.Fatal(err)
	}
	system(n.site.t, "truncate", "-s", "64M", image)
	system(n.site.t, "mkfs.ext4", "-q", "-F", image)
	system(n.site.t, "mount", "-o", "loop", image, dir)
	n.site.t.Cleanup(func() { system(n.site.t, "umount", "-l", dir) })
	if err := os.Chmod(dir, 0o700); err != nil {
		n.site.t.Fatal(err)
	}
	return dir
}
