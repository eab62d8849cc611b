//go:build integration && linux

package failover_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The bounds that are stated are asserted at ten times their value: see integration/DESIGN.md.
const slack = 10

const (
	followerBound = 2500 * time.Millisecond
	leaderBound   = 3500 * time.Millisecond
)

// trial is a cluster under load, of which one fault is made.
type trial struct {
	*site
	load  *load
	fault int64 // when it was
}

// underLoad starts a cluster and its load, and waits until every session has been answered.
func underLoad(t *testing.T) *trial {
	t.Helper()
	return underLoadOf(t, nil)
}

// underLoadOf is underLoad with a site that is changed before it starts.
func underLoadOf(t *testing.T, prepare func(*site)) *trial {
	t.Helper()
	s := newSite(t)
	if prepare != nil {
		prepare(s)
	}
	s.start()
	o := order{Hosts: s.hosts(), TLS: s.clientTLS(), Sessions: 24, Prefix: "s", Pause: 50 * time.Millisecond, Timeout: 20 * time.Second}
	w := startLoad(t, s.lan, "client", o)
	tr := &trial{site: s, load: w}
	tr.eventually("an answer for every session", func() bool { return tr.answered(0) >= o.Sessions })
	return tr
}

// answered counts the sessions that were answered since a moment.
func (tr *trial) answered(since int64) int {
	all, _ := outage(tr.load.seen(), since)
	return len(all)
}

// strike makes the fault.
func (tr *trial) strike(fault func()) {
	tr.fault = bootTime()
	fault()
}

// heal waits until every session has been answered since the fault, and some more.
func (tr *trial) settle() {
	tr.t.Helper()
	tr.eventually("an answer for every session since the fault", func() bool {
		_, left := outage(tr.load.seen(), tr.fault)
		return len(left) == 0
	})
}

// judge ends the load and looks at everything; it gives the times of the sessions that a
// node had before the fault, or with an empty name those of all.
func (tr *trial) judge(victim string) []time.Duration {
	tr.t.Helper()
	tr.load.stop()
	tr.end()
	answers := tr.load.seen()
	checkAnswers(tr.t, answers)
	books := readBook(tr.t, tr.book)
	checkBook(tr.t, books)
	theirs := answers
	if victim != "" {
		theirs = of(answers, victim, tr.fault)
	}
	times, left := outage(theirs, tr.fault)
	sessions, anybody := failures(answers, tr.fault)
	tr.t.Logf("%d calls; sessions of %q: %d, answered again after min %s, p50 %s, p99 %s; failed since: %s; without a session: %s",
		len(answers), victim, len(times), quantile(times, 0), quantile(times, 0.5), quantile(times, 0.99), describe(sessions), describe(anybody))
	if len(left) > 0 {
		tr.t.Errorf("sessions that weren't answered again: %v", left)
	}
	return times
}

func within(t *testing.T, times []time.Duration, bound time.Duration) {
	t.Helper()
	if len(times) == 0 {
		t.Error("no session was there to move")
		return
	}
	if last := slices.Max(times); last > slack*bound {
		t.Errorf("a session was answered again after %s, where %s is stated", last, bound)
	}
}

func TestSessionsOfAKilledFollowerAnswerElsewhere(t *testing.T) {
	tr := underLoad(t)
	victim := tr.other(tr.leader())
	tr.strike(victim.kill)
	tr.settle()
	within(t, tr.judge(victim.name), followerBound)
}

func TestSessionsOfAKilledLeaderAnswerElsewhere(t *testing.T) {
	tr := underLoad(t)
	victim := tr.leader()
	tr.strike(victim.kill)
	tr.settle()
	within(t, tr.judge(victim.name), leaderBound)
}

func TestSessionsOfAKilledFollowerGoOnInMemoryOnItsMachine(t *testing.T) {
	tr := underLoadOf(t, onOneMachine)
	victim := tr.other(tr.leader())
	tr.strike(victim.kill)
	tr.settleInMemory(victim.name)
	within(t, tr.judge(victim.name), followerBound)
}

func TestSessionsOfAKilledLeaderGoOnInMemoryOnItsMachine(t *testing.T) {
	tr := underLoadOf(t, onOneMachine)
	victim := tr.leader()
	tr.strike(victim.kill)
	tr.settleInMemory(victim.name)
	within(t, tr.judge(victim.name), leaderBound)
}

