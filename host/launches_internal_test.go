package host

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPoolsTakeTurnsAtStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &launches{limit: 1}
		crowd, other := newLine(), newLine()
		order := make(chan string, 12)
		start := func(name string, l *line) {
			if err := s.enter(t.Context(), l); err != nil {
				t.Error(err)
			}
			order <- name
			time.Sleep(time.Second)
			s.leave()
		}
		for range 10 {
			go start("crowd", crowd)
		}
		synctest.Wait()
		for range 2 {
			go start("other", other)
		}
		time.Sleep(time.Minute)
		var got []string
		for range 5 {
			got = append(got, <-order)
		}
		// The second of the crowd stood in line before anybody else came.
		want := [5]string{"crowd", "crowd", "other", "crowd", "other"}
		if [5]string(got) != want {
			t.Errorf("order %v, want %v", got, want)
		}
	})
}

func TestStartThatIsGivenUpPassesItsTurnOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &launches{limit: 1}
		l := newLine()
		if err := s.enter(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := s.arrive(l)
		go func() { _ = s.enter(ctx, l) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		s.leave() // to the one that leaves in the same moment
		s.giveUp(l, gone)
		if s.running != 0 || s.lines.head != nil || l.waiting.head != nil {
			t.Errorf("%d start, somebody waits: %t", s.running, s.lines.head != nil)
		}
	})
}
