package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// startLater starts a node in the background.
func (r *rig) startLater(name string) *Node {
	r.Helper()
	cfg := r.config(name)
	cfg.Background = true
	began := time.Now()
	n, err := Open(r.Context(), cfg)
	if err != nil {
		r.Fatalf("start %s: %v", name, err)
	}
	if took := time.Since(began); took > 100*time.Millisecond {
		r.Errorf("it took %s", took)
	}
	r.nodes[name].Node = n
	return n
}

func (r *rig) becomesReady(n *Node) {
	r.Helper()
	r.eventually(30*time.Second, "it's ready", func() bool { return isReady(n) })
}

func isReady(n *Node) bool {
	select {
	case <-n.Ready():
		return true
	default:
		return false
	}
}

func TestNodeWithoutAMajorityIsOpenBeforeItIsReady(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		r.open("n1", "a")
		for _, name := range r.names {
			r.kill(name)
		}
		n := r.startLater("n1")
		time.Sleep(time.Minute)
		if isReady(n) || n.Lease().Valid(n.mesh.clock.Now()) {
			r.Errorf("alone it's ready: %t, with lease %+v", isReady(n), n.Lease())
		}
		began := time.Now()
		_, err := n.Session(r.Context(), "a")
		wantReason(r, err, errdefs.NoQuorum)
		_, err = n.Sessions(r.Context())
		wantReason(r, err, errdefs.NoQuorum)
		_, err = n.ClaimProcess(r.Context(), host.ProcessRecord{Worker: "w", Pool: "ml", Node: "x"})
		wantReason(r, err, errdefs.NoQuorum)
		wantReason(r, n.Consistent(r.Context()), errdefs.NoQuorum)
		if took := time.Since(began); took > 0 {
			r.Errorf("they said so after %s", took)
		}
		r.startTogether()
		r.becomesReady(n)
		if _, err := n.Session(r.Context(), "a"); err != nil {
			r.Error(err)
		}
		r.open("n1", "b")
	})
}

// A new leader gives the former start of a node that waits for it a full lease: that
// it may be alive is no reason to give up, however long the wait was before.
func TestStartThatWaitedForAMajorityOutlastsItsFormerLease(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for _, name := range r.names {
			r.kill(name)
		}
		first := make(chan error, 1)
		go func() { first <- r.tryStart("n3", time.Hour) }()
		time.Sleep(time.Minute)
		r.net.set("n3", "n1", true) // so that another one leads
		r.net.set("n3", "n2", true)
		for _, name := range []string{"n1", "n2"} {
			go func() { first <- r.tryStart(name, time.Minute) }()
		}
		r.eventually(5*time.Second, "somebody leads", func() bool { return len(first) > 0 })
		r.net.isolate("n3", r.names, false)
		for range 3 {
			if err := <-first; err != nil {
				r.Error(err)
			}
		}
	})
}

func TestNodeThatJoinsInTheBackgroundIsAMemberWhenItIsReady(t *testing.T) {
	t.Parallel()
	inBubble(t, 1, func(r *rig) {
		if err := r.nodes["n1"].Close(); err != nil {
			r.Fatal(err)
		}
		r.nodes["n1"].Node = nil
		r.add("n2")
		joining := r.startLater("n2")
		time.Sleep(10 * time.Second)
		if isReady(joining) {
			r.Error("it's ready, and nobody has let it in")
		}
		if first := r.startLater("n1"); !isReady(first) {
			r.Error("the only member isn't ready")
		}
		r.becomesReady(joining)
		r.open("n2", "a")
	})
}

func TestStartInTheBackgroundThatIsRefusedEndsTheNode(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		gone := r.others(r.leader())[0]
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		if err := r.nodes[gone].Leave(ctx); err != nil {
			r.Fatal(err)
		}
		n := r.startLater(gone)
		<-n.Done()
		wantReason(r, n.Err(), errdefs.NodeRemoved)
		r.nodes[gone].Node = nil
		if isReady(n) {
			r.Error("it's ready")
		}
	})
}

func TestNodeThatIsNotReadyCloses(t *testing.T) {
	t.Parallel()
	inBubble(t, 3, func(r *rig) {
		r.voters(3)
		for _, name := range r.names {
			r.kill(name)
		}
		n := r.startLater("n2")
		time.Sleep(time.Second)
		began := time.Now()
		if err := n.Close(); err != nil {
			r.Error(err)
		}
		r.nodes["n2"].Node = nil
		if took := time.Since(began); took > 5*time.Second {
			r.Errorf("it took %s", took)
		}
	})
}
