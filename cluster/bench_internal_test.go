package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// trio is three nodes on disk, over a network in memory that takes no time.
type trio struct {
	*testing.B

	configs []func() Config
	nodes   []*Node
}

func newTrio(b *testing.B) *trio {
	b.Helper()
	t, net := &trio{B: b}, newNetwork()
	net.slow(0)
	for i, name := range []string{"n1", "n2", "n3"} {
		dir := b.TempDir()
		t.configs = append(t.configs, func() Config {
			cfg := Config{
				Dir: dir, Node: name, MaxSessions: mostSessions, Transport: net.transport(name, name+":1"),
				Pools: func() map[string]uint32 { return map[string]uint32{"ml": 1 << 20} },
			}
			if i > 0 {
				cfg.Join = &Join{Addresses: []string{"n1:1"}}
			}
			return cfg
		})
		t.nodes = append(t.nodes, t.open(i))
	}
	b.Cleanup(t.close)
	t.until("three vote", func() bool { return votersOf(t.nodes[0]) == 3 })
	t.until("n1 leads", func() bool { return t.nodes[0].mesh.office.Load() != nil })
	return t
}

func (t *trio) open(i int) *Node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := Open(ctx, t.configs[i]())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (t *trio) close() {
	for _, n := range t.nodes {
		_ = n.Close() // the files go anyway
	}
}

// until waits, in real time, until a fact is there.
func (t *trio) until(what string, fact func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !fact() {
		if time.Since(began) > time.Minute {
			t.Fatal("not within a minute: ", what)
		}
		<-tick.C
	}
	return time.Since(began)
}

// share has so many callers do n things.
func share(callers, n int, do func(caller, i int) error) error {
	var next, failed atomic.Int64
	var group sync.WaitGroup
	var err error
	for caller := range callers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == 0; i = int(next.Add(1)) - 1 {
				if e := do(caller, i); e != nil && failed.Add(1) == 1 {
					err = e
				}
			}
		})
	}
	group.Wait()
	return err
}

// BenchmarkThreeNodes opens sessions on three nodes, beside Raft itself with entries
// of the same size.
func BenchmarkThreeNodes(b *testing.B) {
	const callers = 64
	session := func(i int) host.Session {
		return host.Session{ID: host.SessionID(fmt.Sprintf("session-%08d", i)), Pool: "ml", TTL: time.Hour, Metadata: map[string]string{"user": "somebody"}, OpenedAt: time.Now()}
	}
	run := func(name string, do func(t *trio, caller, i int) error) {
		b.Run(name, func(b *testing.B) {
			t := newTrio(b)
			b.ResetTimer()
			if err := share(callers, b.N, func(caller, i int) error { return do(t, caller, i) }); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
	first, err := encodeEntry(newUUID(), 1, []*snakepitv1.RegistryCommand{openOwned(session(1), Owner{Node: newUUID(), Incarnation: 1 << 20}, 1)})
	if err != nil {
		b.Fatal(err)
	}
	var numbers [callers]uint64
	run("raft", func(t *trio, caller, _ int) error {
		numbers[caller]++
		return t.raw(caller, numbers[caller], len(first))
	})
	run("leader", func(t *trio, _, i int) error { _, err := t.nodes[0].OpenSession(t.Context(), session(i)); return err })
	run("follower", func(t *trio, _, i int) error { _, err := t.nodes[1].OpenSession(t.Context(), session(i)); return err })
	run("all", func(t *trio, caller, i int) error {
		_, err := t.nodes[caller%3].OpenSession(t.Context(), session(i))
		return err
	})
}

// raw has Raft apply an entry of a size that does next to nothing.
func (t *trio) raw(caller int, number uint64, size int) error {
	c := releaseProcess(host.WorkerID(strings.Repeat("w", size-64)))
	c.Number = number
	data, err := encodeEntry(fmt.Sprint("caller-", caller), number, []*snakepitv1.RegistryCommand{c})
	if err != nil {
		return err
	}
	return t.nodes[0].raft.Apply(data, time.Second).Error()
}

// BenchmarkFullRegistry has 10,000 sessions of 1 KiB on three nodes, all owned by one:
// how long a snapshot takes, a start from it, a read, and what follows from its owner's death.
func BenchmarkFullRegistry(b *testing.B) {
	const sessions = 10_000
	for b.Loop() {
		b.StopTimer()
		t := newTrio(b)
		victim := t.nodes[2]
		value := []byte(strings.Repeat("v", 1024))
		if err := share(64, sessions, func(_, i int) error {
			s, err := victim.OpenSession(b.Context(), host.Session{ID: host.SessionID(fmt.Sprint("s", i)), Pool: "ml"})
			if err == nil {
				_, err = victim.SetState(b.Context(), s.ID, s.Epoch, Change{Key: "k", Value: value})
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		t.measure(victim)
		b.StopTimer()
		t.close()
		b.StartTimer()
	}
}

// fastest is how many nanoseconds something takes when nothing else gets in its way.
func fastest(do func()) float64 {
	const times = 1000
	best := time.Hour
	for range 200 {
		began := time.Now()
		for range times {
			do()
		}
		best = min(best, time.Since(began))
	}
	return float64(best.Nanoseconds()) / times
}

func (t *trio) measure(victim *Node) {
	t.Helper()
	began := time.Now()
	if err := t.nodes[0].raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		t.Fatal(err)
	}
	t.ReportMetric(float64(time.Since(began).Milliseconds()), "snapshot-ms")

	if err := t.nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	t.nodes[1] = t.open(1)
	t.ReportMetric(float64(time.Since(began).Milliseconds()), "restart-ms")

	t.ReportMetric(fastest(func() { _, _, _ = t.nodes[1].Owner(t.Context(), "s77") }), "owner-ns")
	t.ReportMetric(fastest(func() { _, _ = t.nodes[1].Session(t.Context(), "s77") }), "session-ns")
	t.ReportMetric(fastest(func() { _, _ = t.nodes[1].Self() }), "self-ns")

	id := victim.ID()
	victim.fail(context.Canceled) // it ends without a word to the others
	<-victim.Done()
	took := t.until("all have another owner", func() bool { return t.nodes[0].machine.owned()[id] == 0 })
	t.ReportMetric(float64(took.Milliseconds()), "reassigned-ms")
}
