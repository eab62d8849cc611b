package embed_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// recorded makes a registry with a session in it, and gives its backup.
func recorded(t *testing.T, dir, session string) []byte {
	t.Helper()
	n, err := cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "registry")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.OpenSession(t.Context(), host.Session{ID: host.SessionID(session), Pool: "p"}); err != nil {
		t.Fatal(err)
	}
	var backup bytes.Buffer
	if err := n.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return backup.Bytes()
}

func TestBackupIsRestoredBesideWhatWasThere(t *testing.T) {
	t.Parallel()
	backup := recorded(t, t.TempDir(), "kept")
	dir := t.TempDir()
	for i, there := range []string{"", "registry.old-1", "registry.old-2"} {
		r, err := embed.Restore(dir, bytes.NewReader(backup), 5)
		if err != nil || r.Sessions != 1 || r.Generation <= 5 {
			t.Fatalf("%d: %+v, %v", i, r, err)
		}
		if got := strings.TrimPrefix(strings.TrimPrefix(r.SetAside, dir), "/"); got != there {
			t.Errorf("%d: set aside as %q, want %q", i, got, there)
		}
	}
	n, err := cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "registry")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Session(t.Context(), "kept"); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestBackupThatIsNoneLeavesTheRegistryAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := recorded(t, dir, "mine")
	for name, bad := range map[string][]byte{"nothing": nil, "half of one": good[:len(good)-5], "something else": []byte("hello\n")} {
		if _, err := embed.Restore(dir, bytes.NewReader(bad), 0); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "registry*")); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	n, err := cluster.Open(t.Context(), cluster.Config{Dir: filepath.Join(dir, "registry")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Session(t.Context(), "mine"); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestDirectoryOfALiveHostIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	_, restored := embed.Restore(dir, strings.NewReader(""), 0)
	_, recovered := embed.Recover(dir)
	for _, err := range []error{restored, recovered} {
		if errdefs.ReasonOf(err) != errdefs.Exists {
			t.Errorf("%v", err)
		}
	}
}

func TestRecoveryNeedsANode(t *testing.T) {
	t.Parallel()
	if _, err := embed.Recover(t.TempDir()); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
		t.Errorf("of nothing: %v", err)
	}
	dir := t.TempDir()
	recorded(t, dir, "s")
	if _, err := embed.Recover(dir); errdefs.ReasonOf(err) != errdefs.Conflict {
		t.Errorf("of one that is alone: %v", err)
	}
}
