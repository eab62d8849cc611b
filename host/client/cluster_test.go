package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/host/rpc"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// fakeNode is a node that has its say from a test.
type fakeNode struct {
	view   members.Cluster
	others map[string]grpc.ClientConnInterface // whom it reaches
	err    error                               // of what it's asked to change
	asked  []string
	backup []byte
	left   chan struct{} // closed when Leave may end; nil: at once
}

func (n *fakeNode) View() members.Cluster {
	c := n.view
	c.Nodes = slices.Clone(c.Nodes)
	return c
}

func (n *fakeNode) Dial(_ context.Context, id string) (grpc.ClientConnInterface, error) {
	if c := n.others[id]; c != nil {
		return c, nil
	}
	return nil, errdefs.New(errdefs.HostUnreachable, "nobody knows where node %q is", id)
}

func (n *fakeNode) NewToken(_ context.Context, uses int, label string) (string, error) {
	n.asked = append(n.asked, fmt.Sprint("token ", uses, " ", label))
	return "secret", n.err
}

func (n *fakeNode) Leave(ctx context.Context, force bool, step func(rpc.LeaveStep)) error {
	step(rpc.LeaveStep{Step: rpc.LeaveDraining, Sessions: 2})
	if n.left != nil {
		<-n.left
	}
	n.asked = append(n.asked, fmt.Sprint("leave ", force))
	step(rpc.LeaveStep{Step: rpc.LeaveLeft})
	return errors.Join(n.err, ctx.Err())
}

func (n *fakeNode) Remove(_ context.Context, node string) error {
	n.asked = append(n.asked, "remove "+node)
	return n.err
}

func (n *fakeNode) Forget(_ context.Context, node string) error {
	n.asked = append(n.asked, "forget "+node)
	return n.err
}

func (n *fakeNode) Transfer(_ context.Context, node string) error {
	n.asked = append(n.asked, "transfer "+node)
	return n.err
}

func (n *fakeNode) Backup(_ context.Context, w io.Writer) error {
	_, err := io.Copy(w, iotest.OneByteReader(bytes.NewReader(n.backup[:min(3, len(n.backup))])))
	if err == nil {
		_, err = w.Write(n.backup[min(3, len(n.backup)):])
	}
	return errors.Join(err, n.err)
}

func (n *fakeNode) parts() rpc.Cluster { return rpc.Cluster{View: n, Admin: n, Backup: n} }

// peer serves what other nodes may ask of a node, and gives a connection to it.
func peer(t *testing.T, register func(grpc.ServiceRegistrar)) *grpc.ClientConn {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	register(g)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	conn, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); g.Stop(); serving.Wait() })
	return conn
}

// three is what each of three nodes knows by itself; the first leads.
func three(self string) members.Cluster {
	c := members.Cluster{ID: "c", Self: self, Leader: "a", Term: 3, Applied: 10, Level: 1, Lease: members.Lease{Held: true}}
	for _, id := range []string{"a", "b", "c"} {
		c.Nodes = append(c.Nodes, members.Node{ID: id, Name: "n" + id, Address: id + ":1", Status: "up", Member: true, Voter: true})
	}
	return c
}

func TestStatusOfAClusterIsWhatAllItsNodesSay(t *testing.T) {
	b := &fakeNode{view: three("b")}
	b.view.Applied, b.view.Nodes[1].Version = 9, "1.0"
	a := &fakeNode{view: three("a")}
	c := startWith(t, rpc.Config{Cluster: a.parts()}, echo()).dial(t)
	older := peer(t, func(grpc.ServiceRegistrar) {}) // knows nothing of the question
	a.others = map[string]grpc.ClientConnInterface{
		"b": peer(t, func(r grpc.ServiceRegistrar) { rpc.RegisterClusterView(r, b) }), "c": older,
	}
	w, err := c.ClusterStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := members.FromWire(w)
	if got.State != members.OK || got.Summary != "3 of 3 nodes up, na leads; it survives the loss of one" {
		t.Errorf("%s: %s %v", got.State, got.Summary, got.Warnings)
	}
	if n := got.Nodes[1]; n.Applied != 9 || n.Version != "1.0" || !n.LeaseHeld {
		t.Errorf("%+v", n)
	}
}

