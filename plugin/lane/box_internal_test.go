package lane

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// direction is one direction of a call without a lane: what is sent waits in
// flight, and credit comes back when the test says so. The model beside it is a
// plain list of messages.
type direction struct {
	out      outbox
	in       inbox
	maxFrame int
	flight   []inFlight
	credits  []int64 // on their way back
	sent     [][]byte
	taken    int
	next     byte
}

type inFlight struct {
	payload []byte
	more    bool
}

func newDirection(window, maxFrame int) *direction {
	d := &direction{maxFrame: maxFrame}
	d.out.init(window)
	d.in = inbox{window: int64(window), balance: int64(window)}
	return d
}

func (d *direction) push(n int) {
	d.next++
	msg := bytes.Repeat([]byte{d.next}, n)
	d.sent = append(d.sent, msg)
	d.out.push(item{kind: kindData, payload: msg})
}

func (d *direction) transmit() bool {
	if !d.out.sendable(d.maxFrame) {
		return false
	}
	_, part, more, _ := d.out.next(d.maxFrame)
	d.flight = append(d.flight, inFlight{part, more})
	return true
}

func (d *direction) arrive(t *rapid.T) bool {
	if len(d.flight) == 0 {
		return false
	}
	f := d.flight[0]
	d.flight = d.flight[1:]
	msg, whole, err := d.in.add(kindData, f.payload, f.more, d.maxFrame, 1<<30)
	if err != nil {
		t.Fatalf("an obedient sender breaks a rule: %v", err)
	}
	if whole && !d.in.deaf {
		d.in.push(msg)
	}
	d.account()
	return true
}

func (d *direction) account() {
	if n := d.in.credit(); n > 0 {
		d.credits = append(d.credits, n)
	}
}

func (d *direction) take(t *rapid.T) bool {
	msg, ok := d.in.pop()
	if !ok {
		return false
	}
	if !bytes.Equal(msg, d.sent[d.taken]) {
		t.Fatalf("message %d is wrong", d.taken)
	}
	d.taken++
	d.account()
	return true
}

func (d *direction) refill(t *rapid.T) bool {
	if len(d.credits) == 0 {
		return false
	}
	if err := d.out.refill(uint64(d.credits[0])); err != nil {
		t.Fatal(err)
	}
	d.credits = d.credits[1:]
	return true
}

// check is what holds at any moment.
func (d *direction) check(t *rapid.T) {
	onTheWay := int64(0)
	for _, f := range d.flight {
		onTheWay += kindData.cost(f.payload)
	}
	back := int64(0)
	for _, n := range d.credits {
		back += n
	}
	if d.out.credit+onTheWay+back != d.in.balance {
		t.Fatalf("the books differ: the sender has %d, %d are on their way and %d coming back, and the receiver counts %d",
			d.out.credit, onTheWay, back, d.in.balance)
	}
	waits, largest := int64(0), int64(0)
	for _, c := range d.in.queue[d.in.head:] {
		waits += c.cost
		largest = max(largest, int64(len(c.payload)))
	}
	if most := d.in.window + int64(d.maxFrame) + frameCost + largest; waits > most {
		t.Fatalf("%d bytes wait to be taken, where %d are the most", waits, most)
	}
}

// settle lets everything happen that can, and sees that everything has.
func (d *direction) settle(t *rapid.T) {
	for d.refill(t) || d.transmit() || d.arrive(t) || d.take(t) {
		d.check(t)
	}
	if d.taken != len(d.sent) {
		t.Fatalf("stuck after %d of %d messages, with a credit of %d", d.taken, len(d.sent), d.out.credit)
	}
	if d.out.queued != 0 || d.in.owed >= max(d.in.window/2, 1) {
		t.Fatalf("at the end %d bytes are queued and %d owed", d.out.queued, d.in.owed)
	}
}

func TestCreditIsNeitherLostNorInvented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDirection(rapid.IntRange(1, 5000).Draw(t, "window"), rapid.IntRange(1, 1000).Draw(t, "maxFrame"))
		t.Repeat(map[string]func(*rapid.T){
			"":         d.check,
			"push":     func(t *rapid.T) { d.push(rapid.IntRange(0, 4000).Draw(t, "size")) },
			"transmit": func(*rapid.T) { d.transmit() },
			"arrive":   func(t *rapid.T) { d.arrive(t) },
			"take":     func(t *rapid.T) { d.take(t) },
			"refill":   func(t *rapid.T) { d.refill(t) },
		})
		d.settle(t)
	})
}

func TestClosedInboxGivesEverythingBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDirection(2000, 500)
		for range rapid.IntRange(1, 20).Draw(t, "messages") {
			d.push(rapid.IntRange(0, 1500).Draw(t, "size"))
		}
		for rapid.Bool().Draw(t, "on") && (d.transmit() || d.arrive(t)) {
		}
		d.in.close()
		d.account()
		for d.refill(t) || d.transmit() || d.arrive(t) {
		}
		if len(d.out.items) != 0 {
			t.Fatalf("%d messages are stuck with a credit of %d", len(d.out.items), d.out.credit)
		}
		if d.in.waiting() != 0 || d.in.part != nil {
			t.Fatal("a closed inbox holds messages")
		}
	})
}

func TestManyTinyFramesTakeLittleMemory(t *testing.T) {
	b := inbox{window: 1 << 20, balance: 1 << 20}
	for range 100_000 {
		if _, _, err := b.add(kindData, []byte{1}, true, defaultFrame, 1<<20); err != nil {
			t.Fatal(err)
		}
		b.credit()
	}
	for range 100_000 { // frames of nothing
		if _, _, err := b.add(kindData, nil, true, defaultFrame, 1<<20); err != nil {
			t.Fatal(err)
		}
		b.credit()
	}
	if len(b.part) != 100_000 || cap(b.part) > 200_000 {
		t.Errorf("%d bytes take %d", len(b.part), cap(b.part))
	}
}

func TestMessageAboveMaxPayloadIsRefusedBeforeItIsHeld(t *testing.T) {
	b := inbox{window: 1000, balance: 1000}
	if _, _, err := b.add(kindCall, make([]byte, 100), true, 200, 150); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.add(kindCall, make([]byte, 51), true, 200, 150); err == nil {
		t.Error("151 bytes were taken, where 150 are the most")
	}
}

func TestRingKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring
		var model []*stream
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if r.n != len(model) {
					t.Fatalf("%d in the ring, %d in the model", r.n, len(model))
				}
			},
			"push": func(*rapid.T) {
				s := &stream{}
				r.push(s)
				model = append(model, s)
			},
			"pop": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				if r.pop() != model[0] {
					t.Fatal("out of order")
				}
				model = model[1:]
			},
		})
	})
}
