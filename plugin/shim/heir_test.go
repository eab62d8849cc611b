//go:build linux

package shim_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// inherit has another host take over a pair whose own is gone.
func inherit(t *testing.T, h *hostProcess) *pair {
	t.Helper()
	settings := h.cfg.Settings
	settings.Deadline = 1
	c, err := shim.AttachHeir(h.socket, h.cfg.Instance, settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.End() }) // most have
	return run(c, h.cfg.Dir)
}

// refused makes sure that a shim has a host, and says what it tells of that.
func refused(t *testing.T, h *hostProcess, by func(socket, instance string, s shim.Settings) (*shim.Client, error)) *shim.AttachedError {
	t.Helper()
	c, err := by(h.socket, h.cfg.Instance, h.cfg.Settings)
	var attached *shim.AttachedError
	if !errors.As(err, &attached) {
		t.Fatalf("%v, %v; want that the shim has a host", c, err)
	}
	return attached
}

func idle(worker string) *shim.Spawn {
	return &shim.Spawn{
		Worker: worker, Token: "token-" + worker, Path: "/bin/sh", Args: []string{"sh", "-c", "while :; do sleep 60; done"},
		Env: []string{"PATH=/usr/bin:/bin", "SNAKEPIT_WORKER_TOKEN=token-" + worker}, Dir: "/",
	}
}

func awaitEnd(t *testing.T, id proc.ID) {
	t.Helper()
	until(t, "the host is dead", func() bool { return !alive(id) })
}

func TestAnHeirIsRefusedWhileTheHostLives(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(h *hostProcess){
		"at work":     func(*hostProcess) {},
		"stopped":     func(h *hostProcess) { h.signal(t, unix.SIGSTOP) },
		"has let go":  func(h *hostProcess) { h.tell(t, order{Detach: true}) },
		"another one": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Grace = patience
			h := startHost(t, cfg)
			worker := identify(t, h.tell(t, order{Spawn: idle("w")}).PID)
			if prepare == nil {
				h.signal(t, unix.SIGKILL)
				awaitEnd(t, h.id)
				heir := inherit(t, h)
				if got := refused(t, h, shim.AttachHeir); !got.Heir {
					t.Errorf("a second heir hears %+v", got)
				}
				heir.finish(t)
				return
			}
			prepare(h)
			if got := refused(t, h, shim.AttachHeir); got.PID != h.id.PID || got.Heir || len(got.Kept) > 0 {
				t.Errorf("it hears %+v, want process %d alone", got, h.id.PID)
			}
			if !alive(worker) {
				t.Error("the worker of a live host is dead")
			}
			h.signal(t, unix.SIGKILL)
			awaitEnd(t, h.id)
			heir := inherit(t, h)
			if got := heir.Survivors(); len(got) != 1 || got[0].ID() != worker {
				t.Errorf("the heir finds %+v, want process %d", got, worker.PID)
			}
			heir.finish(t)
			awaitGone(t, worker)
		})
	}
}

func TestAnHeirOfAnotherInstanceIsRefused(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	h := startHost(t, cfg)
	h.signal(t, unix.SIGKILL)
	awaitEnd(t, h.id)
	if c, err := shim.AttachHeir(h.socket, "other", cfg.Settings); err == nil {
		t.Errorf("%v has the workers of another instance", c)
	}
	inherit(t, h).finish(t)
}

// A host that comes back hears whom it has to leave alone, and is the shim's again when
// the heir is gone too.
func TestAHostThatComesBackHearsOfItsHeir(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Grace = patience
	h := startHost(t, cfg)
	worker := identify(t, h.tell(t, order{Spawn: idle("w")}).PID)
	h.signal(t, unix.SIGKILL)
	awaitEnd(t, h.id)
	heir := inherit(t, h)
	if !heir.Heir() || heir.Guard() != h.guard {
		t.Errorf("heir: %t, guard %+v, want %+v", heir.Heir(), heir.Guard(), h.guard)
	}
	ch := heir.Survivors()[0]
	ch.Adopt(newSink())
	if err := ch.SetNote("ours now"); err != nil {
		t.Fatal(err)
	}
	got := refused(t, h, shim.Attach)
	if !got.Heir || len(got.Kept) != 1 || got.Kept[0] != (shim.Kept{Worker: "w", Token: "token-w", Note: "ours now"}) {
		t.Errorf("it hears %+v", got)
	}
	if err := heir.Detach(patience); err != nil {
		t.Fatal(err)
	}
	<-heir.ran
	next := attach(t, h.socket, cfg)
	if got := next.Survivors(); len(got) != 1 || got[0].ID() != worker || next.Heir() {
		t.Errorf("the host finds %+v, want process %d", got, worker.PID)
	}
	if got := refused(t, h, shim.AttachHeir); got.Heir {
		t.Errorf("an heir hears %+v", got)
	}
	next.finish(t)
}

func TestWhatIsFrozenStaysFrozenForAnHeirWithoutALease(t *testing.T) {
	t.Parallel()
	for _, cgroups := range []bool{false, true} {
		cfg := config(t)
		cfg.Grace, cfg.Cgroups = patience, cgroups
		h := startHost(t, cfg)
		for _, w := range []string{"marked", "free"} {
			spawn := tickingSpawn(cfg.Dir, w)
			h.tell(t, order{Spawn: &spawn})
			awaitTicks(t, cfg.Dir, w, 3)
		}
		h.tell(t, order{Enter: "marked"})
		ended := int64(1)
		h.tell(t, order{Deadline: &ended})
		h.await(t, "frozen true")
		h.signal(t, unix.SIGKILL)
		awaitEnd(t, h.id)
		heir := inherit(t, h)
		checkFrozen(t, cfg.Dir, shim.Boottime())
		before := readTicks(t, cfg.Dir, "marked")
		if err := heir.SetLease(0); err != nil {
			t.Fatal(err)
		}
		if err := heir.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		checkThawed(t, cfg.Dir, before)
		heir.finish(t)
		if err := heir.Settle(t.Context()); !errors.Is(err, shim.ErrGone) {
			t.Errorf("Settle after the end: %v", err)
		}
	}
}
