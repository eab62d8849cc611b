//go:build integration && linux

package failover_test

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// manySessions is how many sessions TestManySessionsAreTakenOver has; 10,000 are stated,
// and take a minute to open.
func manySessions(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("SNAKEPIT_TEST_SESSIONS"))
	if err != nil {
		return 600
	}
	return n
}

// once calls each session once and gives the answers, of which none may be an error.
func (s *site) once(o order) []answer {
	s.t.Helper()
	w := startLoad(s.t, s.lan, "client", o)
	s.eventuallyWithin(5*time.Minute, "an answer for each session", func() bool { return len(w.seen()) == o.Sessions+len(o.Names) })
	w.stop()
	for _, a := range w.seen() {
		if a.Reason != "" {
			s.t.Fatalf("session %s: %s", a.Session, a.Error)
		}
	}
	return w.seen()
}

func TestManySessionsAreTakenOver(t *testing.T) {
	const bytes, callers, bound = 1 << 10, 64, 10 * time.Second
	s := newSite(t)
	for _, n := range s.nodes {
		n.set = append(n.set, "slots=16") // a worker waits for the registry with each of them
	}
	s.start()
	o := order{
		Hosts: s.hosts(), TLS: s.clientTLS(), Sessions: manySessions(t), Prefix: "m", Timeout: time.Minute, Callers: callers, Bytes: bytes,
	}
	begun := time.Now()
	opened := s.once(o)
	t.Logf("%d sessions with %d bytes of state were opened in %s", len(opened), bytes, time.Since(begun).Round(time.Millisecond))
	victim := s.other(s.leader())
	killed := bootTime()
	victim.kill()
	o.Sessions = 0
	for _, a := range opened {
		if a.Result.Node == victim.name {
			o.Names = append(o.Names, a.Session)
		}
	}
	var last int64
	for _, a := range s.once(o) {
		if a.Result.Before != bytes || a.Result.Node == victim.name {
			t.Errorf("session %s has %d bytes of state, on %s", a.Session, a.Result.Before, a.Result.Node)
		}
		last = max(last, a.End)
	}
	took := time.Duration(last - killed)
	t.Logf("the last of %d sessions of %s was answered %s after its end", len(o.Names), victim.name, took.Round(time.Millisecond))
	if len(o.Names) == 0 || took > slack*bound {
		t.Errorf("%d sessions moved, in %s", len(o.Names), took)
	}
	s.end()
}
