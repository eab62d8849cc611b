package lane

import (
	"errors"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// frameCost is what a queued message takes in memory beside its bytes.
const frameCost = 64

// kind is the kind of a message.
type kind uint8

const (
	kindCall kind = iota + 1
	kindData
	kindHalfClose
	kindEnd
)

// cost is what a frame takes from both balances.
func (k kind) cost(payload []byte) int64 {
	if k == kindHalfClose || k == kindEnd && len(payload) == 0 {
		return 0
	}
	return frameCost + int64(len(payload))
}

var errTooLarge = errors.New("message too large")

// inbox is the receiving end of one direction of a call: it puts messages
// together, queues chunks until they are taken, and keeps the credit's books. It's
// memory only and knows no lane.
type inbox struct {
	window  int64 // what balance began with
	balance int64 // what the peer may still send, by this side's books
	owed    int64 // given back with the next credit frame
	queue   []chunk
	head    int // of queue

	part     []byte // the message that is being put together
	partKind kind   // zero: none is
	held     int64  // the cost of part's frames that isn't owed yet
	deaf     bool   // nobody wants what comes any more
}

type chunk struct {
	payload []byte
	cost    int64
}

// add takes one frame. whole is set when a message is complete: msg is it. A
// chunk isn't queued by add. Errors: errTooLarge, or a broken rule.
func (b *inbox) add(k kind, payload []byte, more bool, maxFrame, maxPayload int) (msg []byte, whole bool, err error) {
	cost := k.cost(payload)
	b.balance -= cost
	result := k == kindEnd && !more && (b.partKind == 0 || len(payload) == 0) // never held back, so not limited here
	if !result && b.balance < -int64(maxFrame)-frameCost {
		return nil, false, errdefs.New(errdefs.Protocol, "a peer that sends without credit")
	}
	if b.deaf {
		b.owed += cost
		return nil, !more, nil
	}
	if b.partKind == kindData && result {
		b.abandon()
	}
	if b.partKind != 0 && b.partKind != k {
		return nil, false, errdefs.New(errdefs.Protocol, "a message inside of another one of its call")
	}
	if len(b.part)+len(payload) > maxPayload {
		return nil, false, errTooLarge
	}
	if more {
		b.grow(k, payload, cost, maxPayload)
		return nil, false, nil
	}
	return b.complete(payload, cost), true, nil
}

// grow adds to the message in the making. Its bytes are copied, so that many tiny
// frames take no more than twice their bytes.
func (b *inbox) grow(k kind, payload []byte, cost int64, maxPayload int) {
	b.partKind = k
	if b.waiting() == 0 {
		b.owed += cost
	} else {
		b.held += cost
	}
	if need := len(b.part) + len(payload); need > cap(b.part) {
		grown := make([]byte, len(b.part), max(need, min(2*cap(b.part), maxPayload)))
		copy(grown, b.part)
		b.part = grown
	}
	b.part = append(b.part, payload...)
}

// complete ends the message in the making. Its last frame's cost joins held, for
// queue or taken to settle.
func (b *inbox) complete(payload []byte, cost int64) []byte {
	b.held += cost
	if b.partKind == 0 {
		return payload
	}
	msg := append(b.part, payload...)
	b.part, b.partKind = nil, 0
	return msg
}

// push queues the message that add has just completed.
func (b *inbox) push(msg []byte) {
	if b.head > 0 && b.head == len(b.queue) {
		b.queue, b.head = b.queue[:0], 0
	}
	b.queue = append(b.queue, chunk{msg, b.held})
	b.held = 0
}

// abandon drops the message in the making: its sender has given it up.
func (b *inbox) abandon() {
	b.taken()
	b.part, b.partKind = nil, 0
}

// taken settles the message that add has just completed and that isn't queued.
func (b *inbox) taken() {
	b.owed += b.held
	b.held = 0
}

func (b *inbox) waiting() int { return len(b.queue) - b.head }

// pop takes the oldest chunk.
func (b *inbox) pop() ([]byte, bool) {
	if b.waiting() == 0 {
		return nil, false
	}
	c := b.queue[b.head]
	b.queue[b.head] = chunk{}
	b.head++
	if b.head >= len(b.queue)/2 { // keeps the queue within twice of what waits
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	b.owed += c.cost
	if b.waiting() == 0 && b.partKind != 0 {
		b.taken()
	}
	return c.payload, true
}

// close drops everything and whatever still comes.
func (b *inbox) close() {
	for _, c := range b.queue[b.head:] {
		b.owed += c.cost
	}
	b.taken()
	b.queue, b.head, b.part, b.partKind, b.deaf = nil, 0, nil, 0, true
}

// credit is what to give back now: nothing, or at least half the window.
func (b *inbox) credit() int64 {
	if b.owed < max(b.window/2, 1) {
		return 0
	}
	n := b.owed
	b.owed = 0
	b.balance += n
	return n
}
