package host

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// BenchmarkTally is what counting costs a call, all of it together.
func BenchmarkTally(b *testing.B) {
	p := quietPool(1, 1)
	h := &Host{epoch: time.Now().Add(-1)}
	m := newMember(p, 0, "w")
	b.ReportAllocs()
	for b.Loop() {
		c := &Call{host: h, arrived: h.clock(), target: target{pool: p}}
		c.arrive()
		a := &attempt{call: c, grant: &grant{member: m}}
		a.begin()
		c.gave(Message{Payload: []byte("x")})
		p.tally.end(c, h.clock(), nil)
		a.left()
	}
}

func TestOnlyKnownCausesOfRecyclingAreCounted(t *testing.T) {
	t.Parallel()
	var r recycled
	for _, c := range []RecycleCause{RecycleAge, RecycleCalls, RecycleMemory, RecycleReload, RecycleReload, "whim"} {
		r.add(c)
	}
	want := map[RecycleCause]uint64{RecycleAge: 1, RecycleCalls: 1, RecycleMemory: 1, RecycleReload: 2}
	if got := r.byCause(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// armed is a worker with devices.
type armed struct{ live }

func (armed) Devices() []string { return []string{"0", "3"} }

func TestWorkerTellsItsDevices(t *testing.T) {
	t.Parallel()
	p := quietPool(2, 1)
	for seat, w := range []Worker{armed{}, live{}} {
		m := newMember(p, seat, WorkerID(rune('a'+seat)))
		p.sit(m)
		p.welcome(m, w)
	}
	if list := p.workers(); !slices.Equal(list[0].Devices, []string{"0", "3"}) || list[1].Devices != nil {
		t.Errorf("%+v", list)
	}
}