func TestNodesThatDontAnswerAreSaidSoWithinASecond(t *testing.T) {
	a := &fakeNode{view: three("a")}
	a.others = map[string]grpc.ClientConnInterface{"b": hangs{}}
	c := startWith(t, rpc.Config{Cluster: a.parts()}, echo()).dial(t)
	began := time.Now()
	w, err := c.ClusterStatus(t.Context())
	if err != nil || w.GetState() != string(members.NoQuorum) || !strings.HasPrefix(w.GetSummary(), "NO QUORUM: 1 of 3 voters answers; ") {
		t.Errorf("%v, %v", w, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// hangs is a connection on which nothing ever comes.
type hangs struct{ grpc.ClientConnInterface }

func (hangs) Invoke(ctx context.Context, _ string, _, _ any, _ ...grpc.CallOption) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestNodesCanOnlyLookAtEachOther(t *testing.T) {
	a := &fakeNode{view: three("a")}
	conn := peer(t, func(r grpc.ServiceRegistrar) { rpc.RegisterClusterView(r, a) })
	_, err := snakepitv1.NewClusterClient(conn).Remove(t.Context(), &snakepitv1.ClusterRemoveRequest{Node: "b"})
	if errdefs.ReasonOf(errdefs.FromStatus(err)) != errdefs.Unimplemented || a.asked != nil {
		t.Errorf("%v, asked %v", err, a.asked)
	}
}

func TestWhatIsToChangeReachesTheNode(t *testing.T) {
	n := &fakeNode{view: three("a")}
	c := startWith(t, rpc.Config{Cluster: n.parts()}, echo()).dial(t)
	ctx := t.Context()
	for _, uses := range []uint32{0, 3} {
		if token, err := c.NewClusterToken(ctx, uses, "for n4"); err != nil || token != "secret" {
			t.Errorf("%q, %v", token, err)
		}
	}
	var steps []string
	for _, err := range []error{
		c.RemoveNode(ctx, "b"), c.ForgetNode(ctx, "c"), c.TransferLeadership(ctx, ""),
		c.LeaveCluster(ctx, true, func(s *snakepitv1.ClusterLeaveResponse) { steps = append(steps, s.GetStep()) }), c.LeaveCluster(ctx, false, nil),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"token 1 for n4", "token 3 for n4", "remove b", "forget c", "transfer ", "leave true", "leave false"}; !slices.Equal(n.asked, want) {
		t.Errorf("asked %q, want %q", n.asked, want)
	}
	if !slices.Equal(steps, []string{"draining", "left"}) {
		t.Errorf("steps %q", steps)
	}
}

func TestNodeThatBeganToLeaveGoesOnWithoutItsCaller(t *testing.T) {
	n := &fakeNode{view: three("a"), left: make(chan struct{})}
	r := startWith(t, rpc.Config{Cluster: n.parts()}, echo())
	c := r.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := c.LeaveCluster(ctx, false, func(*snakepitv1.ClusterLeaveResponse) { cancel() })
	if errdefs.ReasonOf(err) != errdefs.Cancelled {
		t.Errorf("%v", err)
	}
	close(n.left)
	r.stop()
	if !slices.Equal(n.asked, []string{"leave false"}) {
		t.Errorf("asked %q", n.asked)
	}
}

func TestRefusalsOfANodeArriveAsTheyAre(t *testing.T) {
	refusal := errdefs.New(errdefs.Conflict, "without node %q, 1 of 2 voters would be alive", "b")
	refusal.Hint = "bring another one back first"
	n := &fakeNode{view: three("a"), err: refusal}
	c := startWith(t, rpc.Config{Cluster: n.parts()}, echo()).dial(t)
	for _, err := range []error{c.RemoveNode(t.Context(), "b"), c.LeaveCluster(t.Context(), false, nil), c.Backup(t.Context(), io.Discard)} {
		var got *errdefs.Error
		if !errors.As(err, &got) || got.Reason != errdefs.Conflict || got.Message != refusal.Message || got.Hint != refusal.Hint {
			t.Errorf("%v", err)
		}
	}
	if err := c.RemoveNode(t.Context(), ""); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
		t.Errorf("nobody: %v", err)
	}
}

func TestHostThatIsNoNodeSaysHowItBecomesOne(t *testing.T) {
	c := start(t, echo()).dial(t)
	ctx := t.Context()
	_, err := c.ClusterStatus(ctx)
	_, terr := c.NewClusterToken(ctx, 0, "")
	_, merr := c.MoveSession(ctx, "s", "b")
	rerr := c.Rebalance(ctx, &snakepitv1.ClusterRebalanceRequest{}, nil)
	for _, err := range []error{err, terr, merr, rerr, c.RemoveNode(ctx, "b"), c.ForgetNode(ctx, "b"), c.TransferLeadership(ctx, ""), c.LeaveCluster(ctx, false, nil)} {
		var got *errdefs.Error
		if !errors.As(err, &got) || got.Reason != errdefs.Conflict || !strings.Contains(got.Hint, "--cluster-listen") {
			t.Errorf("%v", err)
		}
	}
	if err := c.Backup(ctx, io.Discard); errdefs.ReasonOf(err) != errdefs.Conflict {
		t.Errorf("backup: %v", err)
	}
}

func TestBackupArrivesByteForByte(t *testing.T) {
	want := make([]byte, 3<<20+17)
	for i := range want {
		want[i] = byte(i * i >> 8)
	}
	c := startWith(t, rpc.Config{Cluster: rpc.Cluster{Backup: &fakeNode{backup: want}}}, echo()).dial(t)
	var got bytes.Buffer
	if err := c.Backup(t.Context(), &got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%d bytes of %d, %v", got.Len(), len(want), err)
	}
	if err := c.Backup(t.Context(), full{}); !errors.Is(err, errFull) {
		t.Errorf("a writer's own error: %v", err)
	}
}

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }
