package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
)

// stalling is a log on a disk that may hang.
type stalling struct {
	logs

	mu   sync.Mutex // guards all below
	open chan struct{}
}

func stallable(m *memory) *stalling {
	s := &stalling{logs: m.logs, open: make(chan struct{})}
	close(s.open)
	m.logs = s
	return s
}

func (s *stalling) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = make(chan struct{})
}

func (s *stalling) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.open)
}

func (s *stalling) wait() {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	<-open
}

func (s *stalling) StoreLogs(l []*raft.Log) error      { s.wait(); return s.logs.StoreLogs(l) }
func (s *stalling) StoreLog(l *raft.Log) error         { s.wait(); return s.logs.StoreLog(l) }
func (s *stalling) Set(k, v []byte) error              { s.wait(); return s.logs.Set(k, v) }
func (s *stalling) SetUint64(k []byte, v uint64) error { s.wait(); return s.logs.SetUint64(k, v) }

// inStallableBubble runs three nodes in a bubble, each on a disk of its own that may hang.
func inStallableBubble(t *testing.T, test func(r *rig, disks map[string]*stalling)) {
	t.Helper()
	disks := map[string]*stalling{}
	inPreparedBubble(t, 3, func(r *rig) {
		for _, name := range r.names {
			disks[name] = stallable(r.nodes[name].memory)
		}
	}, func(r *rig) { test(r, disks) })
}

// TestLeaderWhoseDiskHangsGivesWayAndComesBack is there since raft sends and
// answers heartbeats off the disk's path, so that such a leader would stay one for ever.
func TestLeaderWhoseDiskHangsGivesWayAndComesBack(t *testing.T) {
	t.Parallel()
	inStallableBubble(t, func(r *rig, disks map[string]*stalling) {
		r.voters(3)
		hung := r.leader()
		node, writer := r.nodes[hung], r.nodes[r.others(hung)[0]]
		r.open(hung, "a")
		disks[hung].stall()
		began := time.Now()
		r.eventually(10*time.Second, "another writes", func() bool {
			ctx, cancel := soon()
			defer cancel()
			_, err := writer.ClaimProcess(ctx, host.ProcessRecord{Worker: "w", Pool: "ml", Node: "x"})
			return err == nil
		})
		if took := time.Since(began); took > diskWait+3*heartbeat+holdWait {
			r.Errorf("it took %s", took)
		}
		if o := node.Overview(); o.DiskHangs < diskWait || o.DiskHangs > time.Since(began) {
			r.Errorf("the hung disk shows as %+v", o)
		}
		r.eventually(5*time.Second, "its session has another owner", func() bool {
			owner, _, err := writer.Owner(r.Context(), "a")
			return err == nil && owner.Node != node.ID()
		})
		if node.Lease().Valid(node.mesh.clock.Now()) {
			r.Error("its lease lasts")
		}
		time.Sleep(time.Minute)
		disks[hung].goOn()
		r.eventually(5*time.Second, "it has a lease again", func() bool { return node.Lease().Valid(node.mesh.clock.Now()) })
		if o := node.Overview(); o.DiskHangs != 0 || o.Leader == node.ID() {
			r.Errorf("it sees %+v", o)
		}
		r.open(hung, "b")
	})
}

func TestFollowerWhoseDiskHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	inStallableBubble(t, func(r *rig, disks map[string]*stalling) {
		r.voters(3)
		leader := r.leader()
		hung := r.others(leader)[0]
		r.open(hung, "a")
		disks[hung].stall()
		for range 20 {
			began := time.Now()
			r.open(leader, began.String())
			if took := time.Since(began); took > 100*time.Millisecond {
				r.Errorf("it took %s", took)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if r.leader() != leader {
			r.Error("the leadership moved")
		}
		if owner, _, err := r.nodes[leader].Owner(r.Context(), "a"); err != nil || owner.Node == r.nodes[hung].ID() {
			r.Errorf("its session is still its own, which can't write: %v, %v", owner, err)
		}
		disks[hung].goOn()
		node := r.nodes[hung]
		r.eventually(5*time.Second, "it has a lease again", func() bool { return node.Lease().Valid(node.mesh.clock.Now()) })
		r.open(hung, "later")
	})
}
