//go:build integration && linux

package integration_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/integration/program"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

func TestASecondHostIsRefusedWhateverStateTheFirstIsIn(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "victims.py") + ":Victim"
	s := p.serve(t, adapter, "--workers", "2")
	workers := entryIDs(p.workers(t, 2))
	refused := func(state string) {
		t.Helper()
		got := p.run(t, "serve", "--adapter", adapter, "--set", "python="+program.Python(t))
		if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, strconv.Itoa(s.cmd.Process.Pid)) {
			t.Errorf("while the first is %s: %+v, want exit 1 that names process %d", state, got, s.cmd.Process.Pid)
		}
	}
	refused("live")
	host := hold(t, s.id(t))
	host.Signal(unix.SIGSTOP)
	refused("stopped")
	host.Signal(unix.SIGCONT)
	if now := entryIDs(p.workers(t, 2)); !slices.Equal(now, workers) {
		t.Errorf("the first host's workers are %v, and were %v", now, workers)
	}
	if err := dial(t, s).Call(t.Context(), "pid", nil, nil); err != nil {
		t.Error(err)
	}
}

// neighbour is one of two hosts of one user.
type neighbour struct {
	*server

	data    string
	client  *client.Client
	workers []proc.ID
}

// move starts a host on a data directory of its own.
func (p *place) move(t *testing.T, name, adapter string, set ...string) *neighbour {
	t.Helper()
	n := &neighbour{data: filepath.Join(p.dir, name)}
	before := p.allWorkers(t)
	n.server = p.serve(t, adapter, append([]string{"--workers", "2", "--data-dir", n.data}, set...)...)
	n.client = dial(t, n.server)
	n.workers = slices.DeleteFunc(p.allWorkers(t), func(id proc.ID) bool { return slices.Contains(before, id) })
	return n
}

func (p *place) allWorkers(t *testing.T) []proc.ID {
	t.Helper()
	return entryIDs(slices.DeleteFunc(p.census(t), func(e census.Entry) bool { return e.Token == "" }))
}

// wantUndisturbed checks that a host's workers are those it had.
func (n *neighbour) wantUndisturbed(t *testing.T, p *place, what string) {
	t.Helper()
	alive := p.allWorkers(t)
	for _, w := range n.workers {
		if !slices.Contains(alive, w) {
			t.Errorf("%s: worker %v of the host on %s is gone", what, w, n.data)
		}
	}
	if pid, err := snakepit.Call[int](t.Context(), n.client, "pid", nil); err != nil || !slices.ContainsFunc(n.workers, func(w proc.ID) bool { return w.PID == pid }) {
		t.Errorf("%s: process %d answers, %v; want one of %v", what, pid, err, n.workers)
	}
}

func TestHostsNeverTouchEachOthersWorkers(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "victims.py") + ":Victim"
	quiet := p.move(t, "quiet", adapter)
	const graceless = "orphan_grace=0"
	dying := p.move(t, "dying", adapter, "--set", graceless)
	ended := make(chan error, 1)
	go func() { ended <- dying.client.Call(t.Context(), "brood", nil, nil) }()
	p.runner(t, "brood", slices.DeleteFunc(p.census(t), func(e census.Entry) bool { return e.Token == "" }))

	pair := dying.pair(t)
	hold(t, pair.Guard, pair.Shim, dying.id(t)).Signal(unix.SIGKILL)
	dying.stop(t, unix.SIGKILL) // reaps it
	if err := <-ended; err == nil {
		t.Error("the call of the dead host succeeded")
	}
	quiet.wantUndisturbed(t, p, "its neighbour was killed with all that kept it")
	third := p.move(t, "third", adapter)
	quiet.wantUndisturbed(t, p, "a third host came")
	again := p.move(t, "dying", adapter, "--set", graceless)
	quiet.wantUndisturbed(t, p, "its neighbour was swept")
	third.wantUndisturbed(t, p, "its neighbour was swept")
	again.wantUndisturbed(t, p, "it came back")

	third.stop(t, unix.SIGKILL) // its workers wait
	again.stop(t, unix.SIGTERM)
	again = p.move(t, "dying", adapter, "--set", graceless)
	quiet.wantUndisturbed(t, p, "a neighbour waits for its host")
	back := p.move(t, "third", adapter)
	if len(back.workers) > 0 {
		t.Errorf("the host that came back started %v; %v were its own", back.workers, third.workers)
	}
	back.workers = third.workers
	back.wantUndisturbed(t, p, "it came back within the grace")
	again.wantUndisturbed(t, p, "another came back")
}
