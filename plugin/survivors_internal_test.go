//go:build linux

package plugin

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// survivorOf starts a host with one worker and kills the host.
func survivorOf(t *testing.T) (testHost, host.Process) {
	t.Helper()
	h := newTestHost(t, countingCommand(t))
	p := h.start(t)
	worker := p.ready()["default-1"]
	p.kill()
	if !isAlive(worker) {
		t.Fatal("the worker died with its host")
	}
	return h, worker
}

func reattach(t *testing.T, l *Launcher, h testHost) host.Worker {
	t.Helper()
	w, err := l.Reattach(t.Context(), h.spec("default-1"), toolless{})
	if err != nil {
		t.Fatalf("Reattach: %v", err)
	}
	return w
}

func TestWorkerOutlivesItsHostWithItsMemory(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	begun := time.Now()
	l, lines := h.comeBack(t)
	if got := l.Survivors(); len(got) != 1 || got[0] != (host.Survivor{Worker: "default-1", Pool: "default"}) {
		t.Fatalf("survivors %+v, want default-1 of default", got)
	}
	w := reattach(t, l, h)
	mustCall(t, w, "remember", "2")
	t.Logf("from the ledger's opening to the first call answered: %s", time.Since(begun))
	if got := w.Description().Process; got != before {
		t.Errorf("process %+v, want %+v", got, before)
	}
	if l.cfg.Incarnation != 2 {
		t.Errorf("incarnation %d, want 2", l.cfg.Incarnation)
	}
	mustCall(t, w, "shout", "<nil>")
	lines.await(t, "loud and clear")
	if err := w.Stop(t.Context()); err != nil || w.Err() != nil {
		t.Errorf("Stop: %v, Err: %v", err, w.Err())
	}
	if isAlive(before) {
		t.Error("the worker lives after Stop")
	}
	if left := l.Survivors(); len(left) > 0 {
		t.Errorf("%v is given back a second time", left)
	}
}

func TestDeathOfAReattachedWorkerIsTold(t *testing.T) {
	t.Parallel()
	h, _ := survivorOf(t)
	l, _ := h.comeBack(t)
	w := reattach(t, l, h)
	_, err := callTool(t.Context(), w, "die")
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Reason != errdefs.WorkerCrashed || !e.MayHaveRun || e.Exit == nil || e.Exit.Code != 5 {
		t.Fatalf("%v, want worker_crashed with exit code 5", err)
	}
	if said := strings.Join(e.Exit.Stderr, "\n"); !strings.Contains(said, "last words") {
		t.Errorf("it said %q", said)
	}
	<-w.Done()
}

func TestOldHostIsRefusedOnceAnotherIsAttached(t *testing.T) {
	t.Parallel()
	h, _ := survivorOf(t)
	l, _ := h.comeBack(t)
	w := reattach(t, l, h)
	ours, ok := w.(*worker)
	if !ok {
		t.Fatalf("a %T", w)
	}
	old := &Launcher{cfg: l.cfg}
	old.cfg.Incarnation--
	s := &startup{l: old, spec: h.spec("default-1"), proc: ours.proc}
	_, err := s.attach(t.Context(), dispensed{conn: ours.conn, worker: snakepitv1.NewWorkerClient(ours.conn)})
	if errdefs.ReasonOf(err) != errdefs.Fenced {
		t.Errorf("attach of an older host: %v, want fenced", err)
	}
	mustCall(t, w, "remember", "2")
}

func TestForsakenSurvivorEnds(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	l, _ := h.comeBack(t)
	l.Forsake("default-1")
	t.Logf("gone after %s", awaitGone(t, before))
	if _, err := l.Reattach(t.Context(), h.spec("default-1"), toolless{}); errdefs.ReasonOf(err) != errdefs.WorkerNotFound {
		t.Errorf("Reattach after Forsake: %v", err)
	}
	l.Forsake("default-1") // does nothing
}

// TestWorkerThatTheLedgerNamesWronglyIsEnded: and whoever has the pid that stands
// there isn't touched.
func TestWorkerThatTheLedgerNamesWronglyIsEnded(t *testing.T) {
	t.Parallel()
	stranger := sleeper(t)
	for name, forge := range map[string]func(*ledger.Identity){
		"start time": func(id *ledger.Identity) { id.StartTime-- },
		"boot":       func(id *ledger.Identity) { id.Boot = "another" },
		"pid":        func(id *ledger.Identity) { id.PID = stranger.PID },
		"stranger, at another boot": func(id *ledger.Identity) {
			id.Process, id.Boot = stranger, "another"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, before := survivorOf(t)
			h.forge(t, func(rec *ledger.Record) { forge(&rec.Process) })
			l, _ := h.comeBack(t)
			if got := l.Survivors(); len(got) > 0 {
				t.Errorf("survivors %+v, want none", got)
			}
			if isAlive(before) {
				t.Error("the worker lives on, and nobody will ever ask for it")
			}
			if !isAlive(stranger) {
				t.Fatal("a stranger was killed")
			}
		})
	}
}

