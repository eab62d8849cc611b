package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// homed opens a session on a node, and gives it a home there.
func (r *rig) homed(on, id string) host.Session {
	r.Helper()
	s := r.open(on, id)
	ctx, cancel := soon()
	defer cancel()
	s, err := r.nodes[on].BindSession(ctx, s.ID, host.WorkerID("w-"+id), s.Epoch)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// pause has a node say that it's back soon, and end.
func (r *rig) pause(name string, within time.Duration) {
	r.Helper()
	ctx, cancel := soon()
	defer cancel()
	if err := r.nodes[name].Pause(ctx, within); err != nil {
		r.Fatal(err)
	}
	if err := r.nodes[name].Close(); err != nil {
		r.Fatal(err)
	}
	r.nodes[name].Node = nil
}

// kept waits until a session is owned by the present start of a node, and reports
// what it has lost.
func (r *rig) kept(name string, was host.Session) {
	r.Helper()
	r.eventually(time.Second, "it owns its session again", func() bool {
		s, err := r.nodes[name].Session(r.Context(), was.ID)
		self, holds := r.nodes[name].Self()
		return err == nil && holds && s.Owner == self
	})
	s, _ := r.nodes[name].Session(r.Context(), was.ID)
	if s.Epoch != was.Epoch || s.Home != was.Home || s.Owner.Incarnation <= was.Owner.Incarnation {
		r.Errorf("it was %+v and is %+v", was, s)
	}
	r.eventually(time.Second, "the host is told", func() bool { return r.nodes[name].ownedBy() > 0 })
}

func TestNodeThatPausesLosesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for _, victim := range []string{r.others(r.leader())[0], r.leader()} {
			s := r.homed(victim, "of-"+victim)
			r.pause(victim, 2*time.Minute)
			for _, other := range r.others(victim) {
				time.Sleep(30 * time.Second)
				if owner, epoch, err := r.nodes[other].Owner(r.Context(), s.ID); err != nil || owner != s.Owner || epoch != s.Epoch {
					r.Errorf("%s sees it at %+v under %d (%v)", other, owner, epoch, err)
				}
				r.open(other, "meanwhile-"+victim+other)
			}
			began := time.Now()
			r.start(victim)
			r.kept(victim, s)
			if took := r.nodes[victim].first.Sub(began); took > 100*time.Millisecond {
				r.Errorf("%s waited %s for its own lease", victim, took)
			}
			r.voters(3)
			r.eventually(time.Second, "it's up", func() bool {
				return r.nodes[victim].Node.machine.member(r.nodes[victim].ID()).Status == StatusUp
			})
			r.open(victim, "after-"+victim)
		}
	})
}

func TestPauseOutlivesTheLeaderWhoSawIt(t *testing.T) {
	t.Parallel()
	inBubble(t, 4, func(r *rig) {
		r.voters(3)
		leader := r.leader()
		victim := r.others(leader)[2]
		s := r.homed(victim, "a")
		r.pause(victim, 20*time.Second)
		ctx, cancel := soon()
		defer cancel()
		if err := r.nodes[leader].Transfer(ctx, ""); err != nil {
			r.Fatal(err)
		}
		r.eventually(5*time.Second, "another leads", func() bool { return r.leader() != "" && r.leader() != leader })
		time.Sleep(15 * time.Second)
		r.start(victim)
		r.kept(victim, s)
	})
}

func TestNodeThatIsNotBackInTimeIsDead(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		s := r.homed(victim, "a")
		r.pause(victim, 10*time.Second)
		began := time.Now()
		other := r.others(victim)[0]
		r.eventually(20*time.Second, "another owns it", func() bool {
			owner, epoch, err := r.nodes[other].Owner(r.Context(), "a")
			return err == nil && owner.Node != s.Owner.Node && epoch > s.Epoch
		})
		if took := time.Since(began); took < 9*time.Second || took > 11*time.Second {
			r.Errorf("it took %s", took)
		}
		r.start(victim)
	})
}

// One that is killed in its pause never gave its lease back: its next start waits for
// that, unless it leads itself, and owns the same.
func TestNodeThatIsKilledInItsPauseLosesNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for _, victim := range []string{r.others(r.leader())[0], r.leader()} {
			s := r.homed(victim, "of-"+victim)
			ctx, cancel := soon()
			if err := r.nodes[victim].Pause(ctx, time.Minute); err != nil {
				r.Fatal(err)
			}
			cancel()
			last := r.nodes[victim].Lease().Deadline
			clock := r.nodes[victim].mesh.clock
			r.kill(victim)
			r.start(victim)
			if now := clock.Now(); now < last && r.leader() != victim {
				r.Errorf("it was registered %s before its last lease ended", last-now)
			}
			r.kept(victim, s)
		}
	})
}

