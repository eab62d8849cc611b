package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func soon() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 5*time.Second)
}

func TestThreeNodesShareOneRegistry(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for _, name := range r.names {
			r.open(name, "on-"+name)
			if got, err := r.nodes[name].Session(r.Context(), host.SessionID("on-"+name)); err != nil || got.Epoch == 0 {
				r.Errorf("%s doesn't read its own write: %+v (%v)", name, got, err)
			}
		}
		for _, name := range r.names {
			r.eventually(time.Second, "all sessions are everywhere", func() bool { return len(r.nodes[name].Node.machine.sessions()) == 3 })
		}
	})
}

// A voter that can't be reached would stop a sole one for good: see T1 and T2.
func TestNodeThatIsDeadAtOnceStopsNobody(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		dead := memberToWire(Member{ID: newUUID(), Address: "nowhere:1", Nonce: "x", MinVersion: 1, MaxVersion: rulesVersion})
		ctx, cancel := soon()
		defer cancel()
		if err := join(ctx, r.nodes["n1"].Node, dead, ""); err != nil {
			r.Fatal(err)
		}
		for i := range 2 {
			time.Sleep(10 * time.Second)
			r.open("n1", fmt.Sprint(i))
		}
		if v := votersOf(r.nodes["n1"].Node); v != 1 {
			r.Errorf("%d vote", v)
		}
	})
}

// Two voters survive the loss of neither: see T3.
func TestTwoNodesHaveOneVoterAndSurviveTheOther(t *testing.T) {
	t.Parallel()
	inBubble(t, 2, func(r *rig) {
		time.Sleep(5 * time.Second)
		r.voters(1)
		r.kill("n2")
		for i := range 3 {
			time.Sleep(5 * time.Second)
			r.open("n1", fmt.Sprint(i))
		}
		r.start("n2")
		r.open("n2", "after")
	})
}

// Its own address is mended in Raft's configuration: see T4.
func TestSoleNodeStartsAtAnotherAddress(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		r.open("n1", "a")
		for i := range 3 {
			if err := r.nodes["n1"].Close(); err != nil {
				r.Fatal(err)
			}
			r.nodes["n1"].address = fmt.Sprintf("n1:%d", 100+i)
			r.start("n1")
			r.open("n1", fmt.Sprint(i))
		}
		if at := r.nodes["n1"].servers()[0].Address; at != "n1:102" {
			r.Errorf("it's configured at %s", at)
		}
		r.add("n2")
		r.start("n2")
	})
}

// See T5: Raft has the old addresses alone.
func TestAllAddressesChangeAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		r.open("n1", "a")
		r.closeAll()
		for _, name := range r.names {
			r.nodes[name].Node = nil
			r.nodes[name].address = name + ":99"
		}
		r.startTogether()
		r.eventually(5*time.Second, "the session is there", func() bool { _, err := r.nodes["n3"].Session(r.Context(), "a"); return err == nil })
		r.open("n3", "b")
	})
}

// Raft's configuration has the addresses at which nodes joined, and nobody led yet
// who could say where they are now.
func TestNodesThatMovedAndWereKilledFindEachOther(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		r.closeAll()
		for _, name := range r.names {
			r.nodes[name].Node = nil
			r.nodes[name].address = name + ":99"
		}
		r.startTogether()
		r.open("n1", "a")
		for _, name := range r.names {
			r.kill(name)
		}
		var starting sync.WaitGroup
		for _, name := range r.names {
			starting.Go(func() {
				ctx, cancel := soon()
				defer cancel()
				cfg := r.config(name)
				cfg.Join = nil
				n, err := Open(ctx, cfg)
				if err != nil {
					r.Errorf("start %s: %v", name, err)
				}
				r.nodes[name].Node = n
			})
		}
		starting.Wait()
		if !r.Failed() {
			r.open("n3", "b")
		}
	})
}

