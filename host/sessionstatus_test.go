package host_test

import (
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

func TestSessionSaysWhenItExpires(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].SessionTTL = time.Minute }
	inBubble(t, change, func(r *rig) {
		list := func(pool string) []host.SessionStatus {
			r.Helper()
			l, err := r.SessionStatuses(r.Context(), pool)
			if err != nil {
				r.Fatal(err)
			}
			return l
		}
		r.must(host.Request{Tool: "work", Session: "b"})
		opened := time.Now()
		time.Sleep(20 * time.Second)
		used := r.start(r.Context(), host.Request{Tool: "busy", Session: "a"})
		time.Sleep(5 * time.Second)
		all := list("")
		if len(all) != 2 || all[0].ID != "a" || all[1].ID != "b" || all[0].Home == "" || all[0].Node != "n1" {
			r.Fatalf("sessions %+v", all)
		}
		if got := all[0].ExpiresAt; !got.Equal(time.Now().Add(time.Minute)) {
			r.Errorf("the one in use expires at %s", got)
		}
		if got := all[1].ExpiresAt; !got.Equal(opened.Add(time.Minute)) {
			r.Errorf("the other expires at %s", got)
		}
		if err := <-used; err != nil {
			r.Error(err)
		}
		if len(list("ml")) != 2 || len(list("other")) != 0 {
			r.Error("a pool's sessions aren't those")
		}
	})
}

func TestSessionWithoutATimeToLiveNeverExpires(t *testing.T) {
	change := func(c *host.Config, _ *hosttest.Launcher) { c.Pools[0].SessionTTL = -1 }
	inBubble(t, change, func(r *rig) {
		r.must(host.Request{Tool: "echo", Session: "s"})
		if l, err := r.SessionStatuses(r.Context(), ""); err != nil || len(l) != 1 || !l[0].ExpiresAt.IsZero() {
			r.Errorf("%+v, %v", l, err)
		}
	})
}

func TestOnlyItsOwnerKnowsWhenASessionExpires(t *testing.T) {
	bubbleOf(t, 2, nil, func(n *nodes) {
		n.opened("s", "n1")
		for id, away := range map[string]bool{"n1": false, "n2": true} {
			list, err := n.rigs[id].SessionStatuses(n.Context(), "")
			if err != nil || len(list) != 1 || list[0].Node != "n1" || list[0].Away != away || list[0].ExpiresAt.IsZero() != away {
				n.Errorf("%s says %+v, %v", id, list, err)
			}
		}
	})
}
