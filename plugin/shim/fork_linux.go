package shim

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// forkTime is how long a forkserver may take for one worker, since the one before, of
	// several that were asked for at once. A slower one hangs, or somebody has stopped it; its
	// worker, should it come, finds the gate closed and ends.
	forkTime = 5 * time.Second
	// orderTime is how long a new worker may take to read what it's to be.
	orderTime = 5 * time.Second
)

// What a worker says through its gate: that it's there, and whether in its cgroup. Else
// it's the forkserver, which says why it couldn't fork.
const (
	saysHere     = 'h'
	saysInCgroup = 'c'
)

// door is our end of a forkserver's socket. A nil one does nothing.
type door struct {
	fd   int
	last atomic.Pointer[time.Time] // when a worker came of it; nil: none has
}

// openDoor makes a forkserver's socket, and gives its end.
func (c *child) openDoor() (theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socketpair: %w", err)
	}
	c.door = &door{fd: fds[0]}
	return fds[1], nil
}

func (d *door) close() {
	if d != nil {
		_ = unix.Close(d.fd) // nothing is lost: whoever asked has a gate
	}
}

// ask asks for a worker with these descriptors, and never waits.
func (d *door) ask(fds []int) error {
	return unix.Sendmsg(d.fd, []byte{'f'}, unix.UnixRights(fds...), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// busy reports whether a worker came after an instant, and when the newest did.
func (d *door) busy(since time.Time) (last time.Time, ok bool) {
	p := d.last.Load()
	if p == nil || !p.After(since) {
		return since, false
	}
	return *p, true
}

// birth is a worker that a forkserver was asked for, until it's our child.
type birth struct {
	child *child
	spawn Spawn
	files *streams
	gate  *net.UnixConn // to the worker: nobody else keeps the other end
	link  *link         // of who asked
	id    uint64        // of the request
	door  *door         // of the forkserver

	inside bool // it's in its cgroup already
}

// bear asks a forkserver for a worker, and waits for nobody. It answers the request
// once the worker is there, or won't come.
func (s *shim) bear(l *link, r request) {
	b := &birth{spawn: r.Spawn.spawn(), link: l, id: r.ID}
	server := s.workers[b.spawn.From]
	if server == nil || server.exit != nil || server.door == nil {
		b.answer(reply{Error: fmt.Sprintf("there is no forkserver %q", b.spawn.From)})
		return
	}
	c, err := s.conceive(r.Spawn)
	if err != nil {
		b.answer(reply{Error: err.Error(), Errno: errnoOf(err)})
		return
	}
	b.child, b.door = c, server.door
	if err := b.begin(); err != nil {
		b.fail(fmt.Errorf("forkserver %s: %w", b.spawn.From, err))
		return
	}
	s.births[c.id] = b
	s.goes.Go(func() {
		pid, err := b.await(forkTime)
		s.posts <- func() { s.born(b, pid, err) }
	})
}

// begin hands the new worker's descriptors to the forkserver.
func (b *birth) begin() (err error) {
	if b.files, err = openStreams(); err != nil {
		return err
	}
	defer b.files.closeTheirs()
	theirs, err := b.openGate()
	if err != nil {
		return err
	}
	defer func() { _ = theirs.Close() }() // the worker's: ours would hide its end
	fds := []int{int(theirs.Fd())}
	for _, fd := range b.files.given() {
		fds = append(fds, int(fd))
	}
	if g := b.child.cgroup; g != nil {
		fds = append(fds, int(g.handle.Fd()))
	}
	return b.door.ask(fds)
}

// openGate makes the way to the worker. The kernel tells with what comes through it who sent it.
func (b *birth) openGate() (theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "gate"), os.NewFile(uintptr(fds[1]), "worker")
	defer func() { _ = ours.Close() }() // the connection has its own
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, errors.Join(err, theirs.Close())
	}
	b.gate = conn.(*net.UnixConn) //nolint:errcheck,forcetypeassert // it's the socketpair
	return theirs, nil
}

