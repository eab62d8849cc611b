package cluster

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// furnished is a machine with something of everything.
func furnished(tb testing.TB) *bench {
	tb.Helper()
	b := newBench()
	b.apply(tb, openSession(named("a"), 10), openSession(named("b"), 10), openSession(named("c"), 10))
	b.apply(tb, forgetSession("b", true), bindSession("a", "w2", 1), bindSession("c", "w2", 77))
	b.apply(tb, raiseGeneration(3), claimProcess(host.ProcessRecord{Worker: "w1", Node: "n1", Process: host.Process{PID: 7, StartTime: 8}}))
	b.apply(tb, openSession(named("d"), 10), claimProcess(host.ProcessRecord{Worker: "w2"}), releaseProcess("w9"))
	b.apply(tb, setFeatureLevel(rulesVersion, "c1", 0))
	m := b.apply(tb, registerNode(Member{ID: "n1", Nonce: "x", MinVersion: 1, MaxVersion: rulesVersion, RehomeAfter: time.Minute}, 0))[0].node
	b.apply(tb, registerNode(Member{ID: "n2", MinVersion: 1, MaxVersion: rulesVersion}, 0))
	o := b.apply(tb, openOwned(named("e"), Owner{Node: "n1", Incarnation: m.Incarnation}, 10))[0].session
	b.apply(tb, setState("e", o.Epoch, []*snakepitv1.StateChange{{Key: "k", Value: []byte("v")}, {Key: "l", Value: []byte{}}}))
	furnishMembers(tb, b, Owner{Node: "n1", Incarnation: m.Incarnation})
	return b
}

// furnishMembers adds something of all that came with version 3.
func furnishMembers(tb testing.TB, b *bench, n1 Owner) {
	tb.Helper()
	one, two := toolsOf(tb, "ml", "echo", "add"), toolsOf(tb, "", "log")
	b.apply(tb, storeTools(n1, one))
	b.apply(tb, offerTools(n1, []sum{sha256.Sum256(one)}))
	b.apply(tb, storeTools(n1, two))
	local := named("l")
	local.Availability = host.AvailabilityLocal
	b.apply(tb, openOwned(local, n1, 10), claimProcess(host.ProcessRecord{Worker: "w3", Node: "one", Owner: n1}))
	b.apply(tb, addToken(sum{1}, 2, "for somebody"), addToken(sum{2}, 1, ""), setPoolOverride("ml", map[string]string{"max": "9", "min": "1"}))
	b.apply(tb, spendToken(sum{1}, "n2"), pauseNode(n1, time.Minute))
}

// toolsOf is the content of a set.
func toolsOf(tb testing.TB, pool string, tools ...string) []byte {
	tb.Helper()
	set := &snakepitv1.ToolSet{}
	for _, name := range tools {
		set.Tools = append(set.Tools, offeredToWire(host.OfferedTool{Pool: pool, Tool: host.Tool{Name: name, Stream: true}}))
	}
	content, err := toolSetToWire(set)
	if err != nil {
		tb.Fatal(err)
	}
	return content
}

func TestCommandThatComesAgainIsNotRunAgain(t *testing.T) {
	t.Parallel()
	b := newBench()
	opened := b.apply(t, openSession(named("a"), 10))[0].session
	again := b.entry(t, bindSession("a", "w2", opened.Epoch))
	first := b.applied(t, again)
	for range 3 {
		before := b.saved(t)
		second := b.applied(t, again)
		if d := cmp.Diff(first[0].session.Session, second[0].session.Session); d != "" {
			t.Errorf("the outcome (-first +again):\n%s", d)
		}
		if after, _ := b.session("a"); after.Epoch != first[0].session.Epoch {
			t.Errorf("epoch %d, want %d", after.Epoch, first[0].session.Epoch)
		}
		restored := newBench()
		restored.restored(t, before)
		restored.index, restored.number = b.index, b.number
		if third := restored.applied(t, again); third[0].session == nil || third[0].session.Epoch != first[0].session.Epoch {
			t.Errorf("after a snapshot it was run again: %+v", third[0])
		}
	}
}