func onOneMachine(s *site) { s.machine = func(string) string { return "one" } }

// settleInMemory is settle, and waits until the sessions of a victim were called at their
// homes: those must be what they were before.
func (tr *trial) settleInMemory(victim string) {
	tr.t.Helper()
	tr.settle()
	var intact, restored int
	tr.eventually("a call at the home of each session", func() bool {
		var unknown int
		intact, restored, unknown = remembered(of(tr.load.seen(), victim, tr.fault), tr.fault)
		return unknown == 0
	})
	tr.t.Logf("%d sessions went on in their worker, %d were restored elsewhere", intact, restored)
	if restored > intact {
		tr.t.Error("the workers of the dead host weren't adopted")
	}
}

func TestSessionsOfALostMachineAnswerElsewhere(t *testing.T) {
	tr := underLoad(t)
	victim := tr.leader()
	tr.strike(victim.destroy)
	tr.settle()
	within(t, tr.judge(victim.name), leaderBound)
}

func TestAHostThatIsStoppedForLessThanItsLeaseKeepsItsSessions(t *testing.T) {
	tr := underLoad(t)
	victim := tr.other(tr.leader())
	tr.strike(func() { victim.signal(unix.SIGSTOP) })
	pause(t.Context(), 400*time.Millisecond) // as long as the fault lasts
	victim.signal(unix.SIGCONT)
	tr.settle()
	times := tr.judge(victim.name)
	within(t, times, time.Second)
	tr.wantUnmoved(victim.name)
}

// wantUnmoved checks that the sessions of a node are where they were, with what they had
// in memory.
func (tr *trial) wantUnmoved(node string) {
	tr.t.Helper()
	asked := map[string]int{}
	for _, a := range of(tr.load.seen(), node, tr.fault) {
		if a.Reason != "" {
			continue
		}
		if a.Result.Node != node || a.Result.Restored > 0 {
			tr.t.Errorf("session %s was answered by %s, which restored it %d times", a.Session, a.Result.Node, a.Result.Restored)
		}
		if a.Result.Home && a.Result.Asked <= asked[a.Session] {
			tr.t.Errorf("session %s: its worker was asked %d times, and then %d", a.Session, asked[a.Session], a.Result.Asked)
		}
		if a.Result.Home {
			asked[a.Session] = a.Result.Asked
		}
	}
}

func TestAHostThatIsStoppedForMoreThanItsLeaseLosesItsSessionsAndNeverServesThemTwice(t *testing.T) {
	tr := underLoad(t)
	victim := tr.other(tr.leader())
	tr.strike(func() { victim.signal(unix.SIGSTOP) })
	tr.settle()
	victim.signal(unix.SIGCONT)
	before := bootTime()
	tr.eventually("every session's answer after the host goes on", func() bool { return tr.answered(before) == 24 })
	within(t, tr.judge(victim.name), followerBound)
}

func TestAMinorityThatIsCutOffServesNoSession(t *testing.T) {
	tr := underLoad(t)
	victim := tr.other(tr.leader())
	tr.strike(func() { tr.lan.unplug(victim.name) })
	tr.settle()
	tr.lan.plugIn(victim.name)
	tr.comesBack(victim)
	within(t, tr.judge(victim.name), followerBound)
}

// comesBack waits until a node is up again, as another one sees it.
func (tr *trial) comesBack(n *node) {
	tr.t.Helper()
	witness := tr.other(n)
	tr.eventually(n.name+" among those that are up", func() bool {
		for _, m := range witness.status().Nodes {
			if m.Name == n.name {
				return m.Status == "up"
			}
		}
		return false
	})
}

func TestALeaderThatHearsNobodyGivesWay(t *testing.T) {
	tr := underLoad(t)
	victim := tr.leader()
	tr.strike(func() { tr.lan.deafen(victim.name) })
	tr.settle()
	tr.lan.hear(victim.name)
	tr.comesBack(victim)
	within(t, tr.judge(victim.name), leaderBound)
}

