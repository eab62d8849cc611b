package shim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// lossTime is how long the workers of a shim that died may take to follow it.
const lossTime = time.Second

// Client is a host's connection to a shim.
type Client struct {
	socket string
	conn   *net.UnixConn
	rights *rightsReader
	in     *bufio.Reader
	page   *page
	out    *outbox
	done   chan struct{}
	pid    int
	guard  proc.ID
	heir   bool        // it was another host's shim
	letGo  atomic.Bool // by us: the end of the connection is no error
	left   atomic.Bool // with the workers in the shim's care

	mu       sync.Mutex // guards the fields below
	children map[string]*Child
	replies  map[uint64]*pending
	next     uint64
}

// pending is a request that waits for its reply.
type pending struct {
	child *Child // of a spawn; nil: of anything else
	reply chan error
}

// newClient says hello over a connection and hears what the shim keeps.
func newClient(conn *net.UnixConn, socket string, h hello) (*Client, error) {
	c := &Client{
		socket: socket, conn: conn, rights: &rightsReader{conn: conn}, heir: h.Heir,
		out: newOutbox(), done: make(chan struct{}),
		children: map[string]*Child{}, replies: map[uint64]*pending{},
	}
	c.in = bufio.NewReaderSize(c.rights, 64<<10)
	if err := c.shakeHands(h); err != nil {
		c.rights.close()
		for _, ch := range c.children {
			ch.leave()
		}
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func newHello(instance string, s Settings) hello {
	return hello{Version: Version, Instance: instance, PID: os.Getpid(), Settings: s}
}

func (c *Client) shakeHands(h hello) error {
	patience := helloTime
	if h.Heir {
		patience = heirTime
	}
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	frame, err := newFrame(kindHello, h)
	if err != nil {
		return err
	}
	if _, err := c.conn.Write(frame); err != nil {
		return err
	}
	for more := true; more; {
		if more, err = c.welcome(); err != nil {
			return err
		}
	}
	return c.conn.SetDeadline(time.Time{})
}

// welcome reads one frame of the shim's answer.
func (c *Client) welcome() (more bool, err error) {
	w, err := c.readWelcome()
	switch {
	case err != nil:
		return false, err
	case w.Attached != 0:
		return false, c.hearRefusal(w)
	case w.Error != "":
		return false, fmt.Errorf("the shim refuses: %s", w.Error)
	case c.heir && !w.Heir:
		return false, errors.New("the shim is from before there were heirs: the next start of its own host couldn't tell us from a live one")
	}
	c.pid, c.guard = w.PID, proc.ID{PID: w.Guard, Start: w.GuardStart}
	if err := c.mapPage(); err != nil {
		return false, err
	}
	for _, s := range w.Workers {
		if err := c.addSurvivor(s); err != nil {
			return false, err
		}
	}
	return w.More, nil
}

func (c *Client) readWelcome() (w welcome, err error) {
	k, body, err := readFrame(c.in)
	if err != nil {
		return w, fmt.Errorf("the shim's welcome: %w", err)
	}
	if k != kindWelcome {
		return w, fmt.Errorf("the shim's first frame is of the kind %q", byte(k))
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return w, fmt.Errorf("the shim's welcome: %w", err)
	}
	return w, nil
}

// mapPage takes the page of marks, which comes with the first frame.
func (c *Client) mapPage() error {
	if c.page != nil {
		return nil
	}
	fd, err := c.rights.take()
	if err != nil {
		return err
	}
	c.page, err = openPage(fd)
	return errors.Join(err, unix.Close(fd)) // the mapping stays
}

func (c *Client) addSurvivor(s survivor) error {
	fd, err := c.rights.take()
	if err != nil {
		return err
	}
	ch := &Child{client: c, worker: s.Worker, token: s.Token, note: s.Note, frozen: s.Frozen}
	c.children[s.Worker] = ch
	if s.Frozen {
		ch.tell(func(s Sink) { s.Frozen(true) })
	}
	if s.Stopped {
		ch.tell(func(s Sink) { s.Stopped(true) })
	}
	return ch.born(fd, s.Slot)
}

// Run reads what the shim says until it ends, or [Client.Detach] lets go of it.
// Every worker's sink has heard of its end by then, unless it was left to the next
// host. It returns nil after Detach and End, else why.
func (c *Client) Run() error {
	var writing sync.WaitGroup
	writing.Go(func() { c.out.write(c.conn, c.done) })
	err := c.read()
	close(c.done)
	c.out.end()
	_ = c.conn.Close() // whoever still writes there need not
	writing.Wait()
	c.rights.close()
	c.lose()
	if c.letGo.Load() && !errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func (c *Client) read() error {
	for {
		k, body, err := readFrame(c.in)
		if err != nil {
			return fmt.Errorf("the shim, process %d: %w", c.pid, err)
		}
		if err := c.dispatch(k, body); err != nil {
			return fmt.Errorf("the shim, process %d: %w", c.pid, err)
		}
	}
}

func (c *Client) dispatch(k kind, body []byte) error {
	switch k {
	case kindOutput:
		stream, worker, data, err := parseOutput(body)
		if ch := c.child(worker); err == nil && ch != nil {
			ch.printed(stream, data)
		}
		return err
	case kindEvent:
		var e event
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		c.happened(e)
	case kindReply:
		var r reply
		if err := json.Unmarshal(body, &r); err != nil {
			return err
		}
		c.answered(r)
	case kindHello, kindWelcome, kindRequest: // not the shim's to send now
	default: // of a later version
	}
	return nil
}

func (c *Client) child(worker string) *Child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.children[worker]
}

func (c *Client) happened(e event) {
	ch := c.child(e.Worker)
	if ch == nil {
		return
	}
	switch e.Event {
	case eventExit:
		c.forget(ch)
		ch.exited(Exit{Status: e.Status, OOM: e.OOM, Left: e.Left, Over: e.Over})
	case eventStopped, eventContinued:
		ch.tell(func(s Sink) { s.Stopped(e.Event == eventStopped) })
	case eventFrozen, eventThawed:
		ch.tell(func(s Sink) { s.Frozen(e.Event == eventFrozen) })
	}
}

func (c *Client) forget(ch *Child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.children[ch.worker] == ch {
		delete(c.children, ch.worker)
	}
}

func (c *Client) answered(r reply) {
	c.mu.Lock()
	p := c.replies[r.ID]
	delete(c.replies, r.ID)
	c.mu.Unlock()
	if p == nil {
		return // nobody asked
	}
	if r.Error != "" {
		e := &spawnError{text: r.Error}
		if r.Errno != 0 {
			e.errno = syscall.Errno(r.Errno)
		}
		p.reply <- e
		return
	}
	if p.child == nil {
		p.reply <- nil
		return
	}
	p.child.limits = r.Limits
	p.reply <- c.take(p.child, r.Slot)
}

// take takes hold of a process that was started.
func (c *Client) take(ch *Child, slot int) error {
	fd, err := c.rights.take()
	if err == nil {
		err = ch.born(fd, slot)
	}
	ch.lame = err != nil && !errors.Is(err, ErrGone)
	return err
}

// send queues a request; it fails with [ErrGone].
func (c *Client) send(r request) error {
	frame, err := newFrame(kindRequest, r)
	if err != nil {
		return err
	}
	return c.out.put(frame, r.Op == opLease)
}

// Spawn starts a worker. It returns once the process runs, and its sink hears from
// then on what becomes of it; on error there is none. It fails with the system's
// error and with [ErrGone].
func (c *Client) Spawn(s Spawn, sink Sink) (*Child, error) {
	ch := &Child{client: c, worker: s.Worker, token: s.Token, sink: sink}
	p := &pending{child: ch, reply: make(chan error, 1)}
	id, err := c.expect(p)
	if err != nil {
		return nil, err
	}
	if err = c.send(request{ID: id, Op: opSpawn, Spawn: newOrder(s)}); err == nil {
		err = c.await(nil, p)
	}
	if err != nil {
		c.giveUp(id, ch)
		return nil, err
	}
	return ch, nil
}

// expect notes a spawn that waits for its reply.
func (c *Client) expect(p *pending) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.children[p.child.worker] != nil {
		return 0, fmt.Errorf("worker %s is there already", p.child.worker)
	}
	c.next++
	c.children[p.child.worker], c.replies[c.next] = p.child, p
	return c.next, nil
}

// ask sends a request and waits until the shim has done it. It fails with [ErrGone], and
// when ctx ends.
func (c *Client) ask(ctx context.Context, r request) error {
	p := &pending{reply: make(chan error, 1)}
	c.mu.Lock()
	c.next++
	r.ID = c.next
	c.replies[r.ID] = p
	c.mu.Unlock()
	err := c.send(r)
	if err == nil {
		err = c.await(ctx.Done(), p)
	}
	c.mu.Lock()
	delete(c.replies, r.ID)
	c.mu.Unlock()
	if errors.Is(err, errGivenUp) {
		return context.Cause(ctx)
	}
	return err
}

// errGivenUp says that whoever waited for a reply has given up.
var errGivenUp = errors.New("given up")

// await waits for the reply, or for stop.
func (c *Client) await(stop <-chan struct{}, p *pending) error {
	select {
	case err := <-p.reply:
		return err
	case <-stop:
		return errGivenUp
	case <-c.done:
	}
	select {
	case err := <-p.reply: // it came before the end
		return err
	default:
		return ErrGone // with it whatever it may have started
	}
}

// giveUp forgets a spawn that failed. A process that runs although we can't hold
// it, for want of a descriptor, is killed.
func (c *Client) giveUp(id uint64, ch *Child) {
	c.mu.Lock()
	delete(c.replies, id)
	c.mu.Unlock()
	c.forget(ch)
	if ch.lame {
		ch.Kill()
	}
}

// SetLease tells when the lease ends, in nanoseconds of CLOCK_BOOTTIME ([Boottime]);
// zero: never. It doesn't wait: where the shim is slow to read, the newest one counts.
func (c *Client) SetLease(deadline int64) error {
	return c.send(request{Op: opLease, Deadline: deadline})
}

// Detach lets go of the shim and its workers, for another host to come within the
// grace. Run ends.
func (c *Client) Detach(grace time.Duration) error {
	c.letGo.Store(true)
	c.left.Store(true)
	c.mu.Lock() // before the connection can end: who is still ours then is taken for lost, and killed
	for _, ch := range c.children {
		ch.leave()
	}
	clear(c.children)
	c.mu.Unlock()
	err := c.send(request{Op: opDetach, Grace: grace})
	c.out.end()
	return errors.Join(err, c.bound(helloTime))
}

// Detached reports whether the workers were left to another host.
func (c *Client) Detached() bool { return c.left.Load() }

// bound sets how long a shim that is to end our connection may take to.
func (c *Client) bound(within time.Duration) error {
	err := c.conn.SetDeadline(time.Now().Add(within))
	if errors.Is(err, net.ErrClosed) {
		return nil // it's ended already
	}
	return err
}

// End kills every worker that is left, with all that descends from it, and ends
// the pair. Run ends once the shim has, and with an error when that takes too long.
func (c *Client) End() error {
	c.letGo.Store(true)
	return errors.Join(c.send(request{Op: opEnd}), c.bound(endTime+helloTime))
}

// Survivors are the workers that the shim kept for a host that came back. The
// caller adopts each, or kills it.
func (c *Client) Survivors() []*Child {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*Child
	for _, ch := range c.children {
		if !ch.adopted() {
			out = append(out, ch)
		}
	}
	return out
}

// PID is the shim's, as its own PID namespace numbers it.
func (c *Client) PID() int { return c.pid }

// Socket is where the next host finds the shim.
func (c *Client) Socket() string { return c.socket }

// Done is closed when the shim is gone for us.
func (c *Client) Done() <-chan struct{} { return c.done }

// lose deals with what a shim that died leaves to us: the kernel has killed its
// workers by now, and that is made sure of. What they had started is the guard's to
// kill, which can't while somebody has it stopped.
func (c *Client) lose() {
	if c.left.Load() {
		return // they live on; a spawn that was under way is the next host's too
	}
	if g, err := proc.Read(c.guard.PID); err == nil && g.Stopped() {
		proc.Signal(c.guard, unix.SIGCONT)
	}
	c.mu.Lock()
	var lost []*Child
	for _, ch := range c.children {
		lost = append(lost, ch)
	}
	clear(c.children)
	c.mu.Unlock()
	deadline := time.Now().Add(lossTime)
	for _, ch := range lost {
		ch.lost(time.Until(deadline))
	}
}
