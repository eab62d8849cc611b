package rpc_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// trio is three nodes that reach each other by gRPC.
type trio struct {
	*testing.T

	cluster *hosttest.Cluster
	nodes   []*trioNode
	running sync.WaitGroup

	mu   sync.Mutex // guards view
	view members.Cluster
}

type trioNode struct {
	*hosttest.Node

	engine *host.Host
	conn   *grpc.ClientConn
}

func newTrio(t *testing.T) *trio {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	all := &trio{T: t, cluster: hosttest.NewCluster()}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); all.running.Wait() })
	for i := range 3 {
		all.add(ctx, fmt.Sprint("n", i+1))
	}
	return all
}

func (a *trio) add(ctx context.Context, id string) {
	a.Helper()
	n := &trioNode{Node: a.cluster.Add(id)}
	pools := []host.PoolConfig{{Name: "main", Size: 1, Command: host.Command{Path: "fake"}}}
	if id == "n1" {
		pools = append(pools, host.PoolConfig{Name: "own", Size: 1, Command: host.Command{Path: "fake"}})
	}
	wait := tool("wait", func(ctx context.Context, _ *hosttest.Call) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	engine, err := host.New(host.Config{
		Node: id, Launcher: &hosttest.Launcher{Tools: []hosttest.Tool{tool("echo", func(context.Context, *hosttest.Call) ([]byte, error) { return []byte{0xc0}, nil }), wait}},
		ShutdownTimeout: -1, Registry: n.Node, Pools: pools, Peers: rpc.NewPeers(a.Dial),
	})
	if err != nil {
		a.Fatal(err)
	}
	n.engine = engine
	n.OnOwner = engine.OwnerChanged
	server := rpc.NewPeerServer(nil)
	server.Bind(engine)
	n.conn = a.serve(server.Register)
	a.running.Go(func() { _ = engine.Run(ctx) })
	if err := engine.Ready(ctx); err != nil {
		a.Fatal(err)
	}
	self, _ := n.Self()
	a.nodes = append(a.nodes, n)
	a.view.Nodes = append(a.view.Nodes, members.Node{ID: id, Status: "up", Member: true, Incarnation: self.Incarnation})
}

// serve gives a connection to a server of what is registered.
func (a *trio) serve(register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	register(g)
	a.running.Go(func() { _ = g.Serve(l) })
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = conn.Close(); g.Stop() })
	return conn
}

// on is how a node sees it.
func (a *trio) on(i int) rpc.Mover {
	return rpc.Mover{Engine: a.nodes[i].engine, View: seenBy{a, a.view.Nodes[i].ID}}
}

// seenBy is the view of one of them.
type seenBy struct {
	*trio

	self string
}

func (s seenBy) View() members.Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.view
	c.Self, c.Nodes = s.self, slices.Clone(c.Nodes)
	return c
}