func TestCommandThatComesLongAfterItsAnswerIsNotRun(t *testing.T) {
	t.Parallel()
	b := newBench()
	late := b.entry(t, openSession(named("a"), 10))
	b.applied(t, late)
	b.apply(t, forgetSession("a", false)) // says that the first was answered
	if o := b.applied(t, late)[0]; o.err == nil || o.err.Reason != errdefs.OutcomeUnknown {
		t.Errorf("outcome %+v, want outcome_unknown", o)
	}
	if s, _ := b.session("a"); s != nil {
		t.Error("a closed session came back")
	}
}

func TestOriginsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench()
	for i := range 3 * maxOrigins {
		data, err := encodeEntry(fmt.Sprint("origin", i), 0, []*snakepitv1.RegistryCommand{{
			Number: 1, Command: &snakepitv1.RegistryCommand_ReleaseProcess{ReleaseProcess: &snakepitv1.ReleaseProcess{Worker: "w"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		b.applied(t, data)
	}
	if len(b.state.origins) != maxOrigins || b.state.origins["origin191"] == nil || b.state.origins["origin127"] != nil {
		t.Errorf("%d origins", len(b.state.origins))
	}
	var o origin
	for i := range uint64(3 * maxOutcomes) {
		o.remember(i+1, outcome{})
	}
	if len(o.outcomes) != maxOutcomes {
		t.Errorf("%d outcomes", len(o.outcomes))
	}
}

func TestExpiredSessionsAreForgottenOldestFirst(t *testing.T) {
	t.Parallel()
	e := newExpired(3)
	for i := range 5 {
		e.add(host.SessionID(fmt.Sprint(i)))
	}
	if got := e.oldestFirst(); !slices.Equal(got, []host.SessionID{"2", "3", "4"}) || e.has("1") || !e.has("2") || len(e.ids) != 3 {
		t.Errorf("remembered %v", got)
	}
}

func TestTwoCommandsOfOneEntryNeverShareAnEpoch(t *testing.T) {
	t.Parallel()
	b := newBench()
	out := b.apply(t, openSession(named("a"), 10), forgetSession("a", false), openSession(named("a"), 10))
	if out[0].err != nil || out[1].err == nil || out[2].err == nil {
		t.Errorf("outcomes %+v", out)
	}
	out = b.apply(t, claimProcess(host.ProcessRecord{Worker: "a"}), claimProcess(host.ProcessRecord{Worker: "a"}))
	if out[0].err != nil || out[1].err == nil {
		t.Errorf("outcomes %+v", out)
	}
}

func TestProcessesAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench()
	for i := range maxProcesses {
		id := host.WorkerID(fmt.Sprint(i))
		b.state.processes[id] = &host.ProcessRecord{Worker: id}
	}
	out := b.apply(t, claimProcess(host.ProcessRecord{Worker: "new"}), claimProcess(host.ProcessRecord{Worker: "7"}))
	if out[0].err == nil || out[0].err.Reason != errdefs.QueueFull || out[1].err != nil {
		t.Errorf("outcomes %+v", out)
	}
}

// future are entries that a later program may write.
func future(tb testing.TB) map[string][]byte {
	tb.Helper()
	newer := marshalled(tb, &snakepitv1.RegistryEntry{Version: rulesVersion + 1, Origin: "x"})
	field := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)
	inside := func(in []byte) []byte { return append(slices.Clone(in), field...) }
	nested := func(body []byte, path ...protowire.Number) []byte {
		for _, number := range path {
			body = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), body)
		}
		return append(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), rulesVersion), body...)
	}
	return map[string][]byte{
		"a newer version":                newer,
		"a field of the entry":           inside(marshalled(tb, &snakepitv1.RegistryEntry{Version: rulesVersion})),
		"a command":                      nested(field, 4),
		"an empty command":               nested(nil, 4),
		"a field of a command's content": nested(field, 6, 4),
		"a field of a session":           nested(field, 1, 2, 4),
	}
}

