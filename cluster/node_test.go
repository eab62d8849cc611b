package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// open opens the registry in dir, for the test's own time.
func open(tb testing.TB, dir string) *cluster.Node {
	tb.Helper()
	n, err := cluster.Open(tb.Context(), cluster.Config{Dir: dir})
	if err != nil {
		tb.Fatalf("open %s: %v", dir, err)
	}
	tb.Cleanup(func() { _ = n.Close() })
	return n
}

func closed(tb testing.TB, n *cluster.Node) {
	tb.Helper()
	if err := n.Close(); err != nil {
		tb.Fatalf("close: %v", err)
	}
}

func session(id string) host.Session {
	return host.Session{
		ID: host.SessionID(id), Pool: "ml", Home: "w1", TTL: time.Hour,
		Metadata: map[string]string{"user": "7"}, OpenedAt: time.Unix(1_700_000_000, 5).UTC(),
	}
}

func mustOpen(tb testing.TB, n *cluster.Node, id string) host.Session {
	tb.Helper()
	s, err := n.OpenSession(context.WithoutCancel(tb.Context()), session(id))
	if err != nil {
		tb.Fatalf("open session %s: %v", id, err)
	}
	return s
}

func wantReason(tb testing.TB, err error, want errdefs.Reason) {
	tb.Helper()
	if got := errdefs.ReasonOf(err); got != want {
		tb.Errorf("error %v has reason %q, want %q", err, got, want)
	}
}

func contents(tb testing.TB, n *cluster.Node) ([]host.Session, []host.ProcessRecord) {
	tb.Helper()
	sessions, err := n.Sessions(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	processes, err := n.Processes(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return sessions, processes
}

func TestNodeKeepsTheContracts(t *testing.T) {
	t.Parallel()
	hosttest.TestRegistry(t, func(t *testing.T) host.Registry { t.Helper(); return open(t, t.TempDir()) })
	hosttest.TestProcessRegistry(t, func(t *testing.T) host.ProcessRegistry { t.Helper(); return open(t, t.TempDir()) })
	hosttest.TestStateRegistry(t, func(t *testing.T) hosttest.SessionsWithState { t.Helper(); return open(t, t.TempDir()) })
}

func TestReopenedRegistryHasEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := open(t, dir)
	a, b := mustOpen(t, n, "a"), mustOpen(t, n, "b")
	b, err := n.BindSession(t.Context(), "b", "w2", b.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, n, "c")
	if err := n.CloseSession(t.Context(), "c", true); err != nil {
		t.Fatal(err)
	}
	p, err := n.ClaimProcess(t.Context(), host.ProcessRecord{Worker: "w2", Pool: "ml", Node: "n1", Process: host.Process{PID: 7, StartTime: 9}})
	if err != nil {
		t.Fatal(err)
	}
	id := n.ID()
	for range 3 {
		closed(t, n)
		n = open(t, dir)
		sessions, processes := contents(t, n)
		if d := cmp.Diff([]host.Session{a, b}, sessions); d != "" {
			t.Errorf("sessions (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]host.ProcessRecord{p}, processes); d != "" {
			t.Errorf("processes (-want +got):\n%s", d)
		}
		if _, err := n.Session(t.Context(), "c"); errdefs.ReasonOf(err) != errdefs.SessionExpired {
			t.Errorf("the expired session: %v", err)
		}
		if n.ID() != id {
			t.Errorf("the node was %s and is %s", id, n.ID())
		}
	}
}

func TestEpochsGrowOverReopening(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	last := uint64(0)
	for i := range 4 {
		n := open(t, dir)
		s := mustOpen(t, n, fmt.Sprint("s", i))
		if s.Epoch <= last {
			t.Errorf("epoch %d after %d", s.Epoch, last)
		}
		last = s.Epoch
		closed(t, n)
	}
}

func TestQuotaIsKept(t *testing.T) {
	t.Parallel()
	n, err := cluster.Open(t.Context(), cluster.Config{Dir: t.TempDir(), MaxSessions: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	mustOpen(t, n, "a")
	mustOpen(t, n, "b")
	_, err = n.OpenSession(t.Context(), session("c"))
	wantReason(t, err, errdefs.SessionQuota)
	mustOpen(t, n, "a") // is there already
	if err := n.CloseSession(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, n, "c")
}

func TestClosedNodeRefusesEverything(t *testing.T) {
	t.Parallel()
	n := open(t, t.TempDir())
	mustOpen(t, n, "a")
	closed(t, n)
	closed(t, n)
	if err := n.Err(); err != nil {
		t.Errorf("Err after Close: %v", err)
	}
	_, err := n.OpenSession(t.Context(), session("b"))
	wantReason(t, err, errdefs.NoQuorum)
	_, err = n.Session(t.Context(), "a")
	wantReason(t, err, errdefs.NoQuorum)
	_, err = n.Sessions(t.Context())
	wantReason(t, err, errdefs.NoQuorum)
	wantReason(t, n.ReleaseProcess(t.Context(), "w"), errdefs.NoQuorum)
}

func TestSecondNodeInADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := open(t, dir)
	mustOpen(t, n, "a")
	_, err := cluster.Open(t.Context(), cluster.Config{Dir: dir})
	wantReason(t, err, errdefs.Conflict)
	mustOpen(t, n, "b") // goes on unharmed
}

func TestContextEndsAWriteAndAStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.OpenSession(ctx, session("a"))
	wantReason(t, err, errdefs.Cancelled)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v isn't context.Canceled", err)
	}
	closed(t, n)
	_, err = cluster.Open(ctx, cluster.Config{Dir: dir})
	wantReason(t, err, errdefs.Cancelled)
	open(t, dir)
}

func TestBadConfigIsRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]cluster.Config{
		"no directory":  {},
		"a negative":    {Dir: t.TempDir(), MaxSessions: -1},
		"more than fit": {Dir: t.TempDir(), MaxSessions: 1_000_001},
	} {
		_, err := cluster.Open(t.Context(), cfg)
		if errdefs.ReasonOf(err) != errdefs.InvalidConfig {
			t.Errorf("%s: %v, want invalid_config", name, err)
		}
	}
}

func TestBadInputIsRefusedBeforeItIsWritten(t *testing.T) {
	t.Parallel()
	n := open(t, t.TempDir())
	bad := session("a")
	bad.Pool = "\xff"
	_, err := n.OpenSession(t.Context(), bad)
	wantReason(t, err, errdefs.InvalidArguments)
	bad = session("a")
	bad.Metadata = map[string]string{"k": string(make([]byte, 5000))}
	_, err = n.OpenSession(t.Context(), bad)
	wantReason(t, err, errdefs.InvalidArguments)
	wantReason(t, n.CloseSession(t.Context(), "", false), errdefs.InvalidArguments)
	wantReason(t, n.ReleaseProcess(t.Context(), ""), errdefs.InvalidArguments)
	if sessions, _ := contents(t, n); len(sessions) > 0 {
		t.Errorf("sessions %v", sessions)
	}
}

// TestNodeLivesInABubble opens, writes and closes in fake time, on real files: an
// hour passes meanwhile, and with it every timer of Raft's.
func TestNodeLivesInABubble(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := open(t, dir)
		first := mustOpen(t, n, "a")
		time.Sleep(time.Hour)
		second := mustOpen(t, n, "b")
		closed(t, n)
		n = open(t, dir)
		sessions, _ := contents(t, n)
		if d := cmp.Diff([]host.Session{first, second}, sessions); d != "" {
			t.Errorf("sessions (-want +got):\n%s", d)
		}
		closed(t, n)
	})
}
