package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// rig is a cluster in a bubble: nodes over a network in memory.
type rig struct {
	*testing.T

	timing string
	net    *network
	names  []string
	nodes  map[string]*rigNode
}

// rigNode is a place for a node: what it finds again when it starts anew.
type rigNode struct {
	name    string
	address string
	memory  *memory
	dir     string // instead of memory
	rate    float64
	machine string
	room    uint32 // for sessions of pool ml
	rules   uint32 // that it knows; zero: all

	rehomeAfter time.Duration
	onOverrides func(map[string]map[string]string)
	*Node

	mu     sync.Mutex // guards all below
	owned  map[host.SessionID]uint64
	leases []Lease                 // that it was told of
	first  time.Time               // when it was told of the first one of its start
	told   time.Time               // when it was told of a session that it owns
	gone   func(host.Process) bool // nil: that's never known
}

// rated is a clock that runs at another rate.
type rated struct {
	began time.Time
	rate  float64
}

func (c rated) Now() time.Duration { return time.Duration(float64(time.Since(c.began)) * c.rate) }

// inBubble runs a test on n nodes, of which the first began the cluster, in a bubble.
func inBubble(t *testing.T, n int, test func(r *rig)) {
	t.Helper()
	inPreparedBubble(t, n, func(*rig) {}, test)
}

// inPreparedBubble prepares the places before the nodes start.
func inPreparedBubble(t *testing.T, n int, prepare, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, n)
		prepare(r)
		defer r.closeAll()
		for _, name := range r.names {
			r.start(name)
		}
		test(r)
	})
}

func newRig(t *testing.T, n int) *rig {
	t.Helper()
	r := &rig{T: t, net: newNetwork(), nodes: map[string]*rigNode{}}
	for i := range n {
		r.add(fmt.Sprint("n", i+1))
	}
	return r
}

func (r *rig) add(name string) {
	r.nodes[name] = &rigNode{name: name, address: name + ":1", memory: newMemory(), rate: 1, machine: name, room: 1000}
	r.names = append(r.names, name)
}

func (r *rig) config(name string) Config {
	node := r.nodes[name]
	node.owned, node.first = map[host.SessionID]uint64{}, time.Time{}
	cfg := Config{
		Node: name, memory: node.memory, Dir: node.dir, Transport: r.net.transport(name, node.address),
		Machine: host.MachineID{Machine: node.machine, Boot: "b", PIDNamespace: "p"}, Clock: rated{time.Now(), node.rate},
		Pools:   func() map[string]uint32 { return map[string]uint32{"ml": node.room} },
		OnLease: node.leased, OnOwner: node.owns, Logger: logger(r.T), MaxRules: node.rules, RehomeAfter: node.rehomeAfter, OnOverrides: node.onOverrides, Timing: r.timing,
		Gone: node.gone,
	}
	if node.memory != nil {
		cfg.Dir = ""
	}
	if name != r.names[0] {
		cfg.Join = &Join{Addresses: r.addresses()}
	}
	return cfg
}

func (r *rig) addresses() []string {
	var all []string
	for _, name := range r.names {
		all = append(all, r.nodes[name].address)
	}
	return all
}

func logger(t *testing.T) hclog.Logger {
	t.Helper()
	if !testing.Verbose() {
		return nil
	}
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: t.Output(), TimeFormat: "05.000", TimeFn: time.Now})
}

func (n *rigNode) leased(l Lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.leases = append(n.leases, l)
	if n.first.IsZero() {
		n.first = time.Now()
	}
}

func (n *rigNode) owns(c OwnerChange) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.Mine {
		n.owned[c.Session.ID] = c.Session.Epoch
		n.told = time.Now()
	} else {
		delete(n.owned, c.Session.ID)
	}
}

// start starts a node and waits until it's a member.
func (r *rig) start(name string) {
	r.Helper()
	if err := r.tryStart(name, 30*time.Second); err != nil {
		r.Fatalf("start %s: %v", name, err)
	}
}

func (r *rig) tryStart(name string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	n, err := Open(ctx, r.config(name))
	if err == nil {
		r.nodes[name].Node = n
	}
	return err
}

// kill ends a node like SIGKILL: nobody hears anything more from it.
func (r *rig) kill(name string) {
	r.Helper()
	r.net.isolate(name, r.names, true)
	r.net.reset(name)
	r.nodes[name].fail(errdefs.New(errdefs.Internal, "killed"))
	<-r.nodes[name].Done()
	r.nodes[name].Node = nil
	r.net.isolate(name, r.names, false)
}

func (r *rig) closeAll() {
	r.Helper()
	for _, name := range r.names {
		if n := r.nodes[name].Node; n != nil {
			if err := n.Close(); err != nil {
				r.Errorf("close %s: %v", name, err)
			}
		}
	}
}

// eventually waits, in the bubble's time, until a fact is there.
func (r *rig) eventually(within time.Duration, what string, fact func() bool) {
	r.Helper()
	began := time.Now()
	for !fact() {
		if time.Since(began) > within {
			for _, name := range r.names {
				if n := r.nodes[name].Node; n != nil {
					r.Logf("%s sees %+v", name, n.Overview())
				}
			}
			r.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// leader gives the node that leads and grants leases; empty: nobody.
func (r *rig) leader() string {
	for _, name := range r.names {
		if n := r.nodes[name].Node; n != nil && n.mesh.office.Load() != nil {
			return name
		}
	}
	return ""
}

// voters waits until so many vote, as all nodes see it.
func (r *rig) voters(want int) {
	r.Helper()
	r.eventually(10*time.Second, fmt.Sprint(want, " voters"), func() bool {
		for _, name := range r.names {
			if n := r.nodes[name].Node; n != nil && votersOf(n) != want {
				return false
			}
		}
		return true
	})
}

func votersOf(n *Node) int {
	voters := 0
	for _, m := range n.Overview().Members {
		if m.Voter {
			voters++
		}
	}
	return voters
}

// others are the names of the nodes that run, but for one.
func (r *rig) others(name string) []string {
	var all []string
	for _, other := range r.names {
		if other != name && r.nodes[other].Node != nil {
			all = append(all, other)
		}
	}
	return all
}

func (r *rig) open(on, id string) host.Session {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := r.nodes[on].OpenSession(ctx, host.Session{ID: host.SessionID(id), Pool: "ml"})
	if err != nil {
		r.Fatalf("open %s on %s: %v", id, on, err)
	}
	return s
}

// startTogether starts those that don't run, at once: none may be able to alone.
func (r *rig) startTogether() {
	r.Helper()
	var starting sync.WaitGroup
	for _, name := range r.names {
		if r.nodes[name].Node == nil {
			starting.Go(func() {
				if err := r.tryStart(name, 30*time.Second); err != nil {
					r.Errorf("start %s: %v", name, err)
				}
			})
		}
	}
	starting.Wait()
}

// join asks a node to admit one, as another node would.
func join(ctx context.Context, at *Node, one *snakepitv1.NodeRecord, cluster string) error {
	_, err := (&server{m: at.mesh}).Join(ctx, &snakepitv1.JoinRequest{Node: one, Cluster: cluster})
	return err
}