// await hears who the worker is. It does nothing on its own account before it has been
// told what it is.
func (b *birth) await(within time.Duration) (pid int, err error) {
	text, control := make([]byte, 512), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, m, err := b.hear(text, control, within)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, fmt.Errorf("it didn't fork within %s", within)
	case errors.Is(err, io.EOF):
		return 0, errors.New("it didn't fork, or its child ended at once")
	case err != nil:
		return 0, err
	case text[0] != saysHere && text[0] != saysInCgroup:
		return 0, errors.New(strings.ToValidUTF8(string(text[:n]), "?"))
	}
	b.inside = text[0] == saysInCgroup
	now := time.Now()
	b.door.last.Store(&now)
	return senderOf(control[:m])
}

// hear waits for the first word through the gate, for as long as the forkserver gets
// anything done: it makes one worker after the other.
func (b *birth) hear(text, control []byte, within time.Duration) (n, m int, err error) {
	for since, ok := time.Now(), true; ok; since, ok = b.door.busy(since) {
		if err = b.gate.SetReadDeadline(since.Add(within)); err != nil {
			return 0, 0, err
		}
		n, m, _, _, err = b.gate.ReadMsgUnix(text, control)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, m, err
		}
	}
	return 0, 0, err
}

func senderOf(control []byte) (pid int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return 0, errors.Join(errors.New("the kernel doesn't say who the worker is"), err)
	}
	cred, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
}

// born takes a worker that has come, and answers who asked for it.
func (s *shim) born(b *birth, pid int, err error) {
	c := b.child
	delete(s.births, c.id)
	if err == nil {
		err = b.takeHold(pid)
	}
	if err == nil && b.link != s.host {
		err = errors.New("whoever asked for the worker is gone")
	}
	if err != nil {
		b.fail(fmt.Errorf("forkserver %s: %w", b.spawn.From, err))
		return
	}
	if c.cgroup != nil && !b.inside && c.cgroup.take(c.pid) != nil { // our unreaped child
		c.cgroup.remove() // as one that is executed does without, then
		c.cgroup = nil
	}
	s.workers[c.id], s.byPID[c.pid] = c, c
	c.mark = s.page.at(c.slot)
	s.setMark(c)
	c.begin(b.files, b.spawn)
	b.answer(reply{Slot: c.slot, Limits: c.limits}, c.pidfd)
	s.goes.Go(b.tell)
}

// takeHold makes sure that the process is our child, alive, and leader of its own
// session, as one is that we execute. The gate is looked at after the pidfd was opened: the
// worker alone holds the other end, so until then its pid was its own.
func (b *birth) takeHold(pid int) error {
	if b.child.shim.byPID[pid] != nil {
		return fmt.Errorf("process %d is another worker", pid)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	p, err := proc.Read(pid)
	switch {
	case err != nil:
	case p.PPID != os.Getpid() || p.Session != pid || p.PGID != pid:
		err = fmt.Errorf("process %d isn't a child of ours that leads a session", pid)
	case p.Dead() || hungUp(b.gate):
		err = errors.New("the worker ended at once")
	}
	if err != nil {
		return errors.Join(err, unix.Close(pidfd))
	}
	b.child.pid, b.child.pidfd = pid, newHandle(pidfd)
	return nil
}

// tell says to the worker what it is: its folder and its environment, which holds its
// token. It goes on when it has read all of that.
func (b *birth) tell() {
	defer func() { _ = b.gate.Close() }() // the worker has what could be written
	if b.gate.SetDeadline(time.Now().Add(orderTime)) != nil {
		return
	}
	body := strings.Join(append([]string{b.spawn.Dir}, b.spawn.Env...), "\x00")
	_, _ = fmt.Fprintf(b.gate, "%d\n%s", len(body), body) // who reads less than that ends, and we hear of it
}

// fail gives up. The worker is killed if it's known; else it finds the gate closed, if it
// comes, and ends.
func (b *birth) fail(why error) {
	if h := b.child.pidfd; h != nil {
		_ = unix.PidfdSendSignal(h.fd, unix.SIGKILL, nil, 0) // it may have ended
		h.drop()
	}
	if b.gate != nil {
		_ = b.gate.Close() // nothing was written
	}
	if b.files != nil {
		b.files.closeOurs()
	}
	b.child.miscarry()
	b.answer(reply{Error: why.Error(), Errno: errnoOf(why)})
}

func (b *birth) answer(r reply, fds ...*handle) {
	if r.ID = b.id; r.ID != 0 {
		b.link.send(kindReply, r, fds...)
	}
}