func (a *trio) change(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

func (a *trio) Dial(_ context.Context, id string) (grpc.ClientConnInterface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.nodes {
		if self, _ := n.Self(); self.Node == id && n.conn != nil {
			return n.conn, nil
		}
	}
	return nil, errdefs.New(errdefs.HostUnreachable, "nobody knows where node %q is", id)
}

// opened opens a session on the first node.
func (a *trio) opened(r host.Request) {
	a.Helper()
	r.Tool, r.Pool = "echo", cmp.Or(r.Pool, "main")
	c, err := a.nodes[0].engine.Open(a.Context(), r)
	if err == nil {
		_, err = c.Recv(a.Context())
		c.Close()
	}
	if err != nil {
		a.Fatal(err)
	}
}

func (a *trio) owned() (counts []int) {
	for _, n := range a.nodes {
		counts = append(counts, len(a.cluster.Owned(n.Node)))
	}
	return counts
}

func (a *trio) wantReason(what string, err error, want errdefs.Reason) {
	a.Helper()
	if errdefs.ReasonOf(err) != want {
		a.Errorf("%s: %v, want %s", what, err, want)
	}
}

func TestSessionMovesToTheNodeThatIsNamedWhoeverIsAsked(t *testing.T) {
	a := newTrio(t)
	for i := range a.nodes {
		id := host.SessionID(fmt.Sprint("s", i))
		a.opened(host.Request{Session: id})
		for _, want := range []string{"n1", "n2"} { // the second time it's there
			if from, err := a.on(i).MoveSession(t.Context(), id, "n2"); err != nil || from != want {
				t.Errorf("node %d: from %q, %v, want %s", i, from, err, want)
			}
		}
	}
	if diff := gocmp.Diff([]int{0, 3, 0}, a.owned()); diff != "" {
		t.Error(diff)
	}
}

func TestMoveSaysWhyItIsntMade(t *testing.T) {
	a := newTrio(t)
	a.opened(host.Request{Session: "s", Pool: "main"})
	a.opened(host.Request{Session: "only", Pool: "own"})
	a.opened(host.Request{Session: "tied", Pool: "main", Availability: host.AvailabilityLocal})
	a.opened(host.Request{Session: "busy", Pool: "main"})
	try := func(id host.SessionID, node string) error {
		_, err := a.on(2).MoveSession(t.Context(), id, node)
		return err
	}
	a.wantReason("unknown session", try("none", "n2"), errdefs.SessionNotFound)
	a.wantReason("unknown node", try("s", "n9"), errdefs.InvalidArguments)
	a.wantReason("no such pool there", try("only", "n2"), errdefs.PoolNotFound)
	a.wantReason("never leaves", try("tied", "n2"), errdefs.Conflict)
	for _, status := range []string{"draining", "down", "pausing", "left"} {
		a.change(func() { a.view.Nodes[1].Status = status })
		a.wantReason(status, try("s", "n2"), errdefs.Conflict)
	}
	a.change(func() { a.view.Nodes[1].Status = "up" })
	conn := a.nodes[1].conn
	a.change(func() { a.nodes[1].conn = nil })
	a.wantReason("not reached", try("s", "n2"), errdefs.HostUnreachable)
	a.change(func() { a.nodes[1].conn = a.serve(func(grpc.ServiceRegistrar) {}) })
	a.wantReason("older", try("s", "n2"), errdefs.Unimplemented)
	a.change(func() { a.nodes[1].conn, a.nodes[0].conn = conn, a.serve(olderOwner) })
	a.wantReason("an owner that is older", try("s", "n2"), errdefs.Unimplemented)
	a.change(func() { a.nodes[0].conn = nil })
	a.wantReason("an owner that isn't reached", try("s", "n2"), errdefs.HostUnreachable)
	if diff := gocmp.Diff([]int{4, 0, 0}, a.owned()); diff != "" {
		t.Error(diff)
	}
}

// olderOwner knows the service, and not the question.
func olderOwner(r grpc.ServiceRegistrar) {
	snakepitv1.RegisterPeerServer(r, snakepitv1.UnimplementedPeerServer{})
}

func TestOwnersWordOnADeadlineArrivesBeforeIt(t *testing.T) {
	a := newTrio(t)
	a.opened(host.Request{Session: "s", Pool: "main"})
	c, err := a.nodes[0].engine.Open(t.Context(), host.Request{Tool: "wait", Session: "s", Pool: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	_, err = a.on(2).MoveSession(ctx, "s", "n2")
	a.wantReason("busy", err, errdefs.Deadline)
	if e := errdefs.Of(err); e.MayHaveRun || e.Where.Node != "n1" || e.Message != "the caller's deadline passed while it waited for the session's calls" {
		t.Errorf("%+v", e)
	}
}

// heard is what somebody hears of a rebalance.
type heard struct {
	plan host.Balance
	errs []errdefs.Reason
}

func (h *heard) request(r rpc.Rebalance) rpc.Rebalance {
	r.Planned = func(b host.Balance) { h.plan = b }
	r.Done = func(_ host.Shift, err error) { h.errs = append(h.errs, errdefs.ReasonOf(err)) }
	return r
}

func TestSessionsAreEvenedOutOverTheNodesThatAreUp(t *testing.T) {
	a := newTrio(t)
	for i := range 9 {
		a.opened(host.Request{Session: host.SessionID(fmt.Sprint("s", i)), Pool: "main"})
	}
	a.opened(host.Request{Session: "only", Pool: "own"})
	var dry heard
	if err := a.on(1).Rebalance(t.Context(), dry.request(rpc.Rebalance{DryRun: true})); err != nil || len(dry.plan.Shifts) != 6 || dry.errs != nil {
		t.Errorf("%+v, %v", dry, err)
	}
	a.change(func() { a.view.Nodes[2].Status = "draining" })
	var some heard
	if err := a.on(1).Rebalance(t.Context(), some.request(rpc.Rebalance{})); err != nil || len(some.errs) != 4 {
		t.Errorf("%+v, %v", some, err)
	}
	if diff := gocmp.Diff([]host.LeftOut{{Node: "n3", Why: "is draining"}}, some.plan.LeftOut); diff != "" {
		t.Error(diff)
	}
	a.change(func() { a.view.Nodes[2].Status = "up" })
	var all heard
	if err := a.on(2).Rebalance(t.Context(), all.request(rpc.Rebalance{Pool: "main"})); err != nil || len(all.plan.LeftOut) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if diff := gocmp.Diff([]int{4, 3, 3}, a.owned()); diff != "" { // one of the first is of another pool
		t.Error(diff)
	}
	a.wantReason("no such pool", a.on(1).Rebalance(t.Context(), rpc.Rebalance{Pool: "maim"}), errdefs.PoolNotFound)
}

func TestNodesThatDontAnswerTakeNoPart(t *testing.T) {
	a := newTrio(t)
	for i := range 4 {
		a.opened(host.Request{Session: host.SessionID(fmt.Sprint("s", i)), Pool: "main"})
	}
	older := a.serve(olderOwner)
	a.change(func() { a.nodes[1].conn, a.nodes[2].conn = nil, older })
	a.change(func() { a.view.Nodes = append(a.view.Nodes, members.Node{ID: "n0", Status: "left"}) })
	var h heard
	if err := a.on(0).Rebalance(t.Context(), h.request(rpc.Rebalance{})); err != nil || len(h.plan.Shifts) != 0 {
		t.Errorf("%+v, %v", h, err)
	}
	want := []host.LeftOut{{Node: "n2", Why: "doesn't answer"}, {Node: "n3", Why: "is older than the node that was asked"}}
	if diff := gocmp.Diff(want, h.plan.LeftOut); diff != "" {
		t.Error(diff)
	}
}

// api is what programs ask a node.
func (a *trio) api(i int) snakepitv1.ClusterClient {
	l := bufconn.Listen(1 << 16)
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.Context()))
	a.running.Go(func() {
		server := rpc.NewServer(a.nodes[i].engine, rpc.Config{Cluster: rpc.Cluster{View: a.on(i).View}})
		if err := server.Serve(ctx, l); err != nil {
			a.Error(err)
		}
	})
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = conn.Close(); cancel() })
	return snakepitv1.NewClusterClient(conn)
}