// Raft waits ever longer, ten seconds in the end, before it tries a lost follower again.
func TestNodeThatWasAwayForLongIsBackAtOnce(t *testing.T) {
	t.Parallel()
	for what, returns := range map[string]func(r *rig, name string){
		"killed": func(r *rig, name string) { r.start(name) },
		"cut off": func(r *rig, name string) {
			r.net.isolate(name, r.names, false)
		},
	} {
		for i := range 2 {
			inBubble(t, 3, func(r *rig) {
				r.voters(3)
				time.Sleep(time.Duration(i) * 777 * time.Millisecond)
				away := r.others(r.leader())[0]
				if what == "killed" {
					r.kill(away)
				} else {
					r.net.isolate(away, r.names, true)
				}
				time.Sleep(time.Minute)
				r.open(r.leader(), "meanwhile")
				began := time.Now()
				returns(r, away)
				r.eventually(20*time.Second, "it has caught up", func() bool {
					_, err := r.nodes[away].Session(r.Context(), "meanwhile")
					return err == nil
				})
				if took := time.Since(began); took > time.Second {
					t.Errorf("%s: it took %s", what, took)
				}
			})
		}
	}
}

// See T6: Raft would point the id at the newcomer.
func TestCopyOfALiveNodeIsRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		leader := r.nodes[r.leader()].Node
		copied := r.nodes["n3"].mesh.self()
		copied.Address, copied.Nonce = "elsewhere:1", "another"
		ctx, cancel := soon()
		defer cancel()
		err := join(ctx, leader, memberToWire(copied), leader.mesh.cluster())
		wantReason(r, err, errdefs.Exists)
		taken := Member{ID: newUUID(), Address: "n3:1", Nonce: "x", MinVersion: 1, MaxVersion: rulesVersion}
		wantReason(r, join(ctx, leader, memberToWire(taken), ""), errdefs.Exists)
		for _, s := range leader.servers() {
			if s.ID == raft.ServerID(copied.ID) && s.Address != "n3:1" {
				r.Errorf("it's configured at %s", s.Address)
			}
		}
		r.open("n3", "a")
	})
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		n := r.nodes["n1"].Node
		n.cfg.Token = "secret"
		one := Member{ID: newUUID(), Address: "x:1", MinVersion: 1, MaxVersion: rulesVersion}
		ctx, cancel := soon()
		defer cancel()
		wantReason(r, join(ctx, n, memberToWire(one), ""), errdefs.PermissionDenied)
		n.cfg.Token = ""
		wantReason(r, join(ctx, n, memberToWire(one), "another"), errdefs.WrongCluster)
		one.MaxVersion = 1
		wantReason(r, join(ctx, n, memberToWire(one), ""), errdefs.VersionMismatch)
		one.ID = ""
		wantReason(r, join(ctx, n, memberToWire(one), ""), errdefs.InvalidArguments)
	})
}

func TestNodeOfItsOwnDoesNotJoinAnotherCluster(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		r.add("n2")
		own := r.config("n2")
		own.Join = nil
		n, err := Open(r.Context(), own)
		if err != nil {
			r.Fatal(err)
		}
		if err := n.Close(); err != nil {
			r.Fatal(err)
		}
		wantReason(r, r.tryStart("n2", 10*time.Second), errdefs.WrongCluster)
	})
}

func TestNodeThatLeavesIsGoneAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	inBubble(t, 4, func(r *rig) {
		r.voters(3)
		for range 3 {
			leader := r.leader()
			ctx, cancel := soon()
			if err := r.nodes[leader].Leave(ctx); err != nil {
				r.Fatalf("%s leaves: %v", leader, err)
			}
			cancel()
			r.nodes[leader].Node = nil
			left := r.others("")
			r.eventually(5*time.Second, "somebody leads", func() bool { return r.leader() != "" })
			r.voters(wanted(len(left)))
			r.open(left[0], "after-"+leader)
			wantReason(r, r.tryStart(leader, 5*time.Second), errdefs.NodeRemoved)
		}
	})
}

func TestDeadNodeIsRemovedByTheOperatorAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		leader := r.leader()
		others := r.others(leader)
		dead := r.nodes[others[0]].ID()
		ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		r.kill(others[0])
		time.Sleep(3 * replaceAfter)
		r.voters(3)
		wantReason(r, r.nodes[leader].Remove(ctx, r.nodes[others[1]].ID()), errdefs.Conflict)
		if err := r.nodes[others[1]].Remove(ctx, dead); err != nil {
			r.Fatal(err)
		}
		r.voters(1)
		wantReason(r, r.tryStart(others[0], 10*time.Second), errdefs.NodeRemoved)
		if err := r.nodes[leader].Forget(ctx, dead); err != nil {
			r.Fatal(err)
		}
		r.nodes[others[0]].memory = newMemory()
		r.start(others[0])
		r.voters(3)
	})
}

