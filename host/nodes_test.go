package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

// nodes are several engines in the test's bubble, each with the pool of a rig.
type nodes struct {
	*testing.T

	cluster *hosttest.Cluster
	rigs    map[string]*rig
	members map[string]*hosttest.Node
}

// bubbleOf runs a test on engines n1, n2 and so on, which know each other's tools; change
// alters one's configuration.
func bubbleOf(t *testing.T, count int, change func(id string, c *host.Config, l *hosttest.Launcher), test func(n *nodes)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNodes(t, count, change)
		test(n)
		n.stop()
	})
}

func newNodes(t *testing.T, count int, change func(id string, c *host.Config, l *hosttest.Launcher)) *nodes {
	t.Helper()
	n := &nodes{T: t, cluster: hosttest.NewCluster(), rigs: map[string]*rig{}, members: map[string]*hosttest.Node{}}
	for i := range count {
		id := "n" + string(rune('1'+i))
		m := n.cluster.Add(id)
		r := newRig(t, func(c *host.Config, l *hosttest.Launcher) {
			c.Node, c.Registry, c.Peers = id, m, m.Peers()
			if change != nil {
				change(id, c, l)
			}
		})
		m.OnOwner = r.OwnerChanged
		m.Serve(r.Host)
		n.rigs[id], n.members[id] = r, m
	}
	time.Sleep(time.Second) // the catalogue is told
	synctest.Wait()
	return n
}

func (n *nodes) stop() {
	n.Helper()
	for id, r := range n.rigs {
		if err := r.stop(); err != nil {
			n.Errorf("%s: %v", id, err)
		}
		if live := r.launcher.Live(); len(live) > 0 {
			n.Errorf("%s: %d workers outlive their host", id, len(live))
		}
	}
	n.cluster.Wait()
}

// opened opens a session on a node.
func (n *nodes) opened(id host.SessionID, on string) {
	n.Helper()
	n.rigs[on].must(host.Request{Tool: "echo", Session: id})
	if owned := n.cluster.Owned(n.members[on]); len(owned) == 0 {
		n.Fatalf("%s doesn't own %s", on, id)
	}
}

func (n *nodes) move(id host.SessionID, to string) {
	n.Helper()
	if _, err := n.cluster.Move(n.Context(), id, n.members[to]); err != nil {
		n.Fatal(err)
	}
}

// fail takes a node away as a power cut does: it's reached no more, what it had is lost,
// and the others take it for dead.
func (n *nodes) fail(id string) {
	n.members[id].SetReachable(false)
	n.members[id].Cut()
	n.members[id].SetDown(true)
}

// where is the node that a request runs on.
func (n *nodes) where(via string, req host.Request) string {
	n.Helper()
	c := n.rigs[via].open(req)
	defer c.Close()
	m, err := c.Recv(n.Context())
	if err != nil || !m.Last {
		n.Fatalf("%+v via %s: %v", req, via, err)
	}
	return c.Place().Node
}

// runs counts what a node's workers have been given.
func (n *nodes) runs(id string) (count uint64) {
	for _, w := range n.rigs[id].Workers("") {
		count += w.Calls
	}
	return count
}

func after(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	timer := time.AfterFunc(d, f)
	t.Cleanup(func() { timer.Stop() })
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

// offer makes a function a host tool of a node that workers may call.
func (n *nodes) offer(on, name string, f func(ctx context.Context, args []byte) ([]byte, error)) {
	n.Helper()
	remove, err := n.rigs[on].Offer(host.HostTool{Tool: host.Tool{Name: name}, Exposed: true, Func: f})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(remove)
	time.Sleep(time.Second) // the catalogue is told
}

// patient lets calls wait for long, and running ones end.
func patient(_ string, c *host.Config, _ *hosttest.Launcher) {
	c.Pools[0].QueueTimeout, c.ShutdownTimeout = 20*time.Second, 20*time.Second
}
