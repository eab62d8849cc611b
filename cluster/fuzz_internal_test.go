package cluster

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// FuzzEntry applies whatever the log may hold to a machine with something of
// everything: it takes it or stops, and a machine that goes on can be saved.
func FuzzEntry(f *testing.F) {
	b := newBench()
	f.Add(b.entry(f, openSession(named("a"), 10), bindSession("b", "w", 1), forgetSession("c", true)))
	f.Add(b.entry(f, claimProcess(host.ProcessRecord{Worker: "w1"}), releaseProcess("w2"), raiseGeneration(7)))
	f.Add(b.entry(f, registerNode(Member{ID: "n3", MaxVersion: 2}, 0), setNodeStatus("n1", 1, StatusDown, 0), forgetNode("n2"), moveSession("a", 1, Owner{Node: "n1", Incarnation: 1})))
	f.Add(b.entry(f, setFeatureLevel(2, "c", 0)))
	f.Add(b.entry(f, rehome([]*snakepitv1.MoveSession{move("a", 1, Owner{Node: "n1", Incarnation: 1})}, 0)))
	f.Add(b.entry(f, setState("a", 1, []*snakepitv1.StateChange{{Key: "k", Value: []byte("v")}})))
	n1 := Owner{Node: "n1", Incarnation: 3<<generationShift + 7}
	f.Add(b.entry(f, storeTools(n1, toolsOf(f, "ml", "add")), addToken(sum{3}, 1, "x"), setPoolOverride("web", map[string]string{"max": "1"})))
	f.Add(b.entry(f, offerTools(n1, []sum{sha256.Sum256(toolsOf(f, "", "log"))}), dropToken(sum{1}, 0, 0), spendToken(sum{2}, "n4")))
	f.Add(b.entry(f, pauseNode(n1, time.Second)))
	f.Add(b.entry(f, setRehomeAfter(n1, time.Second, 0)))
	f.Add(b.entry(f, registerNode(Member{ID: "n1", Nonce: "x", MaxVersion: rulesVersion}, 0)))
	for _, data := range future(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := furnished(t)
		before := b.saved(t)
		switch r := b.Apply(&raft.Log{Index: 100, Data: data}).(type) {
		case error:
			b.stopped = nil
			if b.halted == nil || !bytes.Equal(before, b.saved(t)) {
				t.Fatalf("stopped by %v, halted by %v", r, b.halted)
			}
		case []outcome:
			saved := b.saved(t)
			other := newBench()
			other.restored(t, saved)
			if !bytes.Equal(saved, other.saved(t)) {
				t.Fatal("a restored state gives another snapshot")
			}
		}
	})
}

// FuzzSnapshot reads whatever a snapshot may hold: what is taken can be written,
// read again, and is the same then.
func FuzzSnapshot(f *testing.F) {
	f.Add(newBench().saved(f))
	f.Add(furnished(f).saved(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench()
		empty := b.saved(t)
		if err := b.Restore(io.NopCloser(bytes.NewReader(data))); err != nil {
			if !bytes.Equal(empty, b.saved(t)) {
				t.Fatal("a snapshot that was refused changed something")
			}
			return
		}
		saved := b.saved(t)
		other := newBench()
		other.restored(t, saved)
		if !bytes.Equal(saved, other.saved(t)) {
			t.Fatal("a restored state gives another snapshot")
		}
	})
}
