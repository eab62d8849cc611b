package cluster

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// border is what Raft's messages pass on their way to and from other nodes. Raft
// obeys whoever speaks of a higher term, also the leader of a cluster that this one
// was recovered from. So each message has its sender's cluster, and none from
// another is let in. And none is let out while the disk hangs: Raft would go on to
// tell the others that it leads, and lead nowhere.
type border struct {
	*raft.NetworkTransport

	cluster func() string // empty: none yet
	hangs   func() bool
	raft    atomic.Pointer[raft.Raft] // nil: it hasn't begun
	in      chan raft.RPC
	closing sync.Once
	closed  chan struct{}
	passing sync.WaitGroup
}

// resendWait is the pause before entries are sent again that didn't arrive.
const resendWait = 50 * time.Millisecond

var errDiskHangs = errors.New("this node's disk hangs, and so it leads nobody and owns nothing")

func newBorder(t *raft.NetworkTransport, cluster func() string, hangs func() bool) *border {
	b := &border{NetworkTransport: t, cluster: cluster, hangs: hangs, in: make(chan raft.RPC), closed: make(chan struct{})}
	b.passing.Go(b.pass)
	return b
}

// pass lets messages in until the border is closed.
func (b *border) pass() {
	for {
		select {
		case rpc := <-b.NetworkTransport.Consumer():
			if b.refuse(rpc) {
				continue
			}
			select {
			case b.in <- rpc:
			case <-b.closed:
				rpc.Respond(nil, raft.ErrTransportShutdown)
				return
			}
		case <-b.closed:
			return
		}
	}
}

// Consumer implements [raft.Transport].
func (b *border) Consumer() <-chan raft.RPC { return b.in }

// SetHeartbeatHandler implements [raft.Transport]: heartbeats don't wait behind other
// messages.
func (b *border) SetHeartbeatHandler(beat func(raft.RPC)) {
	if beat == nil {
		b.NetworkTransport.SetHeartbeatHandler(nil)
		return
	}
	b.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if !b.refuse(rpc) {
			beat(rpc)
		}
	})
}

// Close implements [raft.WithClose].
func (b *border) Close() error {
	b.closing.Do(func() { close(b.closed) })
	err := b.NetworkTransport.Close()
	b.passing.Wait()
	return err
}

// EncodePeer implements [raft.Transport]: what Raft says of a sender's address has its
// cluster behind it.
func (b *border) EncodePeer(id raft.ServerID, address raft.ServerAddress) []byte {
	where := append(b.NetworkTransport.EncodePeer(id, address), 0)
	return append(where, b.cluster()...)
}

// DecodePeer implements [raft.Transport].
func (b *border) DecodePeer(peer []byte) raft.ServerAddress {
	address, _, _ := bytes.Cut(peer, []byte{0})
	return b.NetworkTransport.DecodePeer(address)
}

// refuse answers a message from another cluster, and reports whether it was one.
// A node that doesn't belong anywhere yet is no stranger, nor are others to it.
func (b *border) refuse(rpc raft.RPC) bool {
	message, ok := rpc.Command.(raft.WithRPCHeader)
	if !ok {
		return false
	}
	header := message.GetRPCHeader()
	_, theirs, _ := bytes.Cut(header.Addr, []byte{0})
	own := b.cluster()
	if len(theirs) == 0 || own == "" || string(theirs) == own {
		return false
	}
	if rpc.Reader != nil {
		_, _ = io.Copy(io.Discard, rpc.Reader) // the next message stands behind it
	}
	rpc.Respond(nil, errdefs.New(errdefs.WrongCluster, "node %s is of cluster %s, and this is %s", header.ID, theirs, own))
	return true
}

// AppendEntries implements [raft.Transport]. Entries are sent again until they arrive,
// for as long as there is a use for it: Raft itself waits ever longer between two
// tries, ten seconds in the end, for which a node that's back would know nothing new.
func (b *border) AppendEntries(id raft.ServerID, to raft.ServerAddress, r *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) error {
	for {
		err := b.appendOnce(id, to, r, out)
		if err == nil || isHeartbeat(r) || !b.leads(id, r.Term) {
			return err
		}
		select {
		case <-time.After(resendWait):
		case <-b.closed:
			return err
		}
	}
}

func (b *border) appendOnce(id raft.ServerID, to raft.ServerAddress, r *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) error {
	if b.hangs() {
		return errDiskHangs
	}
	return b.NetworkTransport.AppendEntries(id, to, r, out)
}

// isHeartbeat reports whether a message has nothing but its term.
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.PrevLogEntry == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

// leads reports whether this node leads in a term, and another is a member.
func (b *border) leads(id raft.ServerID, term uint64) bool {
	r := b.raft.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	future := r.GetConfiguration()
	return future.Error() == nil && slices.ContainsFunc(future.Configuration().Servers, func(s raft.Server) bool { return s.ID == id })
}

// RequestVote implements [raft.Transport].
func (b *border) RequestVote(id raft.ServerID, to raft.ServerAddress, r *raft.RequestVoteRequest, out *raft.RequestVoteResponse) error {
	if b.hangs() {
		return errDiskHangs
	}
	return b.NetworkTransport.RequestVote(id, to, r, out)
}

// RequestPreVote implements [raft.WithPreVote].
func (b *border) RequestPreVote(id raft.ServerID, to raft.ServerAddress, r *raft.RequestPreVoteRequest, out *raft.RequestPreVoteResponse) error {
	if b.hangs() {
		return errDiskHangs
	}
	return b.NetworkTransport.RequestPreVote(id, to, r, out)
}

// InstallSnapshot implements [raft.Transport].
func (b *border) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, r *raft.InstallSnapshotRequest, out *raft.InstallSnapshotResponse, data io.Reader) error {
	if b.hangs() {
		return errDiskHangs
	}
	return b.NetworkTransport.InstallSnapshot(id, to, r, out, data)
}
