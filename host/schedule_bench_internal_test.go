package host

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// BenchmarkDecision is what it costs to take in a call that has to wait, to free a
// slot, and to decide who gets it, beside that many workers and waiting calls of as
// many callers as there are workers, and up to a thousand. The slots are freed in no
// order.
func BenchmarkDecision(b *testing.B) {
	for _, workers := range []int{10, 1000, 10_000} {
		for _, queued := range []int{100, 10_000, 100_000} {
			b.Run(fmt.Sprintf("workers=%d/queued=%d", workers, queued), func(b *testing.B) { decide(b, workers, queued) })
		}
	}
}

func decide(b *testing.B, workers, queued int) {
	b.Helper()
	p, grants := busyPool(b, workers, queued+1)
	callers := min(100, len(thousand))
	add := func(i int) {
		t := &ticket{pool: p, flow: flowKey{flowCaller, thousand[i%callers]}, class: classNormal}
		if _, _, err := p.takeOrQueue(wish{}, t); err != nil {
			b.Fatal(err)
		}
	}
	for i := range queued {
		add(i)
	}
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(grants))
	median := newMedian(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		add(i)
		k := order[i%len(order)]
		grants[k] = p.exchange(b, grants[k])
		median.tick()
	}
	median.report()
}

// exchange is a release, and what the call does that gets the slot.
func (p *pool) exchange(b *testing.B, g *grant) *grant {
	b.Helper()
	if g.released.Swap(true) {
		b.Fatal("released twice")
	}
	var out answers
	p.mu.Lock()
	p.takeBack(g)
	p.handOn(g.member, &out)
	p.mu.Unlock()
	out.send()
	w := out.first
	g = <-w.granted
	p.reuse(w)
	return g
}

// median tells what a busy machine takes from what the code does: it's that of
// batches too short for most of them to be interrupted.
type median struct {
	*testing.B

	n     int
	since time.Time
	took  []time.Duration
}

const batch = 50

func newMedian(b *testing.B) *median {
	b.Helper()
	return &median{B: b, since: time.Now()}
}

func (m *median) tick() {
	if m.n++; m.n%batch == 0 {
		now := time.Now()
		m.took, m.since = append(m.took, now.Sub(m.since)), now
	}
}

func (m *median) report() {
	if len(m.took) > 0 {
		slices.Sort(m.took)
		m.ReportMetric(float64(m.took[len(m.took)/2])/batch, "median-ns/op")
		m.ReportMetric(float64(m.took[len(m.took)*99/100])/batch, "p99-ns/op")
	}
}

var thousand = func() (names [1000]string) {
	for i := range names {
		names[i] = fmt.Sprintf("caller-%03d", i)
	}
	return names
}()

// busyPool is a pool whose workers are all busy.
func busyPool(b *testing.B, workers, queue int) (*pool, []*grant) {
	b.Helper()
	p := quietPool(workers, queue)
	grants := make([]*grant, workers)
	for i := range grants {
		m := newMember(p, i, WorkerID(fmt.Sprint(i)))
		p.sit(m)
		p.welcome(m, &mortal{slots: 1, done: make(chan struct{})})
		g, _, err := p.takeOrQueue(wish{}, &ticket{pool: p})
		if err != nil || g == nil {
			b.Fatal(err)
		}
		grants[i] = g
	}
	return p, grants
}

// BenchmarkRejection is what it costs to say that the queue is full.
func BenchmarkRejection(b *testing.B) {
	p, _ := busyPool(b, 10, 100_000)
	for range 100_000 {
		if _, _, err := p.takeOrQueue(wish{}, &ticket{pool: p}); err != nil {
			b.Fatal(err)
		}
	}
	median := newMedian(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := p.takeOrQueue(wish{}, &ticket{pool: p}); errdefs.ReasonOf(err) != errdefs.QueueFull {
			b.Fatal(err)
		}
		median.tick()
	}
	median.report()
}
