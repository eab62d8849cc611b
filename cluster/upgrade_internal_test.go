package cluster

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// newWrites are what only version 3 of the rules has.
func newWrites(r *rig, on string) map[string]error {
	n := r.nodes[on]
	ctx, cancel := soon()
	defer cancel()
	_, local := n.OpenSession(ctx, host.Session{ID: host.SessionID("local-on-" + on), Pool: "ml", Availability: host.AvailabilityLocal})
	all := map[string]error{
		"local session": local,
		"tools":         n.PublishTools(ctx, []host.OfferedTool{{Tool: host.Tool{Name: "on-" + on}}}),
		"token":         n.AddToken(ctx, Token{Hash: [32]byte{byte(len(on))}, Uses: 1}),
		"spent":         n.SpendToken(ctx, [32]byte{byte(len(on))}, "somebody"),
		"override":      n.SetPoolOverride(ctx, "ml", map[string]string{"max": "9"}),
		"pause":         n.Pause(ctx, time.Second),
	}
	if all["pause"] == nil {
		all["pause"] = n.Pause(ctx, 0)
	}
	return all
}

// oldWrites are what version 2 has as well.
func oldWrites(r *rig, on string, round int) {
	r.Helper()
	n := r.nodes[on]
	ctx, cancel := soon()
	defer cancel()
	s, err := n.OpenSession(ctx, host.Session{ID: host.SessionID(fmt.Sprint(on, "-", round)), Pool: "ml", Availability: host.AvailabilityStrict})
	if err != nil {
		r.Fatalf("open on %s: %v", on, err)
	}
	if _, err := n.SetState(ctx, s.ID, s.Epoch, Change{Key: "k", Value: []byte("v")}); err != nil {
		r.Errorf("state on %s: %v", on, err)
	}
	if s, err = n.BindSession(ctx, s.ID, "w1", s.Epoch); err != nil {
		r.Errorf("bind on %s: %v", on, err)
	}
	worker := host.WorkerID(fmt.Sprint("w-", on, "-", round))
	if _, err := n.ClaimProcess(ctx, host.ProcessRecord{Worker: worker, Pool: "ml", Node: on}); err != nil {
		r.Errorf("claim on %s: %v", on, err)
	}
	if err := n.ReleaseProcess(ctx, worker); err != nil {
		r.Errorf("release on %s: %v", on, err)
	}
	if err := n.CloseSession(ctx, s.ID, false); err != nil {
		r.Errorf("close on %s: %v", on, err)
	}
}

// TestClusterIsUpgradedNodeByNode runs nodes of the rules before beside those of now:
// whoever leads, and whoever asks.
func TestClusterIsUpgradedNodeByNode(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].rules, r.nodes[name].rehomeAfter = rulesVersion-1, time.Minute
		}
	}, func(r *rig) {
		r.voters(3)
		for round := range 4 {
			for _, name := range r.names {
				oldWrites(r, name, round)
				r.wantNew(name, round == 3)
			}
			if round == 3 {
				break
			}
			next := r.names[round]
			r.restart(next, rulesVersion)
			r.voters(3)
			time.Sleep(time.Second) // for whatever follows from it
		}
		for _, m := range r.nodes["n1"].Overview().Members {
			if m.RehomeAfter != time.Minute {
				r.Errorf("%s is waited for for %s", m.Name, m.RehomeAfter)
			}
		}
		r.nodes["n1"].rules = rulesVersion - 1
		if err := r.nodes["n1"].Close(); err != nil {
			r.Fatal(err)
		}
		r.nodes["n1"].Node = nil
		wantReason(r, r.tryStart("n1", 5*time.Second), errdefs.VersionMismatch)
	})
}

