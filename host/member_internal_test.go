package host

import (
	"slices"
	"testing"
	"time"
)

func TestStatesOnlyGoForward(t *testing.T) {
	t.Parallel()
	states := []WorkerState{WorkerStarting, WorkerReady, WorkerDraining, WorkerStopping, WorkerDead}
	legal := map[WorkerState][]WorkerState{
		WorkerStarting: {WorkerReady, WorkerDead},
		WorkerReady:    {WorkerDraining, WorkerStopping, WorkerDead},
		WorkerDraining: {WorkerStopping, WorkerDead},
		WorkerStopping: {WorkerDead},
	}
	for _, from := range states {
		for _, to := range states {
			m := &member{state: from}
			want := slices.Contains(legal[from], to)
			if got := m.transition(to); got != want {
				t.Errorf("%s to %s is allowed: %t, want %t", from, to, got, want)
			}
			if !want && m.state != from {
				t.Errorf("an illegal step left %s for %s", from, m.state)
			}
		}
	}
}

func TestFIFOKeepsItsOrderUnderRemovals(t *testing.T) {
	t.Parallel()
	var f fifo[int]
	links := make([]link[int], 5)
	for i := range links {
		links[i].value = i
		f.push(&links[i])
	}
	var other fifo[int]
	for _, i := range []int{0, 2, 4} {
		if other.remove(&links[i]) || !f.remove(&links[i]) || f.remove(&links[i]) {
			t.Fatalf("removing %d", i)
		}
	}
	f.push(&links[0])
	var got []int
	for l := f.pop(); l != nil; l = f.pop() {
		got = append(got, l.value)
	}
	if !slices.Equal(got, []int{1, 3, 0}) || f.count != 0 {
		t.Errorf("got %v, %d left", got, f.count)
	}
}

func TestBackoffDoublesIsBoundedAndDecays(t *testing.T) {
	t.Parallel()
	var b backoff
	if b.delay() != 0 {
		t.Error("a seat that never failed waits")
	}
	within := func(want time.Duration) {
		t.Helper()
		for range 100 {
			if d := b.delay(); d < want/2 || d > want {
				t.Fatalf("after %d failures: %s, want %s to %s", b.failures, d, want/2, want)
			}
		}
	}
	for _, want := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond} {
		b.died(0)
		within(want)
	}
	b.failedToStart()
	within(1280 * time.Millisecond)
	for range 1000 {
		b.failedToStart()
	}
	within(10 * time.Second)
	b.died(100 * time.Hour)
	within(10 * time.Millisecond)
}
