package shim

import (
	"errors"
	"net"
	"sync"
)

// maxOut is how many requests wait for a shim that doesn't read.
const maxOut = 1 << 16

// outbox is what waits to be written to the shim. Nobody who puts something there waits.
type outbox struct {
	wake chan struct{}

	mu     sync.Mutex // guards the fields below
	frames [][]byte
	lease  int  // where the newest lease is; -1: it's written
	ended  bool // nothing follows
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1), lease: -1} }

// put adds a frame. A lease replaces one that still waits.
func (o *outbox) put(frame []byte, lease bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ended:
		return ErrGone
	case lease && o.lease >= 0:
		o.frames[o.lease] = frame
		return nil
	case len(o.frames) == maxOut:
		return errors.New("the shim reads nothing")
	case lease:
		o.lease = len(o.frames)
	}
	o.frames = append(o.frames, frame)
	o.stir()
	return nil
}

// end lets nothing follow what is there.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.stir()
}

// stir wakes the writing goroutine.
func (o *outbox) stir() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *outbox) take() ([][]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	frames := o.frames
	o.frames, o.lease = nil, -1
	return frames, o.ended
}

// write writes what is put there until that is the last, an error, or done.
func (o *outbox) write(conn *net.UnixConn, done <-chan struct{}) {
	for {
		frames, last := o.take()
		for _, frame := range frames {
			if _, err := conn.Write(frame); err != nil {
				return // reading ends too
			}
		}
		switch {
		case last:
			_ = conn.CloseWrite() // the shim sees its host go, and closes its own side
			return
		case len(frames) > 0:
			continue
		}
		select {
		case <-o.wake:
		case <-done:
			return
		}
	}
}
