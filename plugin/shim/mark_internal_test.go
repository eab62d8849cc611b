package shim

import (
	"sync/atomic"
	"testing"
)

// model is one worker, its shim and the calls of its host, cut into the steps that
// the memory orders: each is one access to a word, or what follows from one.
type model struct {
	Mark

	frozen  bool
	settled bool // the lease has ended and the shim has done what it does then
	running int  // calls that were let in and haven't left
}

func newModel() *model {
	return &model{Mark: Mark{mark: new(atomic.Uint32), closed: new(atomic.Uint32)}}
}

// actor is what one side does, step by step; false: it's done, whatever follows.
type actor func(m *model) []func() bool

// call is a host's call: Enter in its two steps, the run, and Leave.
func call(m *model) []func() bool {
	return []func() bool{
		func() bool { m.announce(); return true },
		func() bool {
			if m.isOpen() {
				m.running++
				return true
			}
			m.Leave()
			return false
		},
		func() bool { m.running--; m.Leave(); return true },
	}
}

// leaseEnd is what the shim does at the lease's end, and at its renewal.
func leaseEnd(m *model) []func() bool {
	look := func() bool {
		m.frozen = m.frozen || m.marked()
		return true
	}
	return []func() bool{
		func() bool { m.close(); return true },
		look,
		func() bool { look(); m.settled = true; return true },
		func() bool { m.settled, m.frozen = false, false; m.open(); return true },
	}
}

// twoEnds are one lease's after another's.
func twoEnds(m *model) []func() bool { return append(leaseEnd(m), leaseEnd(m)...) }

// wrongEnd looks before it closes.
func wrongEnd(m *model) []func() bool {
	right := leaseEnd(m)
	return []func() bool{right[1], right[0], func() bool { m.settled = true; return true }, right[3]}
}

// explore runs every interleaving of the actors, and counts those in which a call
// ran on a worker that wasn't frozen after the shim had settled.
func explore(actors ...actor) (runs, faults int) {
	var try func(schedule []int)
	try = func(schedule []int) {
		m, left := newModel(), [][]func() bool{}
		for _, a := range actors {
			left = append(left, a(m))
		}
		fault := false
		for _, who := range schedule {
			if left[who][0]() {
				left[who] = left[who][1:]
			} else {
				left[who] = nil
			}
			fault = fault || m.settled && m.running > 0 && !m.frozen
		}
		end := true
		for who, steps := range left {
			if len(steps) > 0 {
				end = false
				try(append(schedule[:len(schedule):len(schedule)], who))
			}
		}
		if end {
			runs++
			if fault {
				faults++
			}
			if m.marked() || m.running != 0 {
				faults++ // a mark that stays
			}
		}
	}
	try(nil)
	return runs, faults
}

func TestNoCallRunsOnAnOpenWorkerAfterTheLease(t *testing.T) {
	t.Parallel()
	for name, actors := range map[string][]actor{
		"one call, two ends":   {call, twoEnds},
		"two calls, two ends":  {call, call, twoEnds},
		"two calls, one end":   {call, call, leaseEnd},
		"three calls, one end": {call, call, call, leaseEnd},
	} {
		runs, faults := explore(actors...)
		t.Logf("%s: %d interleavings", name, runs)
		if faults > 0 || runs < 30 {
			t.Errorf("%s: %d of %d interleavings are wrong", name, faults, runs)
		}
	}
}

func TestTheModelFindsAShimThatLooksTooEarly(t *testing.T) {
	t.Parallel()
	if runs, faults := explore(call, wrongEnd); faults == 0 {
		t.Errorf("none of %d interleavings is wrong", runs)
	}
}

func TestAMarkTakenBackLateHarmsNobody(t *testing.T) {
	t.Parallel()
	m := newModel()
	first, second := m.Enter(), m.Enter() // a call to a worker that ends, then one to the next in its slot
	if !first || !second {
		t.Fatal("a call was refused")
	}
	m.Leave() // of the first
	if !m.marked() {
		t.Error("the second call's mark is gone")
	}
	m.Leave()
	m.close()
	if m.Enter() || m.marked() {
		t.Error("a closed worker was entered, or keeps a mark")
	}
}
