package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// stand is a proposer over a machine, in place of Raft.
type stand struct {
	*testing.T
	*proposer

	bench   *bench
	entries [][]byte
	sizes   []int
	takes   time.Duration           // for each entry
	before  func(data []byte) error // nil: nothing
	after   func(outcomes []outcome) error
	ending  chan struct{}
}

// inStand runs a test on a proposer in a bubble.
func inStand(t *testing.T, test func(s *stand)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		test(s)
		close(s.ending)
		<-s.stopped
	})
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{T: t, bench: newBench(), ending: make(chan struct{})}
	s.proposer = newProposer(func(data []byte) ([]outcome, uint64, error) {
		out, err := s.land(data)
		return out, s.bench.index, err
	}, func() error { return errors.New("ended") })
	go s.run(s.ending)
	return s
}

func (s *stand) land(data []byte) ([]outcome, error) {
	s.Helper()
	time.Sleep(s.takes)
	s.entries = append(s.entries, data)
	if s.before != nil {
		if err := s.before(data); err != nil {
			return nil, err
		}
	}
	out := s.bench.applied(s, data)
	s.sizes = append(s.sizes, len(out))
	if s.after != nil {
		if err := s.after(out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// many proposes to open n sessions at once and waits for them all.
func (s *stand) many(n int, id func(i int) string) []error {
	s.Helper()
	errs := make(chan error, n)
	for i := range n {
		go func() {
			_, err := s.propose(s.Context(), openSession(named(id(i)), 1000))
			errs <- err
		}()
		synctest.Wait() // so that they come in this order
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	return all
}

func TestCommandsThatComeTogetherShareAnEntry(t *testing.T) {
	t.Parallel()
	inStand(t, func(s *stand) {
		s.takes = time.Millisecond
		for _, err := range s.many(200, func(i int) string { return fmt.Sprint(i) }) {
			if err != nil {
				s.Error(err)
			}
		}
		if len(s.entries) != 2 || s.sizes[1] != 199 {
			s.Errorf("entries of %v commands, want one and 199", s.sizes)
		}
	})
}

func TestCommandsAboutTheSameTakeAnEntryEachInTheirOrder(t *testing.T) {
	t.Parallel()
	inStand(t, func(s *stand) {
		s.takes = time.Millisecond
		var order []uint64
		s.after = func(out []outcome) error {
			order = append(order, out[0].session.Epoch)
			return nil
		}
		s.many(5, func(int) string { return "a" })
		if fmt.Sprint(s.sizes) != "[1 1 1 1 1]" || fmt.Sprint(order) != "[1 1 1 1 1]" {
			s.Errorf("entries of %v commands, epochs %v", s.sizes, order)
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	t.Parallel()
	inStand(t, func(s *stand) {
		s.takes = time.Millisecond
		big := strings.Repeat("x", 3900)
		s.many(1, func(int) string { return "first" })
		errs := make(chan error, 600)
		for i := range 600 {
			go func() {
				large := named(fmt.Sprint(i))
				large.Metadata = map[string]string{"k": big}
				_, err := s.propose(s.Context(), openSession(large, 1000))
				errs <- err
			}()
		}
		for range 600 {
			if err := <-errs; err != nil {
				s.Error(err)
			}
		}
		for i, e := range s.entries {
			if len(e) > maxEntry || s.sizes[i] > maxCommands {
				s.Errorf("an entry of %d bytes and %d commands", len(e), s.sizes[i])
			}
		}
		huge := named("huge")
		huge.Metadata = map[string]string{"k": strings.Repeat("x", maxEntry)}
		if _, err := s.propose(s.Context(), openSession(huge, 1000)); errdefs.ReasonOf(err) != errdefs.PayloadTooLarge {
			s.Errorf("a command larger than an entry: %v", err)
		}
	})
}

func TestEntryWhoseFateIsUnknownIsProposedAgainAndRunOnce(t *testing.T) {
	t.Parallel()
	inStand(t, func(s *stand) {
		lost := 3
		s.after = func([]outcome) error { // it's in the log, and nobody says so
			if lost--; lost >= 0 {
				return raft.ErrLeadershipLost
			}
			return nil
		}
		o, err := s.propose(s.Context(), openSession(named("a"), 10))
		if err != nil || o.session.Epoch != 1 {
			s.Errorf("outcome %+v (%v)", o, err)
		}
		if len(s.entries) != 4 || !bytes.Equal(s.entries[0], s.entries[3]) {
			s.Errorf("%d entries", len(s.entries))
		}
		s.after, lost = nil, 0
		if o, err := s.propose(s.Context(), bindSession("a", "w2", 1)); err != nil || o.err != nil {
			s.Errorf("outcome %+v (%v)", o, err)
		}
	})
}

func TestWriteWithoutALeaderFailsSoon(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		raft error
		want errdefs.Reason
	}{
		"never accepted": {raft.ErrNotLeader, errdefs.NoQuorum},
		"not taken":      {raft.ErrEnqueueTimeout, errdefs.NoQuorum},
		"perhaps there":  {raft.ErrLeadershipLost, errdefs.OutcomeUnknown},
		"closed":         {raft.ErrRaftShutdown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inStand(t, func(s *stand) {
				s.before = func([]byte) error { return tt.raft }
				began := time.Now()
				_, err := s.propose(s.Context(), openSession(named("a"), 10))
				if got := errdefs.ReasonOf(err); err == nil || got != tt.want {
					s.Errorf("%v, want %s", err, tt.want)
				}
				if took := time.Since(began); took > holdWait+100*time.Millisecond {
					s.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestCallerWhoLeavesIsToldWhetherItIsUnderWay(t *testing.T) {
	t.Parallel()
	inStand(t, func(s *stand) {
		s.takes = time.Second
		soon := func(id string, after time.Duration) <-chan error {
			out := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(s.Context(), after)
				defer cancel()
				_, err := s.propose(ctx, openSession(named(id), 10))
				out <- err
			}()
			synctest.Wait()
			return out
		}
		first, second := soon("a", 500*time.Millisecond), soon("b", 600*time.Millisecond)
		for out, want := range map[<-chan error]string{first: "may succeed yet", second: "nothing was written"} {
			if err := <-out; errdefs.ReasonOf(err) != errdefs.Deadline || !strings.Contains(err.Error(), want) {
				s.Errorf("got %v, want %q", err, want)
			}
		}
		time.Sleep(3 * time.Second)
		if a, _ := s.bench.session("a"); a == nil {
			s.Error("what was under way isn't there")
		}
		if b, _ := s.bench.session("b"); b != nil {
			s.Error("what was said not to be written is there")
		}
	})
}

func TestEveryWaitingCallerIsToldOfTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t)
		s.takes = time.Second
		outs := make(chan string, 2*maxCommands+1)
		for i := range cap(outs) { // one is under way, some wait in the channel, the rest before it
			go func() {
				_, err := s.propose(t.Context(), claimProcess(host.ProcessRecord{Worker: host.WorkerID(fmt.Sprint(i))}))
				outs <- fmt.Sprint(err)
			}()
		}
		synctest.Wait()
		close(s.ending)
		got := map[string]int{}
		for range cap(outs) {
			got[<-outs]++
		}
		if got["ended"] != cap(outs)-s.sizes[0] || got["<nil>"] != s.sizes[0] {
			t.Errorf("callers were told %v; entries of %v", got, s.sizes)
		}
	})
}
