package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// guest is a connection that may become a host's.
type guest struct {
	conn  *net.UnixConn
	heard atomic.Bool // or sent away: whoever sets it decides
}

// greet hears who has connected, and lets the loop decide about it. It reports
// whether anybody said hello.
func (s *shim) greet(g *guest) bool {
	h, p, err := hear(g.conn)
	sentAway := g.heard.Swap(true)
	switch {
	case err != nil && !sentAway:
		_ = complain(fmt.Errorf("a connection: %w", err))
		_ = g.conn.Close() // nothing was written
		return false
	case err != nil:
		return false
	case sentAway:
		p.close()
		return false
	}
	l := newLink(g.conn, p)
	s.goes.Go(l.write)
	s.posts <- func() { s.attach(l, h) }
	return true
}

// hear reads the first frame of a peer of our own user.
func hear(conn *net.UnixConn) (hello, *peer, error) {
	p, err := peerOf(conn)
	if err != nil {
		return hello{}, nil, err
	}
	h, err := hearHello(conn)
	if err != nil {
		p.close()
		return hello{}, nil, err
	}
	return h, p, nil
}

func hearHello(conn *net.UnixConn) (hello, error) {
	if err := conn.SetReadDeadline(time.Now().Add(helloTime)); err != nil {
		return hello{}, err
	}
	h, err := readHello(conn)
	if err != nil {
		return hello{}, err
	}
	return h, conn.SetReadDeadline(time.Time{})
}

// attach makes a peer the host, unless there is one.
func (s *shim) attach(l *link, h hello) {
	refuse := func(w welcome) {
		w.Version, w.PID = Version, os.Getpid()
		l.sendWelcome(w, nil)
		l.close()
	}
	switch {
	case h.Version < 1:
		refuse(welcome{Error: fmt.Sprintf("protocol version %d isn't spoken here", h.Version)})
	case s.instance != "" && h.Instance != s.instance:
		refuse(welcome{Error: "the workers are those of another instance"})
	case s.taken(h):
		refuse(s.refusal())
	case s.over:
		refuse(welcome{Error: "the workers are being ended"})
	default:
		if err := s.adopt(l, h); err != nil {
			refuse(welcome{Error: err.Error()})
		}
	}
}

// adopt takes a new host. It gets marks of its own: whoever set the old ones may
// still be about to take them back. They count once more before they go: a new host
// without a lease mustn't let go on what the last one began under its own.
func (s *shim) adopt(l *link, h hello) error {
	page, file, err := newPage()
	if err != nil {
		return err
	}
	s.dropHost()
	s.forgetFormer()
	s.disarmGrace()
	s.instance, s.settings, s.heir = h.Instance, h.Settings, h.Heir
	if over(h.Deadline) {
		s.setLease(h.Deadline)
	}
	s.turnPage(page)
	if s.settings.Cgroups && s.cgroups == nil {
		s.cgroups = openCgroups(os.Args[1])
	}
	s.setLease(h.Deadline) // before the welcome: a host that has it may send calls at once
	s.host = l
	s.welcome(l, newHandle(file))
	s.audience.Store(l)
	s.goes.Go(func() { s.listen(l) })
	s.goes.Go(func() {
		if l.peer.awaitEnd() { // a process that it forked may keep the connection open
			s.posts <- func() { s.hostGone(l) }
		}
	})
	return nil
}

// turnPage begins a new page of marks. Nobody enters by the old one any more.
func (s *shim) turnPage(page *page) {
	for _, c := range s.workers {
		c.mark.close()
		c.mark = page.at(c.slot)
		c.mark.close()
	}
	s.page = page
}

// welcome tells a new host what there is.
func (s *shim) welcome(l *link, page *handle) {
	w := welcome{
		Version: Version, PID: os.Getpid(), Cgroups: s.cgroups != nil,
		Guard: s.guard.PID, GuardStart: s.guard.Start, Heir: s.heir,
	}
	fds := []*handle{page}
	for _, c := range s.workers {
		if c.exit == nil {
			w.Workers = append(w.Workers, c.survivor())
			fds = append(fds, c.pidfd)
		}
	}
	l.sendWelcome(w, fds)
	page.drop() // the link keeps it until it's sent
}

