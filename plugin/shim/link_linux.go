package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// maxBacklog is how much of the workers' output waits for a slow host; beyond
// it, output is dropped (the files have it).
const maxBacklog = 1 << 20

// link is the connection to one host. One goroutine reads it and one writes it;
// whoever sends only queues.
type link struct {
	conn *net.UnixConn
	peer proc.ID // the host; zero where it can't be seen from here
	wake chan struct{}

	mu      sync.Mutex // guards the fields below
	queue   []parcel
	backlog int // bytes of output in the queue
	closed  bool
}

// parcel is a frame with the descriptors that go along. The link doesn't own them.
type parcel struct {
	frame  []byte
	fds    []int
	output bool
}

func newLink(conn *net.UnixConn) *link {
	return &link{conn: conn, wake: make(chan struct{}, 1)}
}

func (l *link) push(p parcel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || p.output && l.backlog+len(p.frame) > maxBacklog {
		return
	}
	if p.output {
		l.backlog += len(p.frame)
	}
	l.queue = append(l.queue, p)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) send(k kind, v any, fds ...int) {
	frame, err := newFrame(k, v)
	if err != nil {
		_ = complain(err)
		return
	}
	l.push(parcel{frame: frame, fds: fds})
}

func (l *link) sendOutput(frame []byte) { l.push(parcel{frame: frame, output: true}) }

// write is the writing goroutine. It ends with the connection, or once all is
// written after close.
func (l *link) write() {
	defer func() { _ = l.conn.Close() }() // what could be written is
	for {
		batch, closed := l.take()
		for _, p := range batch {
			if l.writeParcel(p) != nil {
				return
			}
		}
		if closed {
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
	return batch, l.closed
}

func (l *link) writeParcel(p parcel) error {
	var rights []byte
	if len(p.fds) > 0 {
		rights = unix.UnixRights(p.fds...)
	}
	n, _, err := l.conn.WriteMsgUnix(p.frame, rights, nil)
	if err == nil && n < len(p.frame) {
		_, err = l.conn.Write(p.frame[n:])
	}
	return err
}

// close ends the link once what is queued is written, for at most a second.
func (l *link) close() {
	_ = l.conn.SetWriteDeadline(time.Now().Add(time.Second)) // it may be closed
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// greet hears who has connected, and lets the loop decide about it.
func (s *shim) greet(conn *net.UnixConn) {
	h, peer, err := hear(conn)
	if err != nil {
		_ = complain(fmt.Errorf("a connection: %w", err))
		_ = conn.Close() // nothing was written
		return
	}
	l := newLink(conn)
	l.peer = peer
	go l.write()
	s.posts <- func() { s.attach(l, h) }
}

// hear reads the first frame of a peer of our own user.
func hear(conn *net.UnixConn) (hello, proc.ID, error) {
	var h hello
	peer, err := peerOf(conn)
	if err != nil {
		return h, peer, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(helloTime)); err != nil {
		return h, peer, err
	}
	k, body, err := readFrame(conn)
	if err != nil {
		return h, peer, err
	}
	if k != kindHello {
		return h, peer, fmt.Errorf("a first frame %q", k)
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return h, peer, err
	}
	return h, peer, conn.SetReadDeadline(time.Time{})
}

// peerOf names the process at the other end. One outside of our PID namespace
// has no name here.
func peerOf(conn *net.UnixConn) (proc.ID, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return proc.ID{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return proc.ID{}, err
	}
	if credErr != nil {
		return proc.ID{}, credErr
	}
	if int(cred.Uid) != os.Getuid() && cred.Uid != 0 {
		return proc.ID{}, fmt.Errorf("user %d isn't ours", cred.Uid)
	}
	if cred.Pid == 0 {
		return proc.ID{}, nil
	}
	return proc.Identify(int(cred.Pid))
}

// attach makes a peer the host, unless there is one.
func (s *shim) attach(l *link, h hello) {
	refuse := func(w welcome) {
		w.Version, w.PID = Version, os.Getpid()
		l.send(kindWelcome, w)
		l.close()
	}
	switch {
	case h.Version < 1:
		refuse(welcome{Error: fmt.Sprintf("protocol version %d isn't spoken here", h.Version)})
		return
	case s.instance != "" && h.Instance != s.instance:
		refuse(welcome{Error: "the workers are those of another instance"})
		return
	case s.host != nil && s.hostLives():
		refuse(welcome{Error: "another host has the workers", Attached: s.host.peer.PID})
		return
	case s.over:
		refuse(welcome{Error: "the workers are being ended"})
		return
	}
	s.adopt(l, h)
}

func (s *shim) adopt(l *link, h hello) {
	s.dropHost()
	s.disarmGrace()
	s.instance, s.settings = h.Instance, h.Settings
	s.host = l
	w := welcome{Version: Version, PID: os.Getpid(), Cgroups: s.cgroups != nil}
	fds := []int{int(s.pageFile.Fd())}
	for _, c := range s.workers {
		if c.exit != nil {
			continue
		}
		w.Workers = append(w.Workers, survivor{Worker: c.id, Token: c.token, Slot: c.slot, Frozen: c.frozen, Note: c.note})
		fds = append(fds, c.pidfd)
	}
	l.sendWelcome(w, fds)
	s.audience.Store(l)
	for _, c := range s.workers {
		c.mark.forget() // whoever set it is gone
	}
	s.setLease(h.Deadline)
	go s.listen(l)
}

// maxRights is how many descriptors the kernel takes in one message.
const maxRights = 250

// sendWelcome spreads the descriptors over frames of the same kind, as many as
// one message may carry.
func (l *link) sendWelcome(w welcome, fds []int) {
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
		l.send(kindWelcome, w, fds[:take]...)
		fds = fds[take:]
	}
}

// hostLives reports whether the host that we have is still there. Its connection
// may be the last thing that's left of it.
func (s *shim) hostLives() bool {
	if s.host.peer.PID == 0 {
		return true // it can't be seen from here; its connection hasn't ended
	}
	now, err := proc.Read(s.host.peer.PID)
	return err == nil && now.ID == s.host.peer && !now.Dead()
}

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
		var r request
		if err := json.Unmarshal(body, &r); err != nil {
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
	var fds []int
	switch c := s.workers[r.Worker]; r.Op {
	case opSpawn:
		c, err := s.spawn(r.Spawn)
		if err != nil {
			answer.Error, answer.Errno = err.Error(), errnoOf(err)
			break
		}
		answer.Slot, fds = c.slot, []int{c.pidfd}
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
	s.host.close()
	s.host = nil
}

// send tells the host what happened, if there is one.
func (s *shim) send(e *event) {
	if s.host != nil {
		s.host.send(kindEvent, e)
	}
}
