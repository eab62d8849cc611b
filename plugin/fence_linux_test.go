package plugin_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// What a worker has seen of a session's owners is its own: a host that comes back to
// it can't be an earlier owner.
func TestFencesOfAWorkerOutliveItsHost(t *testing.T) {
	t.Parallel()
	for name, fork := range map[string]bool{"executed": false, "forked": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(dir); err != nil {
					t.Error(err)
				}
			})
			s := &succession{cfg: plugin.Config{Dir: dir, Instance: plugin.NewInstance(), OrphanGrace: time.Minute}, path: filepath.Join(t.TempDir(), "ledger.db")}
			sp := spec(t, sessions)
			sp.Settings.Fork = fork
			w, err := s.open(t).Launch(t.Context(), sp, noTools{})
			if err != nil {
				t.Fatal(err)
			}
			epochs(t, w, 5, -4)
			leaver, ok := w.(host.Leaver)
			if !ok {
				t.Fatalf("a %T can't be left", w)
			}
			leaver.Leave()
			if err := s.now.Leave(time.Minute); err != nil {
				t.Error(err)
			}
			s.end(t)

			next := s.open(t)
			t.Cleanup(func() { s.end(t) })
			again, err := next.Reattach(t.Context(), sp, noTools{})
			if err != nil {
				t.Fatal(err)
			}
			if again.Description().Process != w.Description().Process {
				t.Error("it's another process")
			}
			epochs(t, again, -4, 5, 6, -5)
			sp.Worker = "default-2"
			other, err := next.Launch(t.Context(), sp, noTools{})
			if err != nil {
				t.Fatal(err)
			}
			epochs(t, other, 1) // another process, which has seen nothing yet
		})
	}
}

// epochs calls session s with each epoch; a negative one must be fenced.
func epochs(t *testing.T, w host.Worker, epochs ...int) {
	t.Helper()
	for _, n := range epochs {
		_, err := answer(t, w, host.Invocation{Tool: "about", Session: "s", Epoch: uint64(max(n, -n))})
		if (n < 0) != (errdefs.ReasonOf(err) == errdefs.Fenced) || (n > 0 && err != nil) {
			t.Errorf("epoch %d: %v", n, err)
		}
	}
}
