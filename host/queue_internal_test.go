package host

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// waitingFor makes a waiter of one caller, numbered in order of arrival.
func waitingFor(caller string, c class, weight int) *waiter {
	w := &waiter{ticket: &ticket{flow: flowKey{flowCaller, caller}, class: c}, weight: weight}
	w.place.value = w
	return w
}

// TestQueueIsFairInAnyOrderOfEvents compares the queue with what it promises: FIFO in
// a flow, no flow more than its weight between two grants of another that waits, no
// class more than yieldAtMost behind, nobody lost and nobody twice.
func TestQueueIsFairInAnyOrderOfEvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := &queueModel{T: rt, q: &queue{}, weights: map[string]int{"a": 1, "b": 2, "c": 5}, since: map[flowOfClass]map[string]int{}}
		rt.Repeat(map[string]func(*rapid.T){
			"push":   m.push,
			"crowd":  func(rt *rapid.T) { m.crowd(rt) },
			"pop":    func(*rapid.T) { m.pop() },
			"remove": m.remove,
			"":       m.check,
		})
		for len(m.there) > 0 {
			m.pop()
		}
		if w := m.q.pop(); w != nil || m.q.count != 0 {
			rt.Fatal("somebody is left in an empty queue")
		}
	})
}

type flowOfClass struct {
	class  class
	caller string
}

type queueModel struct {
	*rapid.T

	q       *queue
	weights map[string]int
	there   []*waiter                      // in order of arrival
	since   map[flowOfClass]map[string]int // grants to others since its last one, or since it came
	passed  [classes]int                   // grants to higher classes while one of this waits
}

func keyOf(w *waiter) flowOfClass { return flowOfClass{w.ticket.class, w.ticket.flow.name} }

func (m *queueModel) push(rt *rapid.T) {
	caller := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "caller")
	c := class(rapid.IntRange(0, int(classes)-1).Draw(rt, "class"))
	m.add(waitingFor(caller, c, max(m.weights[caller], 1)))
}

func (m *queueModel) crowd(rt *rapid.T) {
	for range rapid.IntRange(10, 60).Draw(rt, "many") {
		m.add(waitingFor("hog", classNormal, 1))
	}
}

func (m *queueModel) add(w *waiter) {
	if m.first(keyOf(w)) == nil {
		m.since[keyOf(w)] = map[string]int{}
	}
	m.there = append(m.there, w)
	m.q.push(w)
}

func (m *queueModel) first(k flowOfClass) *waiter {
	for _, w := range m.there {
		if keyOf(w) == k {
			return w
		}
	}
	return nil
}

func (m *queueModel) pop() {
	w := m.q.pop()
	if w == nil {
		if len(m.there) > 0 {
			m.Fatalf("nobody is granted while %d wait", len(m.there))
		}
		return
	}
	k := keyOf(w)
	if m.first(k) != w {
		m.Fatalf("%v: not the first of its flow, or not there", k)
	}
	m.drop(w)
	m.checkFlows(k)
	m.checkClasses(k.class)
}

func (m *queueModel) checkFlows(k flowOfClass) {
	m.since[k] = map[string]int{}
	for other, got := range m.since {
		if other.class != k.class || other == k || m.first(other) == nil {
			continue
		}
		if got[k.caller]++; got[k.caller] > max(m.weights[k.caller], 1) {
			m.Fatalf("%v got %d calls while %v waited", k, got[k.caller], other)
		}
	}
}

func (m *queueModel) checkClasses(c class) {
	m.passed[c] = 0
	for lower := c + 1; lower < classes; lower++ {
		if !m.waits(lower) {
			m.passed[lower] = 0
		} else if m.passed[lower]++; m.passed[lower] > yieldAtMost {
			m.Fatalf("class %d let %d higher ones pass", lower, m.passed[lower])
		}
	}
}

func (m *queueModel) waits(c class) bool {
	for _, w := range m.there {
		if w.ticket.class == c {
			return true
		}
	}
	return false
}

func (m *queueModel) drop(w *waiter) {
	for i := range m.there {
		if m.there[i] == w {
			m.there = append(m.there[:i:i], m.there[i+1:]...)
			break
		}
	}
	if !m.waits(w.ticket.class) {
		m.passed[w.ticket.class] = 0
	}
}

func (m *queueModel) remove(rt *rapid.T) {
	if len(m.there) == 0 {
		rt.Skip("nobody waits")
	}
	w := m.there[rapid.IntRange(0, len(m.there)-1).Draw(rt, "who")]
	if !m.q.remove(w) {
		rt.Fatal("it isn't there")
	}
	m.drop(w)
	if m.q.remove(w) {
		rt.Fatal("it was there twice")
	}
}

func (m *queueModel) check(rt *rapid.T) {
	if m.q.count != len(m.there) {
		rt.Fatalf("count %d, want %d", m.q.count, len(m.there))
	}
	for c := range m.q.rounds {
		r, weight := &m.q.rounds[c], 0
		for _, f := range r.flows {
			weight += f.weight
		}
		if len(r.flows) != r.turns.count || weight != r.weight {
			rt.Fatalf("class %d: %d flows, %d turns, weight %d of %d", c, len(r.flows), r.turns.count, r.weight, weight)
		}
	}
}

func TestServedCallGoesFirstInItsFlow(t *testing.T) {
	t.Parallel()
	q := &queue{}
	for _, name := range []string{"a", "b", "b"} {
		q.push(waitingFor(name, classNormal, 1))
	}
	again := waitingFor("c", classNormal, 1)
	again.ticket.served = true
	q.push(again)
	if q.pop() != again {
		t.Error("it stands behind those who have had no turn")
	}
}

//nolint:paralleltest // it counts the process's allocations
func TestFlowsThatComeAndGoAllocateNothing(t *testing.T) {
	q := &queue{}
	waiters := make([]*waiter, 64)
	for i := range waiters {
		waiters[i] = waitingFor(fmt.Sprint(i), classNormal, 1)
	}
	allocs := testing.AllocsPerRun(100, func() {
		for _, w := range waiters {
			q.push(w)
		}
		for q.pop() != nil {
			continue
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for 64 calls", allocs)
	}
}
