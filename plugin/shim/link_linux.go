package shim

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxBacklog is how much of the workers' output waits for a slow host; beyond
	// it, output is dropped (the files have it).
	maxBacklog = 1 << 20
	// parcelCost is what a parcel counts beside its bytes.
	parcelCost = 256
	// maxQueue is how many parcels wait. Output is bounded above, states replace each
	// other, and a worker ends once: only a host that asks and never reads comes near it.
	maxQueue = 4 * Slots
	// flushTime is how long a link that is closed may take to write what it has.
	flushTime = time.Second
)

// link is the connection to one host. One goroutine reads it and one writes it;
// whoever sends only queues.
type link struct {
	conn    *net.UnixConn
	peer    *peer
	wake    chan struct{}
	written chan struct{} // closed when nothing is written any more

	mu      sync.Mutex // guards the fields below
	queue   []parcel
	latest  map[any]int // where in the queue the parcel of a state is
	backlog int         // of output in the queue
	closed  bool
}

// parcel is a frame with the descriptors that go along.
type parcel struct {
	frame  []byte
	fds    []*handle
	output bool
	state  any // of what it tells the state; nil: of nothing
}

func newLink(conn *net.UnixConn, p *peer) *link {
	return &link{
		conn: conn, peer: p, wake: make(chan struct{}, 1), written: make(chan struct{}),
		latest: map[any]int{},
	}
}

func (l *link) push(p parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cost := len(p.frame) + parcelCost
	if l.closed || p.output && l.backlog+cost > maxBacklog {
		return
	}
	if at, ok := l.latest[p.state]; ok && p.state != nil {
		l.queue[at] = p // the host hasn't heard of the last one
		return
	}
	if len(l.queue) == maxQueue {
		_ = l.conn.SetDeadline(time.Now()) // reading and writing fail: that host is gone for us
		return
	}
	for _, h := range p.fds {
		h.keep()
	}
	if p.output {
		l.backlog += cost
	}
	if p.state != nil {
		l.latest[p.state] = len(l.queue)
	}
	l.queue = append(l.queue, p)
	l.stir()
}

// stir wakes the writing goroutine.
func (l *link) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) send(k kind, v any, fds ...*handle) {
	frame, err := newFrame(k, v)
	if err != nil {
		_ = complain(err)
		return
	}
	l.push(parcel{frame: frame, fds: fds})
}

// sendState sends what a later frame about the same replaces, if it still waits.
func (l *link) sendState(of any, e *event) {
	if frame, err := newFrame(kindEvent, e); err == nil { // it has nothing that can't be encoded
		l.push(parcel{frame: frame, state: of})
	}
}

func (l *link) sendOutput(frame []byte) { l.push(parcel{frame: frame, output: true}) }

// write is the writing goroutine. It ends with the connection, or once all is
// written after close.
func (l *link) write() {
	defer close(l.written)
	defer l.discard()
	for {
		batch, closed := l.take()
		if !l.writeAll(batch) || closed {
			return
		}
		if len(batch) == 0 {
			<-l.wake
		}
	}
}

func (l *link) take() ([]parcel, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	l.queue, l.backlog = nil, 0
	clear(l.latest)
	return batch, l.closed
}

// writeAll writes a batch, and lets go of its descriptors in any case.
func (l *link) writeAll(batch []parcel) bool {
	ok := true
	for _, p := range batch {
		ok = ok && l.writeParcel(p) == nil
		for _, h := range p.fds {
			h.drop()
		}
	}
	return ok
}

func (l *link) writeParcel(p parcel) error {
	var rights []byte
	if len(p.fds) > 0 {
		fds := make([]int, len(p.fds))
		for i, h := range p.fds {
			fds[i] = h.fd
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := l.conn.WriteMsgUnix(p.frame, rights, nil)
	if err == nil && n < len(p.frame) {
		_, err = l.conn.Write(p.frame[n:])
	}
	return err
}

// discard ends the connection, and drops what is queued and what will be.
func (l *link) discard() {
	_ = l.conn.Close() // what could be written is
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	batch, _ := l.take()
	for _, p := range batch {
		for _, h := range p.fds {
			h.drop()
		}
	}
}

// close ends the link, see hangUp, and lets go of the process at its other end.
func (l *link) close() {
	l.peer.close()
	l.hangUp()
}

// hangUp ends the link once what is queued is written, for at most flushTime.
func (l *link) hangUp() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(flushTime)) // it may be closed
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.stir()
}
