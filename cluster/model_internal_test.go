package cluster

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// registryModel is the registry as its contract has it: one command after the other.
type registryModel struct {
	generation uint64
	sessions   map[host.SessionID]host.Session
	expired    map[host.SessionID]bool
	processes  map[host.WorkerID]int
	highest    map[string]uint64 // epoch ever given, by subject
	nodes      map[string]Member
	owners     map[host.SessionID]Owner
	values     map[host.SessionID]map[string]Value
	memberModel
}

// TestStateMachineFollowsTheModel applies random entries to a machine, to a second
// one that is restored from a snapshot now and then and gets some entries twice,
// and to the model.
func TestStateMachineFollowsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		one, two := newBench(), newBench()
		m := &registryModel{
			sessions: map[host.SessionID]host.Session{}, expired: map[host.SessionID]bool{},
			processes: map[host.WorkerID]int{}, highest: map[string]uint64{},
			nodes: map[string]Member{}, owners: map[host.SessionID]Owner{}, values: map[host.SessionID]map[string]Value{},
			memberModel: newMemberModel(),
		}
		rt.Repeat(map[string]func(*rapid.T){
			"entry": func(rt *rapid.T) {
				commands := drawCommands(rt, m)
				entry := one.entry(t, commands...)
				two.number = one.number
				got, twin := one.applied(t, entry), two.applied(t, entry)
				for i, c := range commands {
					m.check(rt, c, got[i], one.index)
					if outcomeToWire(got[i]).String() != outcomeToWire(twin[i]).String() {
						rt.Fatalf("%v came to %+v and to %+v", c, got[i], twin[i])
					}
				}
				if rapid.Bool().Draw(rt, "again") {
					one.applied(t, entry)
					two.applied(t, entry)
				}
			},
			"restart": func(*rapid.T) {
				fresh := newBench()
				fresh.restored(t, two.saved(t))
				fresh.index, fresh.number = two.index, two.number
				two = fresh
			},
			"": func(rt *rapid.T) { m.compare(rt, one); compareTwins(t, rt, one, two) },
		})
	})
}

func compareTwins(t *testing.T, rt *rapid.T, one, two *bench) {
	t.Helper()
	if !bytes.Equal(one.saved(t), two.saved(t)) {
		rt.Fatal("two machines differ that applied the same entries")
	}
}

// drawCommands draws some that are about different things.
func drawCommands(rt *rapid.T, m *registryModel) []*snakepitv1.RegistryCommand {
	var commands []*snakepitv1.RegistryCommand
	about := map[string]bool{}
	for range rapid.IntRange(1, 4).Draw(rt, "commands") {
		c := drawCommand(rt, m)
		if alone(c) {
			return []*snakepitv1.RegistryCommand{c}
		}
		if !about[subject(c)] {
			about[subject(c)] = true
			commands = append(commands, c)
		}
	}
	return commands
}

func drawCommand(rt *rapid.T, m *registryModel) *snakepitv1.RegistryCommand {
	id := host.SessionID(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "id"))
	worker := host.WorkerID(rapid.SampledFrom([]string{"w1", "w2", "w3"}).Draw(rt, "worker"))
	switch rapid.IntRange(0, 28).Draw(rt, "verb") {
	case 0, 1, 2:
		return openSession(host.Session{ID: id, Pool: "ml", Home: worker}, rapid.IntRange(1, 4).Draw(rt, "limit"))
	case 3, 4:
		from := m.sessions[id].Epoch
		if rapid.IntRange(0, 3).Draw(rt, "stale") == 0 {
			from = rapid.Uint64Range(0, 1<<42).Draw(rt, "from")
		}
		return bindSession(id, worker, from)
	case 5, 6:
		return forgetSession(id, rapid.IntRange(0, 5).Draw(rt, "expired") == 0)
	case 7:
		by := rapid.SampledFrom([]Owner{{}, drawOwner(rt, m)}).Draw(rt, "by")
		return claimProcess(host.ProcessRecord{Worker: worker, Owner: by, Process: host.Process{PID: rapid.IntRange(1, 99).Draw(rt, "pid")}})
	case 8:
		return releaseProcess(worker)
	case 9, 10:
		return drawNodeCommand(rt, m)
	case 11, 12, 13:
		return rehome([]*snakepitv1.MoveSession{drawMove(rt, m, id), drawMove(rt, m, "a"), drawMove(rt, m, "b")}, 0)
	case 14, 15:
		return setState(id, m.sessions[id].Epoch, []*snakepitv1.StateChange{drawChange(rt, m.values[id])})
	case 16, 17:
		local := rapid.SampledFrom([]host.Availability{"", host.AvailabilityLocal}).Draw(rt, "availability")
		return openOwned(host.Session{ID: id, Pool: "ml", Availability: local}, drawOwner(rt, m), 4)
	case 18, 19, 20, 21, 22, 23, 24, 25, 26, 27:
		return drawMemberCommand(rt, m)
	}
	return raiseGeneration(rapid.Uint64Range(0, 3).Draw(rt, "generation"))
}

