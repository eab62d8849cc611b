package host

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func quietPool(size, queue int) *pool {
	cfg := PoolConfig{Name: "p", Command: Command{Path: "fake"}, Size: size, QueueSize: queue}.withDefaults(time.Hour)
	return newPool(cfg, "n", nil, hclog.NewNullLogger())
}

// live is a worker that takes calls as far as the pool is concerned.
type live struct{ Worker }

func (live) Description() Description { return Description{Slots: 1} }
func (live) Done() <-chan struct{}    { return nil }

func TestTurnThatComesAsItsWaiterLeavesIsPassedOn(t *testing.T) {
	t.Parallel()
	p := quietPool(1, 10)
	s := &session{id: "s", pool: p}
	arrive := func() *turnWaiter {
		w, err := s.arrive(&ticket{pool: p}, false)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if arrive() != nil {
		t.Fatal("the first has to wait")
	}
	second, third := arrive(), arrive()
	s.pass() // to the second, which leaves in the same moment
	s.leaveQueue(second)
	select {
	case <-third.turn:
	default:
		t.Error("the third has no turn, and nobody else has")
	}
	s.leaveQueue(third)
	if s.holders != 0 {
		t.Error("a turn is out that nobody has")
	}
}

func TestSlotThatComesAsItsWaiterLeavesIsPassedOn(t *testing.T) {
	t.Parallel()
	p := quietPool(1, 10)
	m := newMember(p, 0, "w")
	p.sit(m)
	p.welcome(m, live{})
	first, _, err := p.takeOrQueue(wish{}, &ticket{pool: p})
	if err != nil || first == nil {
		t.Fatal("the first has to wait")
	}
	_, second, _ := p.takeOrQueue(wish{}, &ticket{pool: p})
	_, third, _ := p.takeOrQueue(wish{}, &ticket{pool: p})
	p.release(first) // to the second, which leaves in the same moment
	p.release(first) // a second time: nothing
	p.giveUp(second)
	select {
	case g := <-third.granted:
		p.release(g)
	default:
		t.Fatal("the third has no slot, and nobody else has")
	}
	if s := p.status(); s.Busy != 0 || s.Queued != 0 || p.idle.count != 1 {
		t.Errorf("at rest: %+v, %d free", s, p.idle.count)
	}
}