// survivor is the worker as another host is told of it.
func (c *child) survivor() survivor {
	return survivor{Worker: c.id, Token: c.token, Slot: c.slot, Frozen: c.frozen, Stopped: c.stopped, Note: c.note}
}

// maxRights is how many descriptors of workers go in one message; the kernel takes 253.
const maxRights = 250

// sendWelcome spreads the descriptors over frames of the same kind, as many as
// one message may carry. A refusal has none.
func (l *link) sendWelcome(w welcome, fds []*handle) {
	workers := w.Workers
	for first := true; first || len(workers) > 0; first = false {
		n := min(len(workers), maxRights)
		w.Workers = workers[:n]
		workers = workers[n:]
		w.More = len(workers) > 0
		take := n
		if first {
			take++ // the page
		}
		take = min(take, len(fds))
		l.send(kindWelcome, w, fds[:take]...)
		fds = fds[take:]
	}
}

// hostLives reports whether the host that we have is still there. Its end may not
// have come to us yet.
func (s *shim) hostLives() bool { return !s.host.peer.gone() && !hungUp(s.host.conn) }

// listen reads what a host asks for, until it's gone.
func (s *shim) listen(l *link) {
	for {
		k, body, err := readFrame(l.conn)
		if err != nil {
			s.posts <- func() { s.hostGone(l) }
			return
		}
		if k != kindRequest {
			continue // of a later version
		}
		r, err := parseRequest(body)
		if err != nil {
			_ = complain(fmt.Errorf("a request: %w", err))
			continue
		}
		s.posts <- func() { s.serve(l, r) }
	}
}

// serve does what the host asks for.
func (s *shim) serve(l *link, r request) {
	if l != s.host {
		return // it has been replaced
	}
	answer := reply{ID: r.ID}
	var fds []*handle
	switch c := s.workers[r.Worker]; r.Op {
	case opSpawn:
		if r.Spawn != nil && r.Spawn.From != "" {
			s.bear(l, r)
			return // it's answered when the worker is there
		}
		c, err := s.spawn(r.Spawn)
		if err != nil {
			answer.Error, answer.Errno = err.Error(), errnoOf(err)
			break
		}
		answer.Slot, answer.Limits, fds = c.slot, c.limits, []*handle{c.pidfd}
	case opSignal:
		if c != nil {
			c.signal(unix.Signal(r.Signal))
		}
	case opKill:
		if c != nil {
			c.kill()
		}
	case opNote:
		if c != nil && len(r.Note) <= maxNote {
			c.note = r.Note
		}
	case opLease:
		s.setLease(r.Deadline)
	case opDetach:
		s.settings.Grace = r.Grace
	case opEnd:
		s.end()
	default:
		answer.Error = "unknown operation " + strconv.Quote(r.Op)
	}
	if r.ID != 0 {
		l.send(kindReply, answer, fds...)
	}
}

func errnoOf(err error) int {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return int(errno)
	}
	return 0
}

// hostGone gives another host the grace to come.
func (s *shim) hostGone(l *link) {
	if l != s.host {
		return
	}
	s.dropHost()
	s.armGrace(s.settings.Grace)
}

func (s *shim) dropHost() {
	if s.host == nil {
		return
	}
	s.audience.Store(nil)
	s.forgetFormer()
	s.former = s.host.peer
	s.host.hangUp()
	s.host = nil
}

// send tells the host what happened, if there is one.
func (s *shim) send(e *event) {
	if s.host != nil {
		s.host.send(kindEvent, e)
	}
}

// sendState tells the host how it stands with a worker, if there is one.
func (s *shim) sendState(of any, e *event) {
	if s.host != nil {
		s.host.sendState(of, e)
	}
}

// readHello reads the first frame, which needs no more than maxHello.
func readHello(conn *net.UnixConn) (hello, error) {
	k, body, err := readFrameOf(conn, maxHello)
	if err != nil {
		return hello{}, err
	}
	return parseHello(k, body)
}

func parseHello(k kind, body []byte) (hello, error) {
	if k != kindHello {
		return hello{}, fmt.Errorf("a first frame of the kind %q", byte(k))
	}
	var h hello
	err := json.Unmarshal(body, &h)
	return h, err
}

func parseRequest(body []byte) (request, error) {
	var r request
	err := json.Unmarshal(body, &r)
	return r, err
}
