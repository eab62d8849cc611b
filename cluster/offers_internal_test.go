package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// sets counts the sets of tools that are stored.
func (m *machine) sets() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.state.toolSets)
}

func offering(pool string, size int, names ...string) []host.OfferedTool {
	var all []host.OfferedTool
	for _, name := range names {
		all = append(all, host.OfferedTool{Pool: pool, Tool: host.Tool{Name: name, InputSchema: strings.Repeat("x", size)}})
	}
	return all
}

func (r *rig) publish(on string, tools []host.OfferedTool) {
	r.Helper()
	ctx, cancel := soon()
	defer cancel()
	if err := r.nodes[on].PublishTools(ctx, tools); err != nil {
		r.Fatalf("%s publishes: %v", on, err)
	}
}

// sees waits until a node sees tools of others, as "pool/name@node".
func (r *rig) sees(on string, want ...string) {
	r.Helper()
	slices.Sort(want)
	var got []string
	r.eventually(2*time.Second, fmt.Sprintf("%s sees %v", on, want), func() bool {
		got = got[:0]
		for _, t := range r.nodes[on].NodeTools() {
			got = append(got, t.Pool+"/"+t.Name+"@"+r.nodes[on].Node.machine.member(t.Node).Name)
		}
		slices.Sort(got) // nodes are sorted by their ids, which are random
		return strings.Join(got, " ") == strings.Join(want, " ")
	})
}

func TestNodesSeeWhatOthersOffer(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		same := append(offering("ml", 10, "sub", "add"), offering("", 10, "log")...)
		for _, name := range r.names {
			r.publish(name, same)
		}
		r.sees("n1", "ml/add@n2", "ml/add@n3", "/log@n2", "/log@n3", "ml/sub@n2", "ml/sub@n3")
		if n := r.nodes["n1"].Node.machine.sets(); n != 2 {
			r.Errorf("equal sets are stored %d times", n)
		}
		before := r.nodes["n1"].raft.LastIndex()
		r.publish("n1", same)
		if after := r.nodes["n1"].raft.LastIndex(); after != before {
			r.Errorf("the same again took %d entries", after-before)
		}
		r.publish("n2", offering("ml", 10, "mul"))
		r.sees("n1", "ml/add@n3", "/log@n3", "ml/mul@n2", "ml/sub@n3")
		r.sees("n2", "ml/add@n1", "ml/add@n3", "/log@n1", "/log@n3", "ml/sub@n1", "ml/sub@n3")
		r.kill("n3")
		r.sees("n1", "ml/mul@n2")
		r.start("n3")
		r.sees("n1", "ml/mul@n2") // it hasn't said yet what it offers now
		r.nodes["n2"].SetDraining(true)
		r.sees("n1")
		r.nodes["n2"].SetDraining(false)
		r.sees("n1", "ml/mul@n2")
		if tools := r.nodes["n2"].NodeTools(); !slices.IsSortedFunc(tools, func(a, b host.NodeTool) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Pool, b.Pool), strings.Compare(a.Node, b.Node))
		}) || len(tools) != 3 {
			r.Errorf("tools %v", tools)
		}
		first, again := r.nodes["n1"].NodeTools(), r.nodes["n1"].NodeTools()
		if &first[0] != &again[0] {
			r.Error("what hasn't changed is put together again")
		}
		r.publish("n2", nil)
		r.sees("n1")
		r.publish("n1", nil)
		for _, name := range r.names {
			r.eventually(time.Second, "sets that nobody offers are forgotten", func() bool { return r.nodes[name].Node.machine.sets() == 0 })
		}
	})
}

// A node that was given up and is registered again in the same start offers what it did.
func TestNodeThatWasCutOffStillOffersItsTools(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		victim := r.others(r.leader())[0]
		other := r.others(victim)[0]
		r.publish(victim, offering("ml", 10, "add"))
		ctx, cancel := soon()
		defer cancel()
		worker := host.ProcessRecord{Worker: "w", Pool: "ml", Node: victim}
		if _, err := r.nodes[victim].ClaimProcess(ctx, worker); err != nil {
			r.Fatal(err)
		}
		r.sees(other, "ml/add@"+victim)
		r.net.isolate(victim, r.names, true)
		r.sees(other)
		r.verified(other, false)
		r.net.isolate(victim, r.names, false)
		r.sees(other, "ml/add@"+victim)
		r.verified(other, true)
	})
}

// verified waits until a node lists one process so.
func (r *rig) verified(on string, want bool) {
	r.Helper()
	r.eventually(3*time.Second, fmt.Sprint("verified ", want), func() bool {
		all, err := r.nodes[on].Processes(r.Context())
		return err == nil && len(all) == 1 && all[0].Unverified != want
	})
}

func TestLargeOffersAreDividedAndTooLargeOnesRefusedWhole(t *testing.T) {
	t.Parallel()
	inBubble(t, 2, func(r *rig) {
		var names []string
		for i := range 1000 {
			names = append(names, fmt.Sprintf("t%04d", i))
		}
		r.publish("n1", offering("ml", 1000, names...)) // 1 MB
		r.eventually(2*time.Second, "all are there", func() bool { return len(r.nodes["n2"].NodeTools()) == 1000 })
		ctx, cancel := soon()
		defer cancel()
		for name, tools := range map[string][]host.OfferedTool{
			"too many":    offering("ml", 1, append(names, strings.Split(strings.Repeat("x ", maxTools), " ")...)...),
			"a large one": append(offering("ml", 10, "small"), offering("ml", maxToolSet, "large")...),
			"too much":    offering("ml", 90<<10, names[:maxOffered+1]...),
		} {
			before := r.nodes["n1"].raft.LastIndex()
			wantReason(r, r.nodes["n1"].PublishTools(ctx, tools), errdefs.PayloadTooLarge)
			if r.nodes["n1"].raft.LastIndex() != before || len(r.nodes["n2"].NodeTools()) != 1000 {
				r.Errorf("%s: something was written", name)
			}
		}
	})
}

// What was stored and never offered is given up with the next offer, so that nothing grows.
func TestOfferThatCameToNothingLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench()
	n1 := Owner{Node: "n1", Incarnation: b.apply(t, registerNode(Member{ID: "n1", MaxVersion: rulesVersion}, 0))[0].node.Incarnation}
	for i := range 2 * maxToolSets {
		if o := b.apply(t, storeTools(n1, toolsOf(t, "ml", fmt.Sprint("t", i))))[0]; o.err != nil {
			t.Fatal(o.err)
		}
	}
	if n := len(b.state.toolSets); n != maxOffered {
		t.Errorf("%d sets are kept", n)
	}
	b.apply(t, offerTools(n1, nil))
	if n := len(b.state.toolSets); n != 0 {
		t.Errorf("%d sets are kept", n)
	}
	if o := b.apply(t, storeTools(n1, make([]byte, maxToolSet+1)))[0]; o.err == nil || o.err.Reason != errdefs.PayloadTooLarge {
		t.Errorf("a set that is too large: %v", o.err)
	}
	if o := b.apply(t, storeTools(n1, []byte("nonsense")))[0]; o.err == nil || o.err.Reason != errdefs.InvalidArguments {
		t.Errorf("a set that is none: %v", o.err)
	}
}

func TestSetsOfAllNodesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench()
	refused := 0
	for i := range 6 {
		id := fmt.Sprint("n", i)
		by := Owner{Node: id, Incarnation: b.apply(t, registerNode(Member{ID: id, MaxVersion: rulesVersion}, 0))[0].node.Incarnation}
		for j := range maxOffered {
			if o := b.apply(t, storeTools(by, toolsOf(t, "ml", fmt.Sprint(i, "-", j))))[0]; o.err != nil {
				refused++
				wantReason(t, o.err, errdefs.QueueFull)
			}
		}
	}
	if refused != 2*maxOffered || len(b.state.toolSets) != maxToolSets {
		t.Errorf("%d refused, %d kept", refused, len(b.state.toolSets))
	}
}

func TestProcessesOfADeadNodeAreUnverifiedUntilItsMachineReportsThem(t *testing.T) {
	t.Parallel()
	inPreparedBubble(t, 4, func(r *rig) {
		for _, name := range r.names {
			r.nodes[name].machine = "far"
		}
		r.nodes["n2"].machine, r.nodes["n3"].machine = "near", "near"
	}, func(r *rig) {
		r.voters(3)
		ctx, cancel := soon()
		defer cancel()
		n3 := r.nodes["n3"]
		for _, worker := range []host.WorkerID{"a", "b"} {
			p, err := n3.ClaimProcess(ctx, host.ProcessRecord{Worker: worker, Pool: "ml", Node: "n3", Machine: n3.cfg.Machine})
			if self, _ := n3.Self(); err != nil || p.Owner != self || p.Unverified {
				r.Fatalf("%+v (%v)", p, err)
			}
		}
		id := n3.ID()
		unverified := func(on string) (all string) {
			list, err := r.nodes[on].Processes(r.Context())
			if err != nil {
				r.Error(err)
			}
			for _, p := range list {
				if p.Unverified {
					all += string(p.Worker)
				}
			}
			return all
		}
		if got := unverified("n1"); got != "" {
			r.Errorf("%s are unverified while their node is up", got)
		}
		wantReason(r, r.nodes["n1"].ReleaseProcess(ctx, "a"), errdefs.Conflict)
		r.kill("n3")
		r.eventually(3*time.Second, "both are unverified", func() bool { return unverified("n1") == "ab" })
		here := func(on string) (all string) {
			for _, p := range r.nodes[on].Unverified(r.nodes[on].cfg.Machine) {
				all += string(p.Worker)
			}
			return all
		}
		r.eventually(3*time.Second, "both are unverified on their machine", func() bool { return here("n2") == "ab" })
		if got := here("n1"); got != "" {
			r.Errorf("%q is unverified on a machine where they aren't", got)
		}
		wantReason(r, r.nodes["n1"].ReleaseProcess(ctx, "a"), errdefs.Conflict)
		wantReason(r, r.nodes["n2"].ReleaseProcess(ctx, "a"), "")
		if got := unverified("n2"); got != "b" {
			r.Errorf("%s are unverified after one was reaped", got)
		}
		if err := r.nodes["n1"].Remove(ctx, id); err != nil {
			r.Fatal(err)
		}
		if err := r.nodes["n1"].Forget(ctx, id); err != nil {
			r.Fatal(err)
		}
		if all, err := r.nodes["n1"].Processes(ctx); err != nil || len(all) != 0 {
			r.Errorf("records of a node that was forgotten: %+v (%v)", all, err)
		}
	})
}