func (r *rig) wantNew(name string, works bool) {
	r.Helper()
	before := r.nodes[name].raft.LastIndex()
	for what, err := range newWrites(r, name) {
		switch {
		case works && err != nil:
			r.Errorf("%s on %s: %v", what, name, err)
		case !works && errdefs.ReasonOf(err) != errdefs.VersionMismatch:
			r.Errorf("%s on %s, where not all know it: %v", what, name, err)
		}
	}
	if after := r.nodes[name].raft.LastIndex(); !works && after > before+1 { // others may have written
		r.Errorf("what is refused went from %d to %d of the log", before, after)
	}
}

// A leader of newer rules sees the last node come to know them.
func TestRulesAreRaisedWithoutAnotherElection(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 3, func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].rules = rulesVersion - 1
		}
	}, func(r *rig) {
		for _, name := range []string{"n1", "n2"} {
			r.voters(3)
			r.restart(name, rulesVersion)
		}
		r.voters(3)
		if leader := r.leader(); leader == "n3" {
			ctx, cancel := soon()
			defer cancel()
			if err := r.nodes["n3"].Transfer(ctx, r.nodes["n1"].ID()); err != nil {
				r.Fatal(err)
			}
			r.eventually(2*time.Second, "n1 leads", func() bool { return r.leader() == "n1" })
		}
		leader := r.nodes[r.leader()].Node
		term := leader.raft.CurrentTerm()
		r.restart("n3", rulesVersion)
		r.eventually(time.Second, "the rules are raised", func() bool { level, _ := leader.machine.level(); return level == rulesVersion })
		if now := leader.raft.CurrentTerm(); now != term {
			r.Errorf("term %d after %d", now, term)
		}
	})
}

// restart ends a node in good order and starts a program of some rules there.
func (r *rig) restart(name string, rules uint32) {
	r.Helper()
	if err := r.nodes[name].Close(); err != nil {
		r.Fatal(err)
	}
	r.nodes[name].Node = nil
	r.nodes[name].rules = rules
	r.start(name)
}

func TestSnapshotOfEachLevelIsReadByTheNext(t *testing.T) {
	t.Parallel()
	for level := uint32(1); level < rulesVersion; level++ {
		saved, err := os.ReadFile(fmt.Sprintf("testdata/level%d.snapshot", level))
		if err != nil {
			t.Fatal(err)
		}
		for _, knows := range []uint32{level, level + 1} {
			b := newBench()
			b.knows = knows
			b.restored(t, saved)
			if !bytes.Equal(saved, b.saved(t)) {
				t.Errorf("a program of level %d writes one of level %d otherwise", knows, level)
			}
			if s, missing := b.session("a"); missing != nil || s.Home != "w2" {
				t.Errorf("level %d has %+v (%v)", level, s, missing)
			}
		}
	}
	old, now := newBench(), furnished(t).saved(t)
	old.knows = rulesVersion - 1
	err := old.Restore(closer{bytes.NewReader(now)})
	wantReason(t, err, errdefs.VersionMismatch)
}

// What is done at the level before has nothing that a program of that level wouldn't
// know: all that came later has numbers from 60 on.
func TestSnapshotOfALowerLevelHasNothingNewer(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 2, func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].rules, r.nodes[name].rehomeAfter = rulesVersion-1, time.Minute
		}
	}, func(r *rig) {
		time.Sleep(time.Second)
		for _, name := range r.names {
			oldWrites(r, name, 0)
			r.wantNew(name, false)
			r.open(name, "stays-"+name)
		}
		saved := (&bench{machine: r.nodes["n1"].Node.machine}).saved(r)
		from, records := bytes.NewReader(saved), 0
		for ; from.Len() > 0; records++ {
			record := &snakepitv1.RegistryRecord{}
			if err := protodelim.UnmarshalFrom(from, record); err != nil {
				r.Fatal(err)
			}
			if highest(record.ProtoReflect()) >= 60 {
				r.Errorf("it has %v", record)
			}
		}
		if records < 6 {
			r.Errorf("%d records", records)
		}
	})
}

type closer struct{ *bytes.Reader }

func (closer) Close() error { return nil }
