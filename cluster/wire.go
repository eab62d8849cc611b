package cluster

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func sessionToWire(s host.Session) *snakepitv1.SessionRecord {
	w := &snakepitv1.SessionRecord{
		Id: string(s.ID), Pool: s.Pool, Home: string(s.Home), Epoch: s.Epoch, Metadata: s.Metadata,
		Affinity: string(s.Affinity), Concurrent: s.Concurrent, Owner: s.Owner.Node, OwnerIncarnation: s.Owner.Incarnation,
		Availability: string(s.Availability),
	}
	if s.TTL != 0 {
		w.Ttl = durationpb.New(s.TTL)
	}
	if !s.OpenedAt.IsZero() {
		w.OpenedAt = timestamppb.New(s.OpenedAt)
	}
	return w
}

func sessionFromWire(w *snakepitv1.SessionRecord) host.Session {
	s := host.Session{
		ID: host.SessionID(w.GetId()), Pool: w.GetPool(), Home: host.WorkerID(w.GetHome()), Epoch: w.GetEpoch(),
		TTL: w.GetTtl().AsDuration(), Metadata: w.GetMetadata(), Affinity: host.Affinity(w.GetAffinity()), Concurrent: w.GetConcurrent(),
		Owner:        host.Owner{Node: w.GetOwner(), Incarnation: w.GetOwnerIncarnation()},
		Availability: host.Availability(w.GetAvailability()),
	}
	if w.GetOpenedAt() != nil {
		s.OpenedAt = w.GetOpenedAt().AsTime()
	}
	return s
}

func processToWire(p host.ProcessRecord) *snakepitv1.WorkerProcess {
	return &snakepitv1.WorkerProcess{
		Worker: string(p.Worker), Pool: p.Pool, Node: p.Node, Epoch: p.Epoch,
		Pid: int64(p.Process.PID), StartTime: p.Process.StartTime,
		MachineId: p.Machine.Machine, BootId: p.Machine.Boot, PidNamespace: p.Machine.PIDNamespace,
		Owner: p.Owner.Node, OwnerIncarnation: p.Owner.Incarnation,
	}
}

func processFromWire(w *snakepitv1.WorkerProcess) host.ProcessRecord {
	return host.ProcessRecord{
		Worker: host.WorkerID(w.GetWorker()), Pool: w.GetPool(), Node: w.GetNode(), Epoch: w.GetEpoch(),
		Process: host.Process{PID: int(w.GetPid()), StartTime: w.GetStartTime()},
		Machine: host.MachineID{Machine: w.GetMachineId(), Boot: w.GetBootId(), PIDNamespace: w.GetPidNamespace()},
		Owner:   host.Owner{Node: w.GetOwner(), Incarnation: w.GetOwnerIncarnation()},
	}
}

// rowToWire leaves out the session's state, which only a snapshot has.
func rowToWire(r *sessionRow) *snakepitv1.SessionRecord {
	return sessionToWire(r.Session)
}

// savedSession is a session with its state.
func savedSession(r *sessionRow) *snakepitv1.SessionRecord {
	w := rowToWire(r)
	for _, key := range slices.Sorted(maps.Keys(r.values)) {
		v := r.values[key]
		w.State = append(w.State, &snakepitv1.StateEntry{Key: key, Value: v.Bytes, Version: v.Version})
	}
	return w
}

func rowFromWire(w *snakepitv1.SessionRecord) sessionRow {
	r := sessionRow{Session: sessionFromWire(w)}
	for _, e := range w.GetState() {
		if r.values == nil {
			r.values = map[string]Value{}
		}
		r.values[e.GetKey()] = Value{Bytes: e.GetValue(), Version: e.GetVersion()}
	}
	return r
}

// outcome is what a command came to. err has a reason, a message and a hint, and
// nothing else. What session, process and node point to never changes.
type outcome struct {
	err     *errdefs.Error
	session *sessionRow
	process *host.ProcessRecord
	node    *Member
	version uint64 // of what was written to a session's state
	index   uint64 // of the entry; only in an answer
}

func outcomeToWire(o outcome) *snakepitv1.RegistryOutcome {
	w := &snakepitv1.RegistryOutcome{}
	if o.err != nil {
		w.Reason, w.Message, w.Hint = string(o.err.Reason), o.err.Message, o.err.Hint
	}
	if o.session != nil {
		w.Session = rowToWire(o.session)
	}
	if o.process != nil {
		w.Process = processToWire(*o.process)
	}
	if o.node != nil {
		w.Node = memberToWire(*o.node)
	}
	w.Version = o.version
	return w
}

func outcomeFromWire(w *snakepitv1.RegistryOutcome) outcome {
	var o outcome
	if w.GetReason() != "" {
		o.err = &errdefs.Error{Reason: errdefs.Reason(w.GetReason()), Message: w.GetMessage(), Hint: w.GetHint()}
	}
	if w.GetSession() != nil {
		s := rowFromWire(w.GetSession())
		o.session = &s
	}
	if w.GetProcess() != nil {
		p := processFromWire(w.GetProcess())
		o.process = &p
	}
	if w.GetNode() != nil {
		m := memberFromWire(w.GetNode())
		o.node = &m
	}
	o.version = w.GetVersion()
	return o
}

// offeredToWire has what the host's own API has of a tool.
func offeredToWire(t host.OfferedTool) *snakepitv1.OfferedTool {
	return &snakepitv1.OfferedTool{Pool: t.Pool, Exposed: t.Exposed, Tool: &snakepitv1.Tool{
		Name: t.Name, Description: t.Description, InputSchema: t.InputSchema, OutputSchema: t.OutputSchema,
		Stream: t.Stream, InputStream: t.InputStream, Idempotent: t.Idempotent, Cancel: t.Cancel,
	}}
}