// check compares an outcome with what the model says, and moves the model on.
func (m *registryModel) check(rt *rapid.T, c *snakepitv1.RegistryCommand, got outcome, index uint64) {
	want := errdefs.Reason("")
	about, whole := subject(c), c
	epoch := m.generation<<generationShift + index
	switch c := c.GetCommand().(type) {
	case *snakepitv1.RegistryCommand_OpenSession:
		want = m.open(rowFromWire(c.OpenSession.GetSession()), c.OpenSession.GetLimit(), got)
	case *snakepitv1.RegistryCommand_BindSession:
		want = m.bind(c.BindSession, got)
	case *snakepitv1.RegistryCommand_ForgetSession:
		id := host.SessionID(c.ForgetSession.GetId())
		if _, known := m.sessions[id]; known && c.ForgetSession.GetExpired() {
			m.expired[id] = true
		}
		m.forget(id)
	case *snakepitv1.RegistryCommand_ClaimProcess:
		p := processFromWire(c.ClaimProcess.GetProcess())
		m.processes[p.Worker], m.claims[p.Worker] = p.Process.PID, p.Owner
	case *snakepitv1.RegistryCommand_ReleaseProcess:
		delete(m.processes, host.WorkerID(c.ReleaseProcess.GetWorker()))
	case *snakepitv1.RegistryCommand_RaiseGeneration:
		m.generation = max(m.generation, c.RaiseGeneration.GetGeneration())
	default:
		want = m.checkNode(rt, whole, epoch)
	}
	reason := errdefs.Reason("")
	if got.err != nil {
		reason = got.err.Reason
	}
	if reason != want {
		rt.Fatalf("%v came to %q, want %q", c, reason, want)
	}
	m.checkEpoch(rt, about, got, index)
}

func (m *registryModel) open(s sessionRow, limit uint64, got outcome) errdefs.Reason {
	if _, known := m.sessions[s.ID]; known {
		return ""
	}
	if m.expired[s.ID] {
		return errdefs.SessionExpired
	}
	if uint64(len(m.sessions)) >= limit {
		return errdefs.SessionQuota
	}
	if s.Owner != (Owner{}) && !m.up(s.Owner) {
		return errdefs.Fenced
	}
	if got.session != nil {
		s.Epoch = got.session.Epoch
	}
	m.sessions[s.ID], m.owners[s.ID] = s.Session, s.Owner
	return ""
}

func (m *registryModel) bind(c *snakepitv1.BindSession, got outcome) errdefs.Reason {
	id := host.SessionID(c.GetId())
	s, known := m.sessions[id]
	switch {
	case !known && m.expired[id]:
		return errdefs.SessionExpired
	case !known:
		return errdefs.SessionNotFound
	case s.Epoch != c.GetFromEpoch():
		return errdefs.Conflict
	}
	s.Home = host.WorkerID(c.GetHome())
	if got.session != nil {
		s.Epoch = got.session.Epoch
	}
	m.sessions[id] = s
	return ""
}

// checkEpoch makes sure that an epoch that was given now is greater than all those
// given before for the same thing, and is what it should be.
func (m *registryModel) checkEpoch(rt *rapid.T, about string, got outcome, index uint64) {
	var epoch uint64
	switch {
	case got.session != nil:
		epoch = got.session.Epoch
	case got.process != nil:
		epoch = got.process.Epoch
	default:
		return
	}
	switch {
	case epoch < m.highest[about]:
		rt.Fatalf("%s: epoch %d after %d", about, epoch, m.highest[about])
	case epoch > m.highest[about] && epoch&(1<<generationShift-1) != index:
		rt.Fatalf("%s: epoch %x at index %d", about, epoch, index)
	}
	m.highest[about] = epoch
}

func (m *registryModel) compare(rt *rapid.T, b *bench) {
	if b.halted != nil || b.generation() != m.generation {
		rt.Fatalf("generation %d, want %d; halted by %v", b.generation(), m.generation, b.halted)
	}
	got := map[host.SessionID]string{}
	for _, s := range b.sessions() {
		got[s.ID] = sessionLine(*s)
	}
	want := map[host.SessionID]string{}
	for id, s := range m.sessions {
		s.Owner = m.owners[id]
		want[id] = sessionLine(sessionRow{Session: s, values: m.values[id]})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		rt.Fatalf("sessions %v, want %v", got, want)
	}
	pids := map[host.WorkerID]int{}
	for _, p := range b.processes() {
		pids[p.Worker] = p.Process.PID
	}
	if fmt.Sprint(pids) != fmt.Sprint(m.processes) {
		rt.Fatalf("processes %v, want %v", pids, m.processes)
	}
	m.compareMembers(rt, b)
	if ids := b.state.expired.oldestFirst(); len(ids) != len(m.expired) || slices.ContainsFunc(ids, func(id host.SessionID) bool { return !m.expired[id] }) {
		rt.Fatalf("expired %v, want %v", ids, m.expired)
	}
}