func TestUnknownEntryStopsTheMachineAndChangesNothing(t *testing.T) {
	t.Parallel()
	unknown := future(t)
	unknown["no version"] = marshalled(t, &snakepitv1.RegistryEntry{})
	unknown["nonsense"] = []byte("nonsense")
	for name, data := range unknown {
		b := furnished(t)
		before := b.saved(t)
		good := b.entry(t, openSession(named("later"), 10))
		if out := b.applied(t, data); out != nil || b.halted == nil {
			t.Errorf("%s: outcomes %v, halted by %v", name, out, b.halted)
			continue
		}
		wantVersion := name != "no version" && name != "nonsense"
		if got := errdefs.ReasonOf(b.halted); (got == errdefs.VersionMismatch) != wantVersion {
			t.Errorf("%s: %v", name, b.halted)
		}
		if wantVersion && !strings.Contains(b.halted.Error(), fmt.Sprintf("version %d of the registry's rules is needed", rulesVersion+1)) {
			t.Errorf("%s: %v doesn't say which version is needed", name, b.halted)
		}
		if out := b.applied(t, good); out != nil {
			t.Errorf("%s: it went on: %v", name, out)
		}
		if _, err := b.Snapshot(); err == nil {
			t.Errorf("%s: it gave a snapshot, which would let Raft drop the entry", name)
		}
		b.stopped = nil
		if !bytes.Equal(before, b.saved(t)) {
			t.Errorf("%s: something changed", name)
		}
	}
}

func TestSnapshotRestoresTheSameState(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	saved := b.saved(t)
	other := newBench()
	other.restored(t, saved)
	if again := other.saved(t); !bytes.Equal(saved, again) {
		t.Errorf("a restored state gives another snapshot:\n%q\n%q", saved, again)
	}
	other.index, other.number = b.index, b.number
	for _, id := range []string{"a", "x", "b", "d"} {
		mine, theirs := b.apply(t, openSession(named(id), 10)), other.apply(t, openSession(named(id), 10))
		if d := cmp.Diff(outcomeToWire(mine[0]).String(), outcomeToWire(theirs[0]).String()); d != "" {
			t.Errorf("%s: the outcomes differ:\n%s", id, d)
		}
	}
	if !bytes.Equal(b.saved(t), other.saved(t)) {
		t.Error("the states differ after the same commands")
	}
}

func TestSnapshotDoesNotChangeWithTheMachine(t *testing.T) {
	t.Parallel()
	b := furnished(t)
	want := b.saved(t)
	s, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	b.apply(t, forgetSession("a", true), openSession(named("z"), 10), claimProcess(host.ProcessRecord{Worker: "w1", Node: "n2"}), bindSession("d", "w7", 3<<40+4))
	var got sink
	if err := s.Persist(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got.Bytes()) {
		t.Error("a snapshot has what came after it")
	}
}

func TestSnapshotThatCannotBeWrittenIsCancelled(t *testing.T) {
	t.Parallel()
	s, err := furnished(t).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	full := &sink{room: 10}
	if err := s.Persist(full); err == nil || !full.cancelled || full.closed {
		t.Errorf("Persist: %v, cancelled %t, closed %t", err, full.cancelled, full.closed)
	}
}

func TestDamagedSnapshotIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	whole := furnished(t).saved(t)
	b := furnished(t)
	before := b.saved(t)
	try := func(name string, damaged []byte) {
		err := b.Restore(io.NopCloser(bytes.NewReader(damaged)))
		if err == nil {
			t.Errorf("%s was taken", name)
		}
		if !bytes.Equal(before, b.saved(t)) {
			t.Fatalf("%s changed the state", name)
		}
	}
	for n := range whole {
		try(fmt.Sprintf("the first %d bytes", n), whole[:n])
	}
	try("one with a tail", append(slices.Clone(whole), 0))
	try("two", append(slices.Clone(whole), whole...))
}

func TestSnapshotOfANewerProgramSaysWhichVersionItNeeds(t *testing.T) {
	t.Parallel()
	header := &snakepitv1.RegistryRecord{Record: &snakepitv1.RegistryRecord_Header{Header: &snakepitv1.SnapshotHeader{Version: 7}}}
	body := marshalled(t, header)
	_, err := readSnapshot(bytes.NewReader(protowire.AppendBytes(nil, body)))
	if errdefs.ReasonOf(err) != errdefs.VersionMismatch || !strings.Contains(err.Error(), "version 7") {
		t.Errorf("got %v", err)
	}
}

