package cluster

import (
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

func sessionToWire(s host.Session) *snakepitv1.SessionRecord {
	w := &snakepitv1.SessionRecord{
		Id: string(s.ID), Pool: s.Pool, Home: string(s.Home), Epoch: s.Epoch, Metadata: s.Metadata,
		Affinity: string(s.Affinity), Concurrent: s.Concurrent,
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
	}
}

func processFromWire(w *snakepitv1.WorkerProcess) host.ProcessRecord {
	return host.ProcessRecord{
		Worker: host.WorkerID(w.GetWorker()), Pool: w.GetPool(), Node: w.GetNode(), Epoch: w.GetEpoch(),
		Process: host.Process{PID: int(w.GetPid()), StartTime: w.GetStartTime()},
		Machine: host.MachineID{Machine: w.GetMachineId(), Boot: w.GetBootId(), PIDNamespace: w.GetPidNamespace()},
	}
}

// outcome is what a command came to. err has a reason, a message and a hint, and
// nothing else. What session and process point to never changes.
type outcome struct {
	err     *errdefs.Error
	session *host.Session
	process *host.ProcessRecord
}

func outcomeToWire(o outcome) *snakepitv1.RegistryOutcome {
	w := &snakepitv1.RegistryOutcome{}
	if o.err != nil {
		w.Reason, w.Message, w.Hint = string(o.err.Reason), o.err.Message, o.err.Hint
	}
	if o.session != nil {
		w.Session = sessionToWire(*o.session)
	}
	if o.process != nil {
		w.Process = processToWire(*o.process)
	}
	return w
}

func outcomeFromWire(w *snakepitv1.RegistryOutcome) outcome {
	var o outcome
	if w.GetReason() != "" {
		o.err = &errdefs.Error{Reason: errdefs.Reason(w.GetReason()), Message: w.GetMessage(), Hint: w.GetHint()}
	}
	if w.GetSession() != nil {
		s := sessionFromWire(w.GetSession())
		o.session = &s
	}
	if w.GetProcess() != nil {
		p := processFromWire(w.GetProcess())
		o.process = &p
	}
	return o
}

// The commands.

func openSession(s host.Session, limit int) *snakepitv1.RegistryCommand {
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
	return &snakepitv1.RegistryCommand{Command: &snakepitv1.RegistryCommand_ForgetSession{
		ForgetSession: &snakepitv1.ForgetSession{Id: string(id), Expired: expired},
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
