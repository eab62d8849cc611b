package worker

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"sync"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// attached is the host that the worker is attached to, and the lane to it. There is
// one of either.
type attached struct {
	mu          sync.Mutex // guards the fields below
	host        string
	incarnation uint64
	token       []byte // of the last Attach; nil: nobody has attached
	maxPayload  int
	lane        *openLane
}

// openLane is a lane that runs.
type openLane struct {
	lane  *lane.Lane
	close context.CancelFunc
}

// attach binds the worker to a host, with a new token for its lane. It reports
// whether it's another host than before, or the same one started anew: the one
// before has lost its lane then.
func (a *attached) attach(r *snakepitv1.AttachRequest) (token []byte, replaced bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	again := a.token != nil
	switch {
	case again && r.GetIncarnation() < a.incarnation:
		return nil, false, errdefs.New(errdefs.Fenced, "incarnation %d comes after %d", r.GetIncarnation(), a.incarnation)
	case again && r.GetIncarnation() == a.incarnation && r.GetHost() != a.host:
		return nil, false, errdefs.New(errdefs.Fenced, "incarnation %d is that of another host", a.incarnation)
	}
	replaced = again && r.GetIncarnation() > a.incarnation
	a.host, a.incarnation = r.GetHost(), r.GetIncarnation()
	a.maxPayload = int(min(r.GetSettings().GetMaxPayload(), 1<<40)) //nolint:gosec // bounded by the min
	a.token = make([]byte, 16)
	_, _ = rand.Read(a.token) // never fails
	if replaced && a.lane != nil {
		a.lane.close()
		a.lane = nil
	}
	return a.token, replaced, nil
}

// expects is the token that a lane has to show, and what it may send.
func (a *attached) expects() (token []byte, limits lane.Limits, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == nil {
		return nil, lane.Limits{}, errdefs.New(errdefs.Unauthenticated, "nobody has attached yet")
	}
	return a.token, lane.Limits{MaxPayload: a.maxPayload}, nil
}

// adopt makes a lane the one, and closes the one before. It fails when another host
// has attached since the lane was greeted.
func (a *attached) adopt(l *openLane, token []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if subtle.ConstantTimeCompare(token, a.token) != 1 {
		return errdefs.New(errdefs.Unauthenticated, "the lane's token isn't that of the last Attach")
	}
	if a.lane != nil {
		a.lane.close()
	}
	a.lane = l
	return nil
}

func (a *attached) forget(l *openLane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lane == l {
		a.lane = nil
	}
}

// current is the lane to the host; an error where there's none.
func (a *attached) current() (*lane.Lane, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lane == nil {
		return nil, errdefs.New(errdefs.HostUnreachable, "no host with tools is attached to this worker")
	}
	return a.lane.lane, nil
}