func TestRowsCrossTheWire(t *testing.T) {
	t.Parallel()
	for _, s := range []host.Session{{}, {ID: "a"}, {
		ID: "b", Pool: "p", Home: "w", Epoch: 1<<63 + 5, TTL: 1234567891, Metadata: map[string]string{"k": "v"}, OpenedAt: timeOf(1_700_000_000, 123456789),
		Affinity: host.AffinityStrictFailFast, Concurrent: true,
	}} {
		if d := cmp.Diff(s, sessionFromWire(sessionToWire(s))); d != "" {
			t.Errorf("session (-want +got):\n%s", d)
		}
	}
	m := Member{
		ID: "n", Name: "one", Address: "a:1", API: "a:2", Machine: host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "p"},
		Process: host.Process{PID: 1 << 22, StartTime: 1<<63 + 7}, Incarnation: 1<<63 + 5, Nonce: "x", MinVersion: 1, MaxVersion: 2, Status: StatusPausing,
		RehomeAfter: time.Minute, Pause: time.Second,
	}
	if d := cmp.Diff(m, memberFromWire(memberToWire(m))); d != "" {
		t.Errorf("member (-want +got):\n%s", d)
	}
	row := sessionRow{Session: named("s"), values: map[string]Value{"a": {Bytes: []byte("1"), Version: 9}, "b": {Version: 8}}}
	row.Owner, row.Availability = Owner{Node: "n", Incarnation: 7}, host.AvailabilityLocal
	if d := cmp.Diff(row, rowFromWire(savedSession(&row)), cmp.AllowUnexported(sessionRow{})); d != "" {
		t.Errorf("row (-want +got):\n%s", d)
	}
	p := host.ProcessRecord{
		Worker: "w", Pool: "p", Node: "n", Epoch: 1<<63 + 5, Process: host.Process{PID: 1 << 22, StartTime: 1<<63 + 7},
		Machine: host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "p"}, Owner: Owner{Node: "n", Incarnation: 7},
	}
	if d := cmp.Diff(p, processFromWire(processToWire(p))); d != "" {
		t.Errorf("process (-want +got):\n%s", d)
	}
	tool := host.OfferedTool{Pool: "p", Exposed: true, Tool: host.Tool{
		Name: "t", Description: "d", InputSchema: "i", OutputSchema: "o", Stream: true, InputStream: "s", Idempotent: true, Cancel: "kill",
	}}
	if d := cmp.Diff(tool, offeredFromWire(offeredToWire(tool))); d != "" {
		t.Errorf("tool (-want +got):\n%s", d)
	}
	refusal := refused(errdefs.New(errdefs.SessionQuota, "no"))
	refusal.err.Hint = "go"
	back := outcomeFromWire(outcomeToWire(refusal))
	if back.err.Error() != refusal.err.Error() || !errors.Is(back.err, errdefs.ErrExhausted) {
		t.Errorf("refusal %v became %v", refusal.err, back.err)
	}
}

var _ raft.FSM = (*machine)(nil)

// TestWhereSessionsLivedIsKnownOnlyOfLossesThatWereSeen: who was sent a snapshot since may have
// missed that another session of the same worker is somebody else's by now.
func TestWhereSessionsLivedIsKnownOnlyOfLossesThatWereSeen(t *testing.T) {
	t.Parallel()
	for _, missed := range []bool{false, true} {
		b := newBench()
		one := b.apply(t, registerNode(Member{ID: "n1", Nonce: "x", MinVersion: 1, MaxVersion: rulesVersion}, 0))[0].node
		two := b.apply(t, registerNode(Member{ID: "n2", Nonce: "y", MinVersion: 1, MaxVersion: rulesVersion}, 0))[0].node
		from, to := Owner{Node: "n1", Incarnation: one.Incarnation}, Owner{Node: "n2", Incarnation: two.Incarnation}
		s := b.apply(t, openOwned(host.Session{ID: "a", Pool: "ml", Home: "w"}, from, 10))[0].session
		b.apply(t, setNodeStatus("n1", one.Incarnation, StatusDown, 0))
		if missed {
			restored := newBench()
			restored.restored(t, b.saved(t))
			restored.index, restored.number = b.index, b.number
			b = restored
		}
		b.apply(t, rehome([]*snakepitv1.MoveSession{move("a", s.Epoch, to)}, 0))
		if moved, _ := b.session("a"); moved.Owner != to {
			t.Fatalf("it's %+v's", moved.Owner)
		}
		want := host.Left{Owner: from, Home: "w"}
		if missed {
			want = host.Left{}
		}
		if got := b.state.left["a"].Left; got != want {
			t.Errorf("it lived with %+v, want %+v", got, want)
		}
	}
}
