package cluster

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// chaosSeeds says how many runs there are: SNAKEPIT_TEST_SEEDS; where it's empty 20,
	// of which the race detector sees the last 5, the one on disk among them.
	chaosSeeds = "SNAKEPIT_TEST_SEEDS"
	// chaosSeed says which is the first, and SNAKEPIT_TEST_SEEDS=1 makes it the only one.
	chaosSeed = "SNAKEPIT_TEST_SEED"
	// chaosTime is how long faults come, in the bubble's time.
	chaosTime = 12 * time.Second
)

// TestClusterKeepsItsPromisesUnderFaults runs clusters whose nodes are killed, cut
// off, slowed and started anew, as a seed has it, while clients open sessions and
// change their state. See chaos for what must hold.
func TestClusterKeepsItsPromisesUnderFaults(t *testing.T) {
	t.Parallel()
	few := 20
	if raced {
		few = 5
	}
	seeds, first := number(t, chaosSeeds, few), number(t, chaosSeed, 21-few)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			c := &chaos{dice: rand.New(rand.NewPCG(uint64(seed), 7)), onDisk: seed%20 == 0, sees: seed%2 == 0}
			synctest.Test(t, c.run)
			c.judge(t)
		})
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s isn't a number", variable, text)
	}
	return n
}

// chaos is one run. What must hold: no write that was acknowledged is lost, and what
// is read is as if one thing had happened after the other; a session's epoch only
// grows, and an epoch of a session has one owner; at no instant do two nodes own a
// session with a valid lease, the killed ones included, whose shims live until the
// lease's end; at the end all nodes have the same registry, and every session an
// owner that is up.
type chaos struct {
	*rig

	dice   *rand.Rand
	onDisk bool
	sees   bool // a start sees that the one before is gone, and has its shim freeze
	began  time.Time

	mu      sync.Mutex // guards all below
	dead    []ghost
	history []porcupine.Operation
	acked   map[host.SessionID]uint64 // epoch of an acknowledged opening
	owner   map[string]Owner          // by session and epoch
	epochs  map[string]uint64         // the last one seen, by start and session
}

// ghost is what is left of a host that was killed: it acts on its last lease.
type ghost struct {
	name  string
	clock Clock
	lease Lease
	owned []host.SessionID
}

func (c *chaos) run(t *testing.T) {
	c.began = time.Now()
	c.acked, c.owner, c.epochs = map[host.SessionID]uint64{}, map[string]Owner{}, map[string]uint64{}
	c.rig = newRig(t, 3+2*c.dice.IntN(2))
	for _, name := range c.names {
		c.nodes[name].rate = 0.9 + 0.2*c.dice.Float64()
		if c.sees {
			c.nodes[name].gone = func(host.Process) bool { return true }
		}
		if c.onDisk {
			c.nodes[name].memory, c.nodes[name].dir = nil, filepath.Join(t.TempDir(), name)
		}
	}
	defer c.closeAll()
	for _, name := range c.names {
		c.start(name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), chaosTime)
	defer cancel()
	var busy sync.WaitGroup
	for i := range 4 {
		dice := rand.New(rand.NewPCG(c.dice.Uint64(), 1))
		busy.Go(func() { c.client(ctx, i, dice) })
	}
	busy.Go(func() { c.watch(ctx) })
	c.faults(ctx)
	busy.Wait()
	c.settle()
}

// faults brings about one fault after another.
func (c *chaos) faults(ctx context.Context) {
	for ctx.Err() == nil {
		c.sleep(ctx, 200, 1500)
		victim := c.names[c.dice.IntN(len(c.names))]
		if leader := c.leader(); leader != "" && c.dice.IntN(3) == 0 {
			victim = leader
		}
		switch c.dice.IntN(7) {
		case 0, 1:
			c.murder(victim)
			c.sleep(ctx, 50, 2500)
			c.revive(ctx, victim)
		case 2:
			c.net.isolate(victim, c.names, true)
			c.sleep(ctx, 100, 2500)
			c.net.isolate(victim, c.names, false)
		case 3:
			for _, other := range c.names {
				c.net.set(victim, other, other != victim)
			}
			c.sleep(ctx, 100, 2000)
			c.net.isolate(victim, c.names, false)
		case 4:
			c.net.slow(time.Duration(c.dice.IntN(200)) * time.Millisecond)
			c.sleep(ctx, 100, 1000)
			c.net.slow(time.Millisecond)
		case 5:
			c.retireNode(victim)
			c.revive(ctx, victim)
		case 6:
			if n := c.running(victim); n != nil {
				_ = n.Transfer(ctx, "") // it may not lead any more
			}
		}
	}
}

func (c *chaos) sleep(ctx context.Context, from, to int) { rest(ctx, c.dice, from, to) }