func TestNodeThatPausedAndGoesOnIsAsBefore(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		n := r.nodes[victim]
		s := r.homed(victim, "a")
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		is := func(want Status) func() bool {
			return func() bool { return n.Node.machine.member(n.ID()).Status == want }
		}
		if err := n.Pause(ctx, 10*time.Second); err != nil || !is(StatusPausing)() {
			r.Fatal(err)
		}
		_, err := n.OpenSession(ctx, host.Session{ID: "new", Pool: "ml"})
		wantReason(r, err, errdefs.Fenced)
		if got, err := r.nodes[r.leader()].Place(ctx, "ml", 3000); err != nil || counted(got)[n.ID()] != 0 {
			r.Errorf("it gets new sessions: %v (%v)", counted(got), err)
		}
		time.Sleep(5 * time.Second)
		if !n.Lease().Valid(n.mesh.clock.Now()) || !is(StatusPausing)() {
			r.Error("it hasn't ended yet, and has no lease")
		}
		if err := n.Pause(ctx, 0); err != nil || !is(StatusUp)() {
			r.Fatal(err)
		}
		if err := n.Pause(ctx, 3*time.Second); err != nil {
			r.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if !is(StatusPausing)() {
			r.Error("it was up too soon")
		}
		r.eventually(2*time.Second, "it's up, since it never ended", is(StatusUp))
		if now, err := n.Session(ctx, "a"); err != nil || now.Epoch != s.Epoch || now.Owner != s.Owner {
			r.Errorf("it was %+v and is %+v (%v)", s, now, err)
		}
		wantReason(r, n.Pause(ctx, time.Hour), errdefs.InvalidArguments)
		wantReason(r, n.Pause(ctx, -1), errdefs.InvalidArguments)
	})
}

func TestSessionsWaitForTheirNodeAsLongAsItWants(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].rehomeAfter = 20 * time.Second
		}
	}, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		other := r.others(victim)[0]
		s := r.open(victim, "a")
		r.kill(victim)
		time.Sleep(15 * time.Second)
		if owner, _, err := r.nodes[other].Owner(r.Context(), "a"); err != nil || owner != s.Owner {
			r.Errorf("it went to %+v (%v)", owner, err)
		}
		r.start(victim)
		r.eventually(3*time.Second, "its node owns it", func() bool {
			owner, epoch, err := r.nodes[victim].Owner(r.Context(), "a")
			self, _ := r.nodes[victim].Self()
			return err == nil && owner == self && epoch > s.Epoch
		})
		r.kill(victim)
		began := time.Now()
		r.eventually(30*time.Second, "another owns it", func() bool {
			owner, _, err := r.nodes[other].Owner(r.Context(), "a")
			return err == nil && owner.Node != s.Owner.Node
		})
		if took := time.Since(began); took < 20*time.Second || took > 23*time.Second {
			r.Errorf("it took %s", took)
		}
	})
}

// local opens a session that never leaves its node.
func (r *rig) local(on, id string) host.Session {
	r.Helper()
	ctx, cancel := soon()
	defer cancel()
	s, err := r.nodes[on].OpenSession(ctx, host.Session{ID: host.SessionID(id), Pool: "ml", Home: "w", Availability: host.AvailabilityLocal})
	if err != nil || s.Availability != host.AvailabilityLocal {
		r.Fatalf("%+v (%v)", s, err)
	}
	return s
}

func TestLocalSessionStaysOnItsNodeWhileThatIsAMember(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		other := r.others(victim)[0]
		s, strict := r.local(victim, "a"), r.open(victim, "b")

		r.net.isolate(victim, r.names, true)
		time.Sleep(10 * time.Second)
		if owner, _, err := r.nodes[other].Owner(r.Context(), "b"); err != nil || owner == strict.Owner {
			r.Errorf("a strict one stayed at %+v (%v)", owner, err)
		}
		if owner, epoch, err := r.nodes[other].Owner(r.Context(), "a"); err != nil || owner != s.Owner || epoch != s.Epoch {
			r.Errorf("it's at %+v under %d (%v)", owner, epoch, err)
		}
		self, holds := r.nodes[victim].Self()
		if mine, err := r.nodes[victim].Session(r.Context(), "a"); err != nil || holds || mine.Owner.Node != self.Node {
			r.Errorf("its node doesn't know that it's its own: %+v, %+v (%v)", mine, self, err)
		}
		_, err := r.nodes[victim].SetState(r.Context(), "a", s.Epoch, Change{Key: "k", Value: []byte("v")})
		wantReason(r, err, errdefs.NoQuorum)
		r.net.isolate(victim, r.names, false)
		r.kept(victim, s)

		r.kill(victim)
		time.Sleep(10 * time.Second)
		r.start(victim)
		r.kept(victim, s)

		id := r.nodes[victim].ID()
		r.kill(victim)
		ctx, cancel := soon()
		defer cancel()
		r.add("n4") // so that enough are left
		r.start("n4")
		if err := r.nodes[other].Remove(ctx, id); err != nil {
			r.Fatal(err)
		}
		r.eventually(2*time.Second, "another owns it", func() bool {
			owner, epoch, err := r.nodes[other].Owner(r.Context(), "a")
			return err == nil && owner.Node != id && epoch > s.Epoch
		})
	})
}
