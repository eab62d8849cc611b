package members

import (
	"math"
	"time"

	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// ToWire gives a cluster as a message.
func ToWire(c Cluster) *snakepitv1.ClusterStatusResponse {
	w := &snakepitv1.ClusterStatusResponse{
		Cluster: c.ID, Node: c.Self, Leader: c.Leader, Term: c.Term, Last: c.Last, Commit: c.Commit, Applied: c.Applied,
		Level: c.Level, Generation: c.Generation, Tokens: count(c.Tokens), State: string(c.State), Summary: c.Summary, Advice: c.Advice,
		Lease: &snakepitv1.ClusterLease{Held: c.Lease.Held, Endless: c.Lease.Endless, LeftUs: micros(c.Lease.Left)},
	}
	for _, n := range c.Nodes {
		w.Nodes = append(w.Nodes, nodeToWire(n))
	}
	for _, x := range c.Warnings {
		w.Warnings = append(w.Warnings, &snakepitv1.ClusterWarning{Kind: x.Kind, Node: x.Node, Text: x.Text, Hint: x.Hint})
	}
	return w
}

// FromWire gives it back.
func FromWire(w *snakepitv1.ClusterStatusResponse) Cluster {
	c := Cluster{
		ID: w.GetCluster(), Self: w.GetNode(), Leader: w.GetLeader(), Term: w.GetTerm(), Last: w.GetLast(), Commit: w.GetCommit(),
		Applied: w.GetApplied(), Level: w.GetLevel(), Generation: w.GetGeneration(), Tokens: int(w.GetTokens()), State: State(w.GetState()), Summary: w.GetSummary(), Advice: w.GetAdvice(),
		Lease: Lease{Held: w.GetLease().GetHeld(), Endless: w.GetLease().GetEndless(), Left: span64(w.GetLease().GetLeftUs())},
	}
	for _, n := range w.GetNodes() {
		c.Nodes = append(c.Nodes, nodeFromWire(n))
	}
	for _, x := range w.GetWarnings() {
		c.Warnings = append(c.Warnings, Warning{Kind: x.GetKind(), Node: x.GetNode(), Text: x.GetText(), Hint: x.GetHint()})
	}
	return c
}

func nodeToWire(n Node) *snakepitv1.ClusterNode {
	w := &snakepitv1.ClusterNode{
		Id: n.ID, Name: n.Name, Address: n.Address, ApiAddress: n.API, Status: n.Status, Member: n.Member, Voter: n.Voter,
		Leader: n.Leader, Incarnation: n.Incarnation, Sessions: n.Sessions, Answers: n.Answers, Applied: n.Applied,
		Version: n.Version, Rules: n.Rules, Machine: n.Machine, Unverified: count(n.Unverified), LeaseHeld: n.LeaseHeld,
		Disk: &snakepitv1.ClusterDisk{FreeBytes: n.Disk.Free, SizeBytes: n.Disk.Size, WriteUs: micros(n.Disk.Write)},
	}
	if n.Renewed != nil {
		us := micros(*n.Renewed)
		w.RenewedUs = &us
	}
	return w
}

func nodeFromWire(w *snakepitv1.ClusterNode) Node {
	n := Node{
		ID: w.GetId(), Name: w.GetName(), Address: w.GetAddress(), API: w.GetApiAddress(), Status: w.GetStatus(), Member: w.GetMember(),
		Voter: w.GetVoter(), Leader: w.GetLeader(), Incarnation: w.GetIncarnation(), Sessions: w.GetSessions(), Answers: w.GetAnswers(),
		Applied: w.GetApplied(), Version: w.GetVersion(), Rules: w.GetRules(), Machine: w.GetMachine(),
		Unverified: int(w.GetUnverified()), LeaseHeld: w.GetLeaseHeld(),
		Disk: Disk{Free: w.GetDisk().GetFreeBytes(), Size: w.GetDisk().GetSizeBytes(), Write: span64(w.GetDisk().GetWriteUs())},
	}
	if w.RenewedUs != nil {
		ago := span64(w.GetRenewedUs())
		n.Renewed = &ago
	}
	return n
}

func micros(d time.Duration) uint64 { return uint64(max(d, 0) / time.Microsecond) }

// span64 is a number of microseconds; more than 285 years are as many.
func span64(us uint64) time.Duration {
	const most = 1 << 53
	return time.Duration(min(us, most)) * time.Microsecond //nolint:gosec // bounded
}

func count(n int) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) } //nolint:gosec // bounded