// rest waits for so many milliseconds, or until ctx ends.
func rest(ctx context.Context, dice *rand.Rand, from, to int) {
	timer := time.NewTimer(time.Duration(from+dice.IntN(to-from)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// running gives a node that runs; nil: it doesn't.
func (c *chaos) running(name string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[name].Node
}

func (c *chaos) put(name string, n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[name].Node = n
}

// murder kills a node, and remembers on what it may act still.
func (c *chaos) murder(name string) {
	n := c.running(name)
	if n == nil {
		return
	}
	c.net.isolate(name, c.names, true)
	c.net.reset(name)
	g := ghost{name: name, clock: n.mesh.clock, lease: n.Lease(), owned: ownedOn(n)}
	c.mu.Lock()
	c.nodes[name].Node = nil
	c.dead = append(c.dead, g)
	c.mu.Unlock()
	n.fail(errdefs.New(errdefs.Internal, "killed"))
	<-n.Done()
	c.net.isolate(name, c.names, false)
}

func (c *chaos) retireNode(name string) {
	n := c.running(name)
	if n == nil {
		return
	}
	c.put(name, nil)
	if err := n.Close(); err != nil {
		c.Errorf("close %s: %v", name, err)
	}
}

func (c *chaos) revive(ctx context.Context, name string) {
	if c.running(name) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	if c.sees {
		c.mu.Lock()
		c.dead = slices.DeleteFunc(c.dead, func(g ghost) bool { return g.name == name })
		c.mu.Unlock()
	}
	if n, err := Open(ctx, c.config(name)); err == nil {
		c.put(name, n)
	} else if r := errdefs.ReasonOf(err); r != errdefs.Deadline && r != errdefs.Exists && r != errdefs.Cancelled {
		c.Errorf("start %s: %v", name, err)
	}
}

// ownedOn lists the sessions that a node takes for its own.
func ownedOn(n *Node) []host.SessionID {
	l := n.Lease()
	var mine []host.SessionID
	for _, s := range n.machine.sessions() {
		if s.Owner == (Owner{Node: n.ID(), Incarnation: l.Incarnation}) {
			mine = append(mine, s.ID)
		}
	}
	return mine
}

// watch looks at who owns what, all the time.
func (c *chaos) watch(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		c.look()
		if n%10 == 0 {
			c.lookAtEpochs()
		}
		time.Sleep(4 * time.Millisecond)
	}
}

// look makes sure that no two nodes own a session with a valid lease.
func (c *chaos) look() {
	owners := map[host.SessionID]string{}
	claim := func(name string, ids []host.SessionID) {
		for _, id := range ids {
			if other := owners[id]; other != "" && other != name {
				c.Errorf("after %s %s is owned by %s and %s", time.Since(c.began), id, other, name)
			}
			owners[id] = name
		}
	}
	for _, name := range c.names {
		if n := c.running(name); n != nil && n.Lease().Valid(n.mesh.clock.Now()) {
			claim(name, ownedOn(n))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = slices.DeleteFunc(c.dead, func(g ghost) bool { return !g.lease.Valid(g.clock.Now()) })
	for _, g := range c.dead {
		claim(g.name, g.owned)
	}
}

func (c *chaos) lookAtEpochs() {
	for _, name := range c.names {
		n := c.running(name)
		if n == nil {
			continue
		}
		for _, s := range n.machine.sessions() {
			at, key := fmt.Sprint(s.ID, "@", s.Epoch), n.mesh.nonce+string(s.ID)
			c.mu.Lock()
			if known, ok := c.owner[at]; ok && known != s.Owner {
				c.Errorf("%s is owned by %+v and %+v", at, known, s.Owner)
			}
			if s.Epoch < c.epochs[key] {
				c.Errorf("on %s the epoch of %s fell from %d to %d", name, s.ID, c.epochs[key], s.Epoch)
			}
			c.owner[at], c.epochs[key] = s.Owner, s.Epoch
			c.mu.Unlock()
		}
	}
}

// settle mends everything, and compares what the nodes have then.
func (c *chaos) settle() {
	c.net.slow(time.Millisecond)
	for _, name := range c.names {
		c.net.isolate(name, c.names, false)
	}
	c.startTogether()
	c.eventually(20*time.Second, "every session has an owner", func() bool {
		leader := c.leader()
		return leader != "" && len(c.nodes[leader].Node.machine.orphans()) == 0
	})
	c.eventually(20*time.Second, "all have the same", func() bool {
		want := saved(c.nodes[c.names[0]].Node)
		for _, name := range c.names[1:] {
			if !bytes.Equal(want, saved(c.nodes[name].Node)) {
				return false
			}
		}
		return true
	})
	for id, epoch := range c.acked {
		if _, at, err := c.nodes[c.names[0]].Owner(context.Background(), id); err != nil || at < epoch {
			c.Errorf("%s was opened at epoch %d, and is at %d (%v)", id, epoch, at, err)
		}
	}
	for i := range chaosSessions {
		c.read(context.Background(), 9, c.nodes[c.names[0]].Node, chaosSession(i))
	}
}

func saved(n *Node) []byte {
	n.machine.mu.RLock()
	s := n.machine.state.clone()
	n.machine.mu.RUnlock()
	var out bytes.Buffer
	if err := writeSnapshot(&out, s); err != nil {
		return nil
	}
	return out.Bytes()
}