func offeredFromWire(w *snakepitv1.OfferedTool) host.OfferedTool {
	t := w.GetTool()
	return host.OfferedTool{Pool: w.GetPool(), Exposed: w.GetExposed(), Tool: host.Tool{
		Name: t.GetName(), Description: t.GetDescription(), InputSchema: t.GetInputSchema(), OutputSchema: t.GetOutputSchema(),
		Stream: t.GetStream(), InputStream: t.GetInputStream(), Idempotent: t.GetIdempotent(), Cancel: t.GetCancel(),
	}}
}

// The commands.

func openSession(s host.Session, limit int) *snakepitv1.RegistryCommand {
	return openOwned(s, Owner{}, limit)
}

func openOwned(s host.Session, by Owner, limit int) *snakepitv1.RegistryCommand {
	s.Owner = by
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_OpenSession{
		OpenSession: &snakepitv1.OpenSession{Session: sessionToWire(s), Limit: uint64(limit)}, //nolint:gosec // Config checks that it's positive
	}}
}

func bindSession(id host.SessionID, home host.WorkerID, from uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_BindSession{
		BindSession: &snakepitv1.BindSession{Id: string(id), Home: string(home), FromEpoch: from},
	}}
}

func forgetSession(id host.SessionID, expired bool) *snakepitv1.RegistryCommand {
	return forgetFrom(id, expired, 0)
}

func forgetFrom(id host.SessionID, expired bool, from uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_ForgetSession{
		ForgetSession: &snakepitv1.ForgetSession{Id: string(id), Expired: expired, FromEpoch: from},
	}}
}

func claimProcess(p host.ProcessRecord) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_ClaimProcess{
		ClaimProcess: &snakepitv1.ClaimProcess{Process: processToWire(p)},
	}}
}

func releaseProcess(worker host.WorkerID) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_ReleaseProcess{
		ReleaseProcess: &snakepitv1.ReleaseProcess{Worker: string(worker)},
	}}
}

func raiseGeneration(generation uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_RaiseGeneration{
		RaiseGeneration: &snakepitv1.RaiseGeneration{Generation: generation},
	}}
}

func registerNode(m Member, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_RegisterNode{
		RegisterNode: &snakepitv1.RegisterNode{Node: memberToWire(m), Term: term},
	}}
}

func setNodeStatus(id string, incarnation uint64, to Status, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SetNodeStatus{
		SetNodeStatus: &snakepitv1.SetNodeStatus{Id: id, Incarnation: incarnation, Status: statusToWire(to), Term: term},
	}}
}

func forgetNode(id string) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_ForgetNode{ForgetNode: &snakepitv1.ForgetNode{Id: id}}}
}

func setFeatureLevel(level uint32, cluster string, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SetFeatureLevel{
		SetFeatureLevel: &snakepitv1.SetFeatureLevel{Level: level, Cluster: cluster, Term: term},
	}}
}

func move(id host.SessionID, from uint64, to Owner) *snakepitv1.MoveSession {
	return &snakepitv1.MoveSession{Id: string(id), FromEpoch: from, Node: to.Node, Incarnation: to.Incarnation}
}

func rehome(moves []*snakepitv1.MoveSession, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_Rehome{Rehome: &snakepitv1.Rehome{Moves: moves, Term: term}}}
}

func moveSession(id host.SessionID, from uint64, to Owner) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_MoveSession{MoveSession: move(id, from, to)}}
}

func setState(id host.SessionID, epoch uint64, changes []*snakepitv1.StateChange) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SetState{
		SetState: &snakepitv1.SetState{Id: string(id), Epoch: epoch, Changes: changes},
	}}
}

func pauseNode(by Owner, within time.Duration) *snakepitv1.RegistryCommand {
	c := &snakepitv1.PauseNode{Id: by.Node, Incarnation: by.Incarnation}
	if within != 0 {
		c.Within = durationpb.New(within)
	}
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_PauseNode{PauseNode: c}}
}

func setRehomeAfter(of Owner, after time.Duration, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SetRehomeAfter{
		SetRehomeAfter: &snakepitv1.SetRehomeAfter{Id: of.Node, Incarnation: of.Incarnation, After: durationpb.New(after), Term: term},
	}}
}

func storeTools(by Owner, content []byte) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_StoreTools{
		StoreTools: &snakepitv1.StoreTools{Id: by.Node, Incarnation: by.Incarnation, Content: content},
	}}
}

func offerTools(by Owner, sets []sum) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_OfferTools{
		OfferTools: &snakepitv1.OfferTools{Id: by.Node, Incarnation: by.Incarnation, Sets: sumsToWire(sets)},
	}}
}

func addToken(hash sum, uses uint32, label string) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_AddToken{
		AddToken: &snakepitv1.AddToken{Hash: hash[:], Uses: uses, Label: label},
	}}
}

// dropToken has no term where an operator drops a token.
func dropToken(hash sum, added, term uint64) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_DropToken{
		DropToken: &snakepitv1.DropToken{Hash: hash[:], Added: added, Term: term},
	}}
}

func spendToken(hash sum, node string) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SpendToken{
		SpendToken: &snakepitv1.SpendToken{Hash: hash[:], Node: node},
	}}
}

func changePoolOverride(pool string, former, knobs map[string]string) *snakepitv1.RegistryCommand {
	cmd := setPoolOverride(pool, knobs)
	cmd.GetSetPoolOverride().Former, cmd.GetSetPoolOverride().Compare = former, true
	return cmd
}

func setPoolOverride(pool string, knobs map[string]string) *snakepitv1.RegistryCommand {
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_SetPoolOverride{
		SetPoolOverride: &snakepitv1.SetPoolOverride{Pool: pool, Knobs: knobs},
	}}
}