func TestProgramsHearOfEachSessionThatMoves(t *testing.T) {
	a := newTrio(t)
	for i := range 6 {
		a.opened(host.Request{Session: host.SessionID(fmt.Sprint("s", i))})
	}
	c, err := a.nodes[0].engine.Open(t.Context(), host.Request{Tool: "wait", Session: "s0", Pool: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	api := a.api(2)
	for _, dry := range []bool{true, false} {
		stream, err := api.Rebalance(t.Context(), &snakepitv1.ClusterRebalanceRequest{DryRun: dry, WaitUs: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		first, err := stream.Recv()
		if err != nil || first.GetPlan().GetMoves() != 4 {
			t.Fatalf("first %v, %v", first, err)
		}
		moved := map[string]string{}
		for step, err := stream.Recv(); err == nil; step, err = stream.Recv() {
			s := step.GetShift()
			moved[s.GetSession()] = s.GetFrom() + " " + s.GetPool() + " " + s.GetError().GetReason()
		}
		want := map[string]string{"s0": "n1 main ", "s1": "n1 main ", "s2": "n1 main ", "s3": "n1 main "}
		if !dry {
			want["s0"] = "n1 main deadline"
		}
		if diff := gocmp.Diff(want, moved); diff != "" {
			t.Errorf("dry %v (-want +got):\n%s", dry, diff)
		}
	}
	r, err := api.MoveSession(t.Context(), &snakepitv1.ClusterMoveSessionRequest{Session: "s5", Node: "n3"})
	if err != nil || r.GetFrom() != "n1" {
		t.Errorf("%v, %v", r, err)
	}
	_, err = api.MoveSession(t.Context(), &snakepitv1.ClusterMoveSessionRequest{Session: "s5"})
	a.wantReason("no node is named", errdefs.FromStatus(err), errdefs.InvalidArguments)
}