// forge changes the one record in the ledger.
func (h testHost) forge(t *testing.T, change func(*ledger.Record)) {
	t.Helper()
	l, err := ledger.Open(h.ledgerPath(), ledger.Options{LockTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	all, err := l.Records()
	if err != nil || len(all) != 1 {
		t.Fatalf("%d records (%v), want 1", len(all), err)
	}
	rec := all[0]
	change(&rec)
	err = errors.Join(l.Erase(rec.Worker), l.Intend(rec), l.Identify(rec.Worker, rec.Process), l.Complete(rec.Worker, rec.Reattach), l.Close())
	if err != nil {
		t.Fatal(err)
	}
}

func TestWorkerThatDoesNotAnswerIsEndedInTime(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	if err := syscall.Kill(before.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	l, _ := h.comeBack(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // less than reattachTimeout, so that the test doesn't take as long
	defer cancel()
	begun := time.Now()
	_, err := l.Reattach(ctx, h.spec("default-1"), toolless{})
	if err == nil {
		t.Error("a stopped worker was reattached")
	}
	t.Logf("given up after %s: %v", time.Since(begun), err)
	if isAlive(before) {
		t.Error("it lives on")
	}
}

// TestWorkerStuckInCIsEndedInTime: it holds the GIL since before its host's death,
// so it can't answer at all.
func TestWorkerStuckInCIsEndedInTime(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	records, err := ledger.Open(h.ledgerPath(), ledger.Options{LockTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	first := NewLauncher(Config{Dir: h.Dir, Host: "test", Instance: h.Instance, Ledger: records, OrphanGrace: patience})
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	w, err := first.Launch(t.Context(), h.spec("default-1"), toolless{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Start(t.Context(), host.Invocation{ID: "c", Tool: "stuck", Payload: []byte("\x80")}); err != nil {
		t.Fatal(err)
	}
	leave(t, first, w, end, ended)
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	awaitGILHeld(t, w.Description().Process.PID)

	l, _ := h.comeBack(t)
	bounded, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := l.Reattach(bounded, h.spec("default-1"), toolless{}); err == nil {
		t.Error("a stuck worker was reattached")
	}
	if isAlive(w.Description().Process) {
		t.Error("it lives on")
	}
}

// awaitGILHeld waits until the worker's main thread sits in the futex that it will never get.
func awaitGILHeld(t *testing.T, pid int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		s, err := proc.Read(pid)
		if err != nil {
			t.Fatal(err)
		}
		if s.State == 'S' {
			return
		}
	}
	t.Fatal("the worker isn't stuck")
}

// leave hands workers over to a later launcher.
func leave(t *testing.T, l *Launcher, w host.Worker, end context.CancelFunc, ended <-chan error) {
	t.Helper()
	w.(host.Leaver).Leave() //nolint:errcheck,forcetypeassert // it's ours
	if err := w.Err(); err != nil {
		t.Errorf("Err after Leave: %v", err)
	}
	if err := l.Leave(patience); err != nil {
		t.Fatalf("Leave: %v", err)
	}
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestWorkerThatDiedBetweenTheHostsIsForgotten(t *testing.T) {
	t.Parallel()
	h, before := survivorOf(t)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, before)
	l, _ := h.comeBack(t)
	if got := l.Survivors(); len(got) > 0 {
		t.Errorf("survivors %+v, want none", got)
	}
	if all, err := l.cfg.Ledger.Records(); err != nil || len(all) > 0 {
		t.Errorf("the ledger holds %+v (%v), want nothing", all, err)
	}
	if dirs, err := filepath.Glob(filepath.Join(h.Dir, "????????????")); err != nil || len(dirs) > 0 {
		t.Errorf("folders are left: %v %v", dirs, err)
	}
}

func TestPlannedHandoverKeepsMemory(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	for round := range 3 {
		l, records, err := h.launcher(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		var w host.Worker
		if round == 0 {
			w, err = l.Launch(t.Context(), h.spec("default-1"), toolless{})
		} else {
			w, err = l.Reattach(t.Context(), h.spec("default-1"), toolless{})
		}
		if err != nil {
			t.Fatal(err)
		}
		mustCall(t, w, "remember", string(rune('1'+round)))
		leave(t, l, w, end, ended)
		if err := records.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, _ := h.comeBack(t)
	mustCall(t, reattach(t, l, h), "remember", "4")
}

// TestWorkersOfTwoDeadHostsGoOnTogether: the second of them found nothing, since it
// didn't look.
func TestWorkersOfTwoDeadHostsGoOnTogether(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	all := []host.WorkerID{"default-1", "default-2"}
	for _, id := range all {
		h.Workers = []host.WorkerID{id}
		p := h.start(t)
		p.ready()
		p.kill()
	}
	l, _ := h.comeBack(t) // whose end is that of both pairs
	for _, id := range all {
		w, err := l.Reattach(t.Context(), h.spec(id), toolless{})
		if err != nil {
			t.Fatal(err)
		}
		mustCall(t, w, "remember", "2")
	}
}
