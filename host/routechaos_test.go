package host_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestNoCallRunsTwiceWhateverBecomesOfTheNodes has callers at three nodes while nodes
// hang, vanish and come back, connections break, leases flap and sessions move: a call
// that may not run twice doesn't, and one that hasn't run says so.
func TestNoCallRunsTwiceWhateverBecomesOfTheNodes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newUnrest(t, seed).run() })
		})
	}
}

// unrest is one run of it.
type unrest struct {
	*nodes

	dice *rand.Rand // of the faults

	mu       sync.Mutex // guards all below
	ran      map[string]int
	outcomes map[errdefs.Reason]int
	ended    []ended
}

// ended is a call that has.
type ended struct {
	name  string
	twice bool // it may run twice
	err   error
}

func newUnrest(t *testing.T, seed uint64) *unrest {
	t.Helper()
	u := &unrest{dice: rand.New(rand.NewPCG(seed, 1)), ran: map[string]int{}, outcomes: map[errdefs.Reason]int{}}
	u.nodes = newNodes(t, 3, func(_ string, _ *host.Config, l *hosttest.Launcher) {
		for i, tool := range l.Tools {
			l.Tools[i].Run = func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
				u.note(string(c.Payload))
				return tool.Run(ctx, c)
			}
		}
	})
	return u
}

// note counts a run of a call.
func (u *unrest) note(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ran[name]++
}

func (u *unrest) run() {
	for i := range 4 {
		u.opened(host.SessionID(fmt.Sprint("s", i)), fmt.Sprint("n", 1+i%3))
	}
	quiet := make(chan struct{})
	var callers, trouble sync.WaitGroup
	for i := range 6 {
		dice := rand.New(rand.NewPCG(u.dice.Uint64(), 2))
		callers.Go(func() { u.call(dice, fmt.Sprint("c", i)) })
	}
	trouble.Go(func() { u.trouble(quiet) })
	callers.Wait()
	close(quiet)
	trouble.Wait()
	u.calm()
	for i := range 4 {
		u.where("n1", host.Request{Tool: "echo", Session: host.SessionID(fmt.Sprint("s", i)), Payload: fmt.Append(nil, "last", i)})
	}
	u.stop()
	u.check()
	u.Logf("outcomes: %v", u.outcomes)
	if u.outcomes[""] < len(u.ended)/4 {
		u.Error("few calls were answered")
	}
}

// call makes calls of one caller, each with a name of its own.
func (u *unrest) call(dice *rand.Rand, caller string) {
	for i := range 30 {
		name := fmt.Sprint(caller, "-", i)
		req := host.Request{
			Tool: []string{"echo", "short"}[dice.IntN(2)], Payload: []byte(name), Idempotent: dice.IntN(3) == 0, Session: host.SessionID(fmt.Sprint("s", dice.IntN(5))),
		}
		if req.Session == "s4" {
			req.Session = ""
		}
		ctx, cancel := within(3 * time.Second)
		t0 := time.Now()
		_, err := u.rigs[fmt.Sprint("n", 1+dice.IntN(3))].do(ctx, req)
		cancel()
		if took := time.Since(t0); took > 3*time.Second {
			u.Errorf("%s took %s", name, took)
		}
		u.mu.Lock()
		u.ended = append(u.ended, ended{name, req.Idempotent, err})
		u.mu.Unlock()
		time.Sleep(time.Duration(dice.IntN(100)) * time.Millisecond)
	}
}

// check looks at what has run when nothing is under way any more.
func (u *unrest) check() {
	for _, c := range u.ended {
		ran := u.ran[c.name]
		u.outcomes[errdefs.ReasonOf(c.err)]++
		switch {
		case c.err == nil && ran == 0, !c.twice && ran > 1, ran > 4:
			u.Errorf("%s ran %d times: %v", c.name, ran, c.err)
		case c.err != nil && !errdefs.MayHaveRun(c.err) && ran > 0:
			u.Errorf("%s hasn't run, but did so %d times: %v", c.name, ran, c.err)
		}
	}
}

// trouble breaks something every now and then, and mends it later.
func (u *unrest) trouble(quiet <-chan struct{}) {
	for {
		select {
		case <-quiet:
			return
		case <-time.After(time.Duration(50+u.dice.IntN(300)) * time.Millisecond):
		}
		id := fmt.Sprint("n", 1+u.dice.IntN(3))
		n, on := u.members[id], u.dice.IntN(2) == 0
		switch u.dice.IntN(8) {
		case 0:
			n.Cut()
		case 1:
			n.SetReachable(on)
		case 2:
			n.SetHung(on)
		case 3:
			n.SetLease(on)
		case 4:
			n.SetDelay(time.Duration(u.dice.IntN(30)) * time.Millisecond)
		case 5:
			u.fail(id)
			u.evacuate(id)
		case 6:
			u.mend(id)
		case 7:
			u.move(host.SessionID(fmt.Sprint("s", u.dice.IntN(4))), id)
		}
	}
}

// evacuate moves all sessions of a node, as the leader does once it's down.
func (u *unrest) evacuate(id string) {
	for _, s := range u.cluster.Owned(u.members[id]) {
		for _, to := range []string{"n1", "n2", "n3"} {
			if to != id {
				u.move(s, to)
				break
			}
		}
	}
}

// mend gives a node back, as a new start of it: its lease was gone for good.
func (u *unrest) mend(id string) {
	n := u.members[id]
	u.rigs[id].Disown()
	n.SetReachable(true)
	n.SetHung(false)
	n.SetDelay(0)
	n.Register()
}

// calm mends everything, and gives each session to a node that is up as it is now.
func (u *unrest) calm() {
	for id := range u.members {
		u.mend(id)
	}
	for i := range 4 {
		u.move(host.SessionID(fmt.Sprint("s", i)), fmt.Sprint("n", 1+i%3))
	}
	time.Sleep(time.Minute)
}
