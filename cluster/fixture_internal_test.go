package cluster

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// bench is a machine without Raft around it.
type bench struct {
	*machine

	index  uint64
	term   uint64
	number uint64
	halted error
}

func newBench() *bench {
	b := &bench{}
	b.machine = newMachine(func(err error) { b.halted = err })
	return b
}

// apply runs commands in one entry.
func (b *bench) apply(tb testing.TB, commands ...*snakepitv1.RegistryCommand) []outcome {
	tb.Helper()
	return b.applied(tb, b.entry(tb, commands...))
}

func (b *bench) entry(tb testing.TB, commands ...*snakepitv1.RegistryCommand) []byte {
	tb.Helper()
	answered := b.number + 1
	for _, c := range commands {
		b.number++
		c.Number = b.number
	}
	data, err := encodeEntry("bench", answered, commands)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// applied runs an entry at the next index.
func (b *bench) applied(tb testing.TB, data []byte) []outcome {
	tb.Helper()
	b.index++
	switch r := b.Apply(&raft.Log{Index: b.index, Term: b.term, Data: data}).(type) {
	case []outcome:
		return r
	case error:
		return nil
	}
	tb.Fatal("Apply gave neither outcomes nor an error")
	return nil
}

// saved is the state as a snapshot has it.
func (b *bench) saved(tb testing.TB) []byte {
	tb.Helper()
	s, err := b.Snapshot()
	if err != nil {
		tb.Fatal(err)
	}
	sink := &sink{}
	if err := s.Persist(sink); err != nil || !sink.closed {
		tb.Fatalf("Persist: %v, closed %t", err, sink.closed)
	}
	return sink.Bytes()
}

func (b *bench) restored(tb testing.TB, saved []byte) {
	tb.Helper()
	if err := b.Restore(io.NopCloser(bytes.NewReader(saved))); err != nil {
		tb.Fatal(err)
	}
}

// sink is a raft.SnapshotSink in memory; it takes room bytes, where that isn't zero.
type sink struct {
	bytes.Buffer

	room              int
	closed, cancelled bool
}

func (s *sink) Write(b []byte) (int, error) {
	if s.room > 0 && s.Len()+len(b) > s.room {
		return 0, fmt.Errorf("no room for %d bytes", len(b))
	}
	return s.Buffer.Write(b)
}

func (s *sink) ID() string    { return "sink" }
func (s *sink) Close() error  { s.closed = true; return nil }
func (s *sink) Cancel() error { s.cancelled = true; return nil }

func named(id string) host.Session {
	return host.Session{ID: host.SessionID(id), Pool: "ml", Home: "w1", Metadata: map[string]string{"user": "7"}}
}

func marshalled(tb testing.TB, m proto.Message) []byte {
	tb.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func timeOf(seconds, nanoseconds int64) time.Time { return time.Unix(seconds, nanoseconds).UTC() }
