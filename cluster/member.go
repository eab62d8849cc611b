package cluster

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Member is a node as the registry has it.
type Member struct {
	ID          string
	Name        string // for people
	Address     string // where other nodes reach it
	API         string // where clients reach it; empty: nowhere
	Machine     host.MachineID
	Process     host.Process // the host's own
	Incarnation uint64       // grows with each registration: an epoch
	Nonce       string       // random, one for each start
	MinVersion  uint32       // of the registry's rules that it knows
	MaxVersion  uint32
	Status      Status
	RehomeAfter time.Duration // how long its sessions wait for it when it's down
	Pause       time.Duration // while it's pausing: within which time it's back
}

// Status is how a node is.
type Status string

// The statuses. Only a node that is up gets sessions; one that is draining or
// pausing keeps those that it has.
const (
	StatusUp       Status = "up"
	StatusDraining Status = "draining"
	StatusDown     Status = "down"    // its lease has ended
	StatusLeft     Status = "left"    // removed; its id can't come back
	StatusPausing  Status = "pausing" // it has ended for a while, or is about to
)

// serves reports whether the member may own sessions.
func (m *Member) serves() bool {
	return m.Status == StatusUp || m.Status == StatusDraining || m.Status == StatusPausing
}

// Owner answers for a session: one incarnation of one node. The zero value is a
// host that is no node.
type Owner = host.Owner

func memberToWire(m Member) *snakepitv1.NodeRecord {
	w := &snakepitv1.NodeRecord{
		Id: m.ID, Name: m.Name, ClusterAddress: m.Address, ApiAddress: m.API,
		MachineId: m.Machine.Machine, BootId: m.Machine.Boot, PidNamespace: m.Machine.PIDNamespace,
		Pid: int64(m.Process.PID), StartTime: m.Process.StartTime,
		Incarnation: m.Incarnation, Nonce: m.Nonce, MinVersion: m.MinVersion, MaxVersion: m.MaxVersion,
		Status: statusToWire(m.Status),
	}
	if m.RehomeAfter != 0 {
		w.RehomeAfter = durationpb.New(m.RehomeAfter)
	}
	if m.Pause != 0 {
		w.Pause = durationpb.New(m.Pause)
	}
	return w
}

func memberFromWire(w *snakepitv1.NodeRecord) Member {
	return Member{
		ID: w.GetId(), Name: w.GetName(), Address: w.GetClusterAddress(), API: w.GetApiAddress(),
		Machine:     host.MachineID{Machine: w.GetMachineId(), Boot: w.GetBootId(), PIDNamespace: w.GetPidNamespace()},
		Process:     host.Process{PID: int(w.GetPid()), StartTime: w.GetStartTime()},
		Incarnation: w.GetIncarnation(), Nonce: w.GetNonce(), MinVersion: w.GetMinVersion(), MaxVersion: w.GetMaxVersion(),
		Status: statusFromWire(w.GetStatus()), RehomeAfter: w.GetRehomeAfter().AsDuration(), Pause: w.GetPause().AsDuration(),
	}
}

func statusToWire(s Status) snakepitv1.NodeStatus {
	switch s {
	case StatusUp:
		return snakepitv1.NodeStatus_NODE_STATUS_UP
	case StatusDraining:
		return snakepitv1.NodeStatus_NODE_STATUS_DRAINING
	case StatusDown:
		return snakepitv1.NodeStatus_NODE_STATUS_DOWN
	case StatusLeft:
		return snakepitv1.NodeStatus_NODE_STATUS_LEFT
	case StatusPausing:
		return snakepitv1.NodeStatus_NODE_STATUS_PAUSING
	}
	return snakepitv1.NodeStatus_NODE_STATUS_UNSPECIFIED
}

// statusFromWire gives a status that isn't known as none: the machine refuses it.
func statusFromWire(w snakepitv1.NodeStatus) Status {
	for _, s := range []Status{StatusUp, StatusDraining, StatusDown, StatusLeft, StatusPausing} {
		if statusToWire(s) == w {
			return s
		}
	}
	return ""
}
