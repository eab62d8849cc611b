package cluster_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

// live is a host on fake workers whose registry is a node.
type live struct {
	*host.Host

	node *cluster.Node
	stop func()
}

func startHost(t *testing.T, dir string) *live {
	t.Helper()
	n := open(t, dir)
	echo := hosttest.Tool{Tool: host.Tool{Name: "echo"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) { return c.Payload, nil }}
	h, err := host.New(host.Config{
		Node: "n1", Registry: n, Launcher: &hosttest.Launcher{Tools: []hosttest.Tool{echo}},
		Pools: []host.PoolConfig{{Name: "ml", Command: host.Command{Path: "fake"}, Size: 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	return &live{Host: h, node: n, stop: func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}}
}

func (l *live) call(t *testing.T, req host.Request) error {
	t.Helper()
	c, err := l.Open(t.Context(), req)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Recv(t.Context())
	return err
}

func TestSessionsAndProcessRecordsOutliveTheirHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first := startHost(t, dir)
		if err := first.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.call(t, host.Request{Tool: "echo", Session: "s"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the records follow behind
		sessions, processes := contents(t, first.node)
		if len(sessions) != 1 || len(processes) != 3 {
			t.Errorf("%d sessions and %d processes are recorded", len(sessions), len(processes))
		}
		closed(t, first.node) // the host loses its registry before it can take anything back
		first.stop()

		second := startHost(t, dir)
		if err := second.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := second.call(t, host.Request{Tool: "echo", Session: "s", MustExist: true}); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
		synctest.Wait()
		moved, processes := contents(t, second.node)
		if moved[0].Epoch <= sessions[0].Epoch || moved[0].Home == sessions[0].Home {
			t.Errorf("the session of a dead worker is still %+v", moved[0])
		}
		if len(processes) != 3 { // the second host's: none of the first one's workers is there any more
			t.Errorf("%d processes are recorded", len(processes))
		}
		second.stop()
		if _, processes = contents(t, second.node); len(processes) != 0 {
			t.Errorf("%d processes are recorded after the second host's end", len(processes))
		}
		closed(t, second.node)
	})
}