func TestAShortPartitionLeavesEverythingWhereItWas(t *testing.T) {
	tr := underLoad(t)
	victim := tr.other(tr.leader())
	tr.strike(func() { tr.lan.unplug(victim.name) })
	pause(t.Context(), 300*time.Millisecond) // as long as the fault lasts
	tr.lan.plugIn(victim.name)
	tr.settle()
	within(t, tr.judge(victim.name), followerBound)
	tr.wantUnmoved(victim.name)
}

func TestAFlappingCableLosesNothing(t *testing.T) {
	tr := underLoad(t)
	victim := tr.leader()
	tr.fault = bootTime()
	for i := range 6 {
		tr.lan.unplug(victim.name)
		pause(t.Context(), time.Duration(200+150*i)*time.Millisecond) // as long as the fault lasts
		tr.lan.plugIn(victim.name)
		pause(t.Context(), 300*time.Millisecond)
	}
	tr.fault = bootTime()
	tr.settle()
	tr.judge("")
}

func TestARollingRestartFailsNoCall(t *testing.T) {
	tr := underLoad(t)
	tr.fault = bootTime()
	for _, n := range tr.nodes {
		n.stop()
		n.begin()
		n.await()
		tr.comesBack(n)
	}
	tr.settle()
	tr.judge("")
	sessions, anybody := failures(tr.load.seen(), tr.fault)
	if len(sessions) > 0 || len(anybody) > 0 {
		t.Errorf("calls failed: %s; without a session: %s", describe(sessions), describe(anybody))
	}
}

func TestLatencyAndBrokenConnectionsLoseNothing(t *testing.T) {
	tr := underLoadOf(t, func(s *site) { s.detour = s.throughProxy() })
	tr.fault = bootTime()
	for _, by := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond} {
		tr.detour.delay(by)
		pause(t.Context(), 2*time.Second) // as long as the fault lasts
		tr.detour.reset()
	}
	tr.detour.delay(0)
	tr.detour.reset()
	tr.fault = bootTime()
	tr.settle()
	tr.judge("")
}

func TestAFullDiskEndsItsNodeAndNothingElse(t *testing.T) {
	var victim *node
	tr := underLoadOf(t, func(s *site) { victim = s.nodes[0]; victim.smallDisk("6") })
	tr.strike(func() {
		fill := filepath.Join(victim.data, "registry", "filler")
		for size := 8 << 20; size >= 4<<10; size /= 2 {
			for {
				f, err := os.OpenFile(fill, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					break
				}
				_, err = f.Write(make([]byte, size))
				_ = f.Close()
				if err != nil {
					break
				}
			}
		}
	})
	tr.settle()
	if err := victim.cmd.Wait(); err == nil {
		t.Error("the node whose disk is full ended as if nothing were wrong")
	}
	victim.cmd = nil
	tr.judge("")
}

func TestAStalledDiskCostsItsLeaderTheOffice(t *testing.T) {
	var victim *node
	tr := underLoadOf(t, func(s *site) { victim = s.nodes[0]; victim.loopDisk() })
	if tr.leader() != victim {
		victim.tool("cluster", "transfer", victim.name)
	}
	dir := filepath.Join(victim.data, "registry")
	frozen := true
	thaw := func() {
		if frozen {
			system(t, "fsfreeze", "-u", dir)
			frozen = false
		}
	}
	t.Cleanup(thaw)
	tr.strike(func() { system(t, "fsfreeze", "-f", dir) })
	tr.settle()
	thaw()
	tr.comesBack(victim)
	tr.judge("")
}

func TestAllAddressesMayChangeAtOnce(t *testing.T) {
	tr := underLoad(t)
	tr.load.stop()
	for _, n := range tr.nodes {
		n.stop()
	}
	for i, n := range tr.nodes {
		tr.lan.readdress(n.name, i+11)
		n.addr = tr.lan.address(n.name) + ":" + port
	}
	tr.nodes[0].begin()
	for _, n := range tr.nodes[1:] {
		n.begin("--join", tr.nodes[0].addr)
	}
	for _, n := range tr.nodes {
		n.await()
	}
	tr.fault = bootTime()
	tr.load = startLoad(t, tr.lan, "client", order{
		Hosts: tr.hosts(), TLS: tr.clientTLS(), Sessions: 24, Prefix: "s", Pause: 50 * time.Millisecond, Timeout: 20 * time.Second,
	})
	tr.eventually("an answer for every session", func() bool { return tr.answered(0) >= 24 })
	tr.judge("")
}
