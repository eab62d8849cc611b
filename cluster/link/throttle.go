package link

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	missesAllowed = 5               // wrong tokens in a row, from one place
	missForgotten = 5 * time.Second // for each of them
	placesKnown   = 1024            // from where there were any
)

// throttle keeps strangers who guess from asking as often as they like. A secret
// can't be guessed; asking the registry costs something all the same.
type throttle struct {
	mu     sync.Mutex         // guards the next
	missed map[string]*misses // by place; at most placesKnown
}

// misses is a bucket that leaks.
type misses struct {
	level float64
	at    time.Time
}

func newThrottle() *throttle { return &throttle{missed: map[string]*misses{}} }

// place is from where somebody comes: an address, or, of version 6, a network, which
// is what one customer has.
func place(addr net.Addr) string {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return ""
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return network.String()
}

// check refuses a place from which too many wrong tokens came.
func (t *throttle) check(place string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	over := t.known(place).left() - missesAllowed + 1
	if over <= 0 {
		return nil
	}
	e := errdefs.New(errdefs.RateLimited, "too many wrong tokens came from %s", place)
	e.RetryAfter = time.Duration(over * float64(missForgotten))
	return e
}

// miss notes a wrong token.
func (t *throttle) miss(place string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
	m := t.known(place)
	if m == nil {
		m = &misses{}
		if len(t.missed) >= placesKnown {
			place = ""
		}
		t.missed[place] = m
	}
	m.level, m.at = m.left()+1, time.Now()
}

// known is what came from a place; nil: nothing. Where too many are known, the rest
// share one.
func (t *throttle) known(place string) *misses {
	if m := t.missed[place]; m != nil || len(t.missed) < placesKnown {
		return m
	}
	return t.missed[""]
}

// forget makes room, if there's too little.
func (t *throttle) forget() {
	if len(t.missed) < placesKnown {
		return
	}
	for p, m := range t.missed {
		if m.left() == 0 {
			delete(t.missed, p)
		}
	}
}

// left is what hasn't leaked yet.
func (m *misses) left() float64 {
	if m == nil {
		return 0
	}
	return max(0, m.level-float64(time.Since(m.at))/float64(missForgotten))
}
