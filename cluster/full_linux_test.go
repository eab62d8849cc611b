package cluster_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// smallDisk mounts one of a size, such as "size=1m".
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a small disk can't be mounted here, which takes root's rights: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func remount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|flags, options); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskEndsTheNodeAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=1m")
	n := open(t, dir)
	padding := map[string]string{"k": strings.Repeat("x", 4000)}
	acknowledged := 0
	var err error
	for ; err == nil; acknowledged++ {
		s := session(fmt.Sprintf("s%05d", acknowledged))
		s.Metadata = padding
		_, err = n.OpenSession(t.Context(), s)
	}
	acknowledged--
	wantReason(t, err, errdefs.DiskFull)
	select {
	case <-n.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the node goes on")
	}
	wantReason(t, n.Err(), errdefs.DiskFull)
	_, err = n.Session(t.Context(), "s00000")
	wantReason(t, err, errdefs.DiskFull)

	if again, err := cluster.Open(context.WithoutCancel(t.Context()), cluster.Config{Dir: dir}); err == nil {
		_ = again.Close() // room for one more entry may have been left
	} else {
		wantReason(t, err, errdefs.DiskFull)
	}
	remount(t, dir, 0, "size=64m")
	n = open(t, dir)
	sessions, _ := contents(t, n)
	if len(sessions) < acknowledged || len(sessions) > acknowledged+1 || acknowledged < 10 {
		t.Errorf("%d sessions are there, and %d were acknowledged", len(sessions), acknowledged)
	}
	if aside := n.SetAside(); len(aside) > 0 {
		t.Errorf("set aside %q", aside)
	}
	mustOpen(t, n, "new")
	closed(t, n)
}

// TestDiskThatIsFullAtTheStartIsToldSo lets the disk end at every step of a first start.
func TestDiskThatIsFullAtTheStartIsToldSo(t *testing.T) {
	t.Parallel()
	full := 0
	for pages := 1; pages < 40; pages++ {
		dir := smallDisk(t, fmt.Sprintf("size=%dk", 4*pages))
		n, err := cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "registry")})
		if err != nil {
			wantReason(t, err, errdefs.DiskFull)
			full++
			remount(t, dir, 0, "size=16m")
			n = open(t, filepath.Join(dir, "registry"))
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if full < 4 || full > 35 {
		t.Errorf("%d of 39 disks were too small", full)
	}
}

func TestDirectoryThatCannotBeWrittenIsToldSo(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=1m")
	closed(t, open(t, dir))
	remount(t, dir, unix.MS_RDONLY, "")
	_, err := cluster.Open(t.Context(), cluster.Config{Dir: dir})
	wantReason(t, err, errdefs.InvalidConfig)
	_, err = cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "sub")})
	wantReason(t, err, errdefs.InvalidConfig)
	_, err = cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "node.json", "sub")})
	wantReason(t, err, errdefs.InvalidConfig)
}
