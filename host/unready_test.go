package host_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// blindly starts n1 as a node that knows nothing yet. It owns a session from before.
func blindly(t *testing.T) func(id string, c *host.Config, l *hosttest.Launcher) {
	t.Helper()
	return func(id string, c *host.Config, _ *hosttest.Launcher) {
		m, ok := c.Registry.(*hosttest.Node)
		if id != "n1" || !ok {
			return
		}
		if _, err := m.OpenSession(t.Context(), host.Session{ID: "old", Pool: "ml", TTL: time.Minute}); err != nil {
			t.Error(err)
		}
		m.SetReady(false)
	}
}

func TestNodeThatKnowsNothingYetServesWhatNeedsNoSession(t *testing.T) {
	bubbleOf(t, 2, blindly(t), func(n *nodes) {
		r := n.rigs["n1"]
		r.must(host.Request{Tool: "echo"})
		for _, q := range []host.Request{{Tool: "echo", Session: "old"}, {Tool: "echo", Session: "new"}, {Tool: "echo", Session: "old", MustExist: true}} {
			ctx, cancel := within(time.Second)
			var err error
			took := timed(func() { _, err = r.do(ctx, q) })
			cancel()
			r.wantRan(r.wantReason(err, errdefs.NoQuorum), false)
			if took < 900*time.Millisecond || took >= time.Second { // whoever asked from elsewhere still hears it
				n.Errorf("%s was refused after %s", q.Session, took)
			}
		}
		out := r.start(n.Context(), host.Request{Tool: "echo", Session: "old"})
		elsewhere := n.rigs["n2"].start(n.Context(), host.Request{Tool: "echo", Session: "old"})
		time.Sleep(1500 * time.Millisecond) // for longer it would send them elsewhere
		n.members["n1"].SetReady(true)
		took := timed(func() {
			for _, c := range []<-chan error{out, elsewhere} {
				if err := <-c; err != nil {
					n.Error(err)
				}
			}
		})
		if took > time.Second {
			n.Errorf("they waited for %s more", took)
		}
	})
}

func TestNodeThatKnewNothingCatchesUpByItself(t *testing.T) {
	bubbleOf(t, 2, blindly(t), func(n *nodes) {
		time.Sleep(10 * time.Minute)
		r, m := n.rigs["n1"], n.members["n1"]
		m.SetReady(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		recorded := map[host.WorkerID]bool{}
		list, err := m.Processes(n.Context())
		if err != nil {
			n.Fatal(err)
		}
		for _, p := range list {
			recorded[p.Worker] = true
		}
		for _, w := range r.launcher.Live() {
			if !recorded[w.Spec.Worker] {
				n.Errorf("worker %s isn't recorded", w.Spec.Worker)
			}
		}
		if all := r.sessionsOf(); len(all) != 1 {
			n.Fatalf("sessions: %+v", all)
		}
		time.Sleep(10 * time.Minute)
		if all := r.sessionsOf(); len(all) != 0 {
			n.Errorf("they never expire: %+v", all)
		}
	})
}
