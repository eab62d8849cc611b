package host

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// EventKind is what happened. The list is closed.
type EventKind string

// The kinds of events.
const (
	EventWorkerReady    EventKind = "worker_ready"    // entered service
	EventWorkerDied     EventKind = "worker_died"     // ended although nobody wanted it to
	EventWorkerKilled   EventKind = "worker_killed"   // didn't obey
	EventWorkerHung     EventKind = "worker_hung"     // left its probes unanswered
	EventWorkerTainted  EventKind = "worker_tainted"  // isn't used again, because of how a call on it ended
	EventWorkerRecycled EventKind = "worker_recycled" // replaced at the end of its time
	EventStartFailed    EventKind = "start_failed"    // a worker couldn't start
	EventPoolGrown      EventKind = "pool_grown"
	EventPoolShrunk     EventKind = "pool_shrunk"
	EventPoolReloaded   EventKind = "pool_reloaded"
	EventReloadFailed   EventKind = "reload_failed" // the old workers serve on
	EventQueueFull      EventKind = "queue_full"    // at most one a second
	EventCallRetried    EventKind = "call_retried"
	EventBreakerOpened  EventKind = "breaker_opened"
	EventBreakerHalf    EventKind = "breaker_half_open"
	EventBreakerClosed  EventKind = "breaker_closed"
)

// Event is something that happened to a pool or to one of its workers.
type Event struct {
	Kind   EventKind
	At     time.Time // for people; nothing is decided by it
	Pool   string
	Worker WorkerID       // empty: the pool as a whole
	Reason errdefs.Reason // empty: none
	Detail string         // one line; cut at 512 bytes
}

const (
	keptEvents     = 64 // of each pool, for Status
	maxEventDetail = 512
)

// events tells of what happens to a pool, and remembers the latest.
type events struct {
	pool string
	tell func(Event) // nil: nobody

	mu   sync.Mutex // guards all below
	kept []Event    // a ring once it's full
	next int
}

// emit notes an event. It doesn't block, and isn't called with the pool's mutex held.
func (e *events) emit(kind EventKind, worker WorkerID, reason errdefs.Reason, detail string) {
	ev := Event{Kind: kind, At: time.Now(), Pool: e.pool, Worker: worker, Reason: reason, Detail: oneLine(detail)}
	e.keep(ev)
	if e.tell != nil {
		e.tell(ev)
	}
}

// oneLine is what others may read and send of a text that a worker may have written:
// UTF-8 without control characters, and not too long.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxEventDetail)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

func (e *events) keep(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.kept) < keptEvents {
		e.kept = append(e.kept, ev)
		return
	}
	e.kept[e.next] = ev
	e.next = (e.next + 1) % keptEvents
}

// latest gives what is remembered, the oldest first.
func (e *events) latest() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Concat(e.kept[e.next:], e.kept[:e.next])
}
