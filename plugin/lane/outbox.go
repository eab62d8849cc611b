package lane

import (
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// outbox is the sending end of one direction of a call: messages that wait for
// credit and for their turn. It's memory only and knows no lane.
type outbox struct {
	window int64 // the most that credit can be
	credit int64 // what may still be sent
	items  []item
	space  [1]item // items begins here: most calls have one at a time
	queued int64   // the cost of items
}

// item is one message, or a half-close.
type item struct {
	kind    kind
	payload []byte
	off     int               // what of payload has been sent
	begun   bool              // a frame of it has been sent
	err     *snakepitv1.Error // of an end
}

func (b *outbox) init(window int) {
	b.window, b.credit = int64(window), int64(window)
	b.items = b.space[:0]
}

func (b *outbox) push(it item) {
	b.items = append(b.items, it)
	b.queued += it.kind.cost(it.payload)
}

// control says whether the next message takes precedence over other calls' data.
func (b *outbox) control() bool {
	if len(b.items) == 0 {
		return false
	}
	it := &b.items[0]
	return it.kind == kindHalfClose || it.kind == kindEnd && len(it.payload) == 0
}

// sendable says whether the next message's next frame may be sent, as far as the
// call's own credit goes.
func (b *outbox) sendable(maxFrame int) bool {
	if len(b.items) == 0 {
		return false
	}
	it := &b.items[0]
	if it.kind != kindData && len(it.payload) <= maxFrame {
		return true
	}
	return b.credit > 0
}

// next cuts the next frame off: its payload, whether more follows of its message,
// and whether it's the first one.
func (b *outbox) next(maxFrame int) (it item, part []byte, more, first bool) {
	head := &b.items[0]
	part = head.payload[head.off:]
	more = len(part) > maxFrame
	if more {
		part = part[:maxFrame]
	}
	first, it = !head.begun, *head
	head.begun = true
	head.off += len(part)
	b.spend(it, part)
	if !more {
		b.pop()
	}
	return it, part, more, first
}

func (b *outbox) spend(it item, part []byte) {
	b.credit -= it.kind.cost(part)
}

func (b *outbox) pop() {
	b.queued -= b.items[0].kind.cost(b.items[0].payload)
	b.items[0] = item{}
	b.items = b.items[1:]
	if len(b.items) == 0 {
		b.items = b.space[:0]
	}
}

// clear drops everything, half-sent messages too.
func (b *outbox) clear() {
	clear(b.items)
	b.items, b.queued = b.space[:0], 0
}

// refill adds credit from the peer.
func (b *outbox) refill(n uint64) error {
	if n > uint64(b.window-b.credit) { //nolint:gosec // credit is at most window
		return errdefs.New(errdefs.Protocol, "a peer that gives more credit than its window")
	}
	b.credit += int64(n) //nolint:gosec // at most window
	return nil
}