func TestLiveNodeIsRemovedOnceItsLeaseHasEnded(t *testing.T) {
	t.Parallel()
	inBubble(t, 4, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		node := r.nodes[victim].Node
		s := r.open(victim, "a")
		ctx, cancel := soon()
		defer cancel()
		held := make(chan bool, 1)
		go func() {
			r.eventually(5*time.Second, "another owns it", func() bool {
				_, epoch, err := r.nodes[r.leader()].Owner(ctx, "a")
				return err == nil && epoch > s.Epoch
			})
			held <- node.Lease().Valid(node.mesh.clock.Now())
		}()
		if err := r.nodes[r.leader()].Remove(ctx, node.ID()); err != nil {
			r.Fatal(err)
		}
		if <-held {
			r.Error("another owned its session within its lease")
		}
		<-node.Done()
		wantReason(r, node.Err(), errdefs.NodeRemoved)
		r.nodes[victim].Node = nil
		r.voters(3)
		wantReason(r, r.nodes[r.leader()].Remove(ctx, r.nodes[r.leader()].ID()), errdefs.Conflict)
	})
}

func TestVoterThatIsLostIsReplacedByOneThatHasCaughtUp(t *testing.T) {
	t.Parallel()
	inBubble(t, 4, func(r *rig) {
		r.voters(3)
		var lost string
		for _, m := range r.nodes[r.leader()].Overview().Members {
			if m.Voter && m.ID != r.nodes[r.leader()].ID() {
				lost = m.Name
			}
		}
		id := r.nodes[lost].ID()
		r.kill(lost)
		time.Sleep(replaceAfter) // without looking, which takes longer
		r.eventually(replaceAfter, "another votes in its place", func() bool {
			for _, m := range r.nodes[r.leader()].Overview().Members {
				if m.ID == id && m.Voter {
					return false
				}
			}
			return votersOf(r.nodes[r.leader()].Node) == 3
		})
	})
}

func TestNodeThatJoinsLateGetsASnapshot(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		n := r.nodes["n1"]
		short := n.raft.ReloadableConfig()
		short.TrailingLogs = 5
		if err := n.raft.ReloadConfig(short); err != nil {
			r.Fatal(err)
		}
		for i := range 50 {
			s := r.open("n1", fmt.Sprint(i))
			if _, err := n.SetState(r.Context(), s.ID, s.Epoch, Change{Key: "k", Value: []byte(s.ID)}); err != nil {
				r.Fatal(err)
			}
		}
		if err := n.raft.Snapshot().Error(); err != nil {
			r.Fatal(err)
		}
		r.add("n2")
		r.start("n2")
		for i := range 50 {
			id := host.SessionID(fmt.Sprint(i))
			if values, err := r.nodes["n2"].State(r.Context(), id); err != nil || string(values["k"].Bytes) != string(id) {
				r.Errorf("%s has %v (%v)", id, values, err)
			}
		}
		if level, cluster := r.nodes["n2"].Node.machine.level(); level != rulesVersion || cluster != n.mesh.cluster() {
			r.Errorf("level %d of cluster %s", level, cluster)
		}
	})
}

func TestNodeWithoutItsLogDoesNotVoteAgain(t *testing.T) {
	t.Parallel()
	d := &disk{dir: t.TempDir(), log: logger(t)}
	if d.log == nil {
		d.log = Config{}.withDefaults().Logger
	}
	if _, err := d.openIdentity(); err != nil {
		t.Fatal(err)
	}
	if err := d.belong("c1", true); err != nil {
		t.Fatal(err)
	}
	_, err := openDisk(d.dir, d.log, func(error) {})
	if err == nil {
		t.Fatal("a member began with an empty log")
	}
	t.Log(err)
}

func wantReason(tb testing.TB, err error, want errdefs.Reason) {
	tb.Helper()
	if got := errdefs.ReasonOf(err); got != want {
		tb.Errorf("error %v has reason %q, want %q", err, got, want)
	}
}

// The leadership that it asked for must not look like a failure to whoever asked.
func TestFollowerThatAsksForAnotherLeaderHearsThatItLeads(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for range 10 {
			leader := r.leader()
			others := r.others(leader)
			ctx, cancel := soon()
			if err := r.nodes[others[0]].Transfer(ctx, r.nodes[others[1]].ID()); err != nil {
				r.Errorf("from %s to %s: %v", leader, others[1], err)
			}
			cancel()
			r.eventually(5*time.Second, "it leads", func() bool { return r.leader() == others[1] })
			time.Sleep(2 * time.Second)
		}
	})
}
