package cluster

import (
	"errors"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Recovered says what came of a recovery.
type Recovered struct {
	Node       string
	Cluster    string   // the new cluster's id
	Generation uint64   // its epochs are greater than any of a lower one
	From       string   // the id of the cluster that lost its majority
	Gone       []string // the ids of the other nodes, none of which can come back
	Sessions   int
}

// Recover makes the node in a directory a cluster of its own, when the majority of
// its cluster is lost for good. The node mustn't run. It keeps what this node has of the
// registry: what others had acknowledged and this one hadn't heard of is lost, what it
// had heard of and nobody had acknowledged is there. Of several that are left, recover
// the one whose log is longest (Overview.Last), and let the others join it anew.
//
// The other nodes are recorded as having left, and the cluster has a new id: should
// they come back, they're refused with wrong_cluster, on both sides, and nothing they
// send reaches this node's log. They may still be a majority to each other, and serve
// the same sessions: so they must not come back. All epochs are greater than any before.
//
// Errors: invalid_arguments where there is no node; conflict when it runs, or is the
// only member already; those of [Open] for damaged files, which a backup is for.
func Recover(dir string) (r Recovered, err error) {
	if _, known, err := readIdentity(dir); err != nil {
		return r, openError(dir, err)
	} else if !known {
		return r, errdefs.New(errdefs.InvalidArguments, "there's no node in %s", dir)
	}
	failed := func(cause error) { err = cause }
	d, err := openDisk(dir, hclog.NewNullLogger(), failed)
	if err != nil {
		return r, openError(dir, err)
	}
	done := errors.New("the log can't be read")
	var working sync.WaitGroup // a goroutine that the store may end: see store.must
	working.Go(func() { done = boltfile.Guard(func() (err error) { r, err = d.survive(); return err }) })
	working.Wait()
	if err = firstOf(err, done, d.close()); err != nil {
		return Recovered{}, openError(dir, err)
	}
	return r, nil
}

// survive takes the others out of Raft's configuration and the registry. The identity comes
// first: should this process end in between, nothing goes on under the old one, and
// a second try mends it.
func (d *disk) survive() (Recovered, error) {
	was := d.identity
	cfg := (&Node{id: was.ID, log: d.log, timing: timing{TimingLAN, 1}}).raftConfig()
	address, trans := raft.NewInmemTransport(raft.ServerAddress(was.ID))
	servers, err := raft.GetConfiguration(cfg, newMachine(func(error) {}), d.logs, d.logs, d.snapshots, trans)
	if err != nil {
		return Recovered{}, err
	}
	if len(servers.Servers) == 1 && string(servers.Servers[0].ID) == was.ID {
		e := errdefs.New(errdefs.Conflict, "node %s is the only member of its cluster already", was.ID)
		e.Hint = "start it"
		return Recovered{}, e
	}
	next := newUUID()
	if err := d.raise(); err != nil {
		return Recovered{}, err
	}
	if err := d.belong(next, true); err != nil {
		return Recovered{}, err
	}
	survivor := &survivor{machine: newMachine(func(error) {}), id: d.identity}
	alone := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: cfg.LocalID, Address: address}}}
	if err := raft.RecoverCluster(cfg, survivor, d.logs, d.logs, d.snapshots, trans, alone); err != nil {
		return Recovered{}, err
	}
	return survivor.report(was), nil
}

// survivor is a registry whose last snapshot says that only one node is left.
type survivor struct {
	*machine

	id   identity
	last *state // as the snapshot has it
	gone []string
}

// Snapshot implements [raft.FSM].
func (s *survivor) Snapshot() (raft.FSMSnapshot, error) {
	last, err := s.saved()
	if err != nil {
		return nil, err
	}
	last.generation, last.cluster = max(last.generation+1, s.id.Generation), s.id.Cluster
	last.raised = max(last.raised, 2) // from which on a snapshot has the cluster's id
	for id, row := range last.nodes {
		if id == s.id.ID {
			continue
		}
		left := *row
		left.Status = StatusLeft
		last.nodes[id] = &left
		s.gone = append(s.gone, id)
	}
	slices.Sort(s.gone)
	s.last = last
	return &snapshot{last}, nil
}

func (s *survivor) report(was identity) Recovered {
	return Recovered{
		Node: was.ID, Cluster: s.id.Cluster, Generation: s.last.generation, From: was.Cluster,
		Gone: s.gone, Sessions: len(s.last.sessions),
	}
}
