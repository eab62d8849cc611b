package shim

import (
	"bufio"
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
	out    chan []byte
	done   chan struct{}
	pid    int
	letGo  atomic.Bool // by us: the end of the connection is no error

	detached atomic.Bool

	mu       sync.Mutex // guards the fields below
	children map[string]*Child
	replies  map[uint64]*pending
	next     uint64
}

// pending is a request that waits for its reply.
type pending struct {
	child *Child // of a spawn
	reply chan error
}

// newClient says hello over a connection and hears what the shim keeps.
func newClient(conn *net.UnixConn, socket, instance string, s Settings) (*Client, error) {
	c := &Client{
		socket: socket, conn: conn, rights: &rightsReader{conn: conn},
		out: make(chan []byte, 16), done: make(chan struct{}),
		children: map[string]*Child{}, replies: map[uint64]*pending{},
	}
	c.in = bufio.NewReaderSize(c.rights, 64<<10)
	if err := c.shakeHands(hello{Version: Version, Instance: instance, PID: os.Getpid(), Settings: s}); err != nil {
		c.rights.close()
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *Client) shakeHands(h hello) error {
	if err := c.conn.SetDeadline(time.Now().Add(helloTime)); err != nil {
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
	k, body, err := readFrame(c.in)
	if err != nil {
		return false, fmt.Errorf("the shim's welcome: %w", err)
	}
	var w welcome
	if k != kindWelcome {
		return false, fmt.Errorf("the shim's first frame is %q", k)
	}
	if err := json.Unmarshal(body, &w); err != nil {
		return false, fmt.Errorf("the shim's welcome: %w", err)
	}
	switch {
	case w.Attached != 0:
		return false, &AttachedError{PID: w.Attached}
	case w.Error != "":
		return false, fmt.Errorf("the shim refuses: %s", w.Error)
	}
	c.pid = w.PID
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

// mapPage takes the page of marks, which comes with the first frame.
func (c *Client) mapPage() error {
	if c.page != nil {
		return nil
	}
	fds, err := c.rights.take(1)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fds[0]), "marks")
	c.page, err = openPage(f)
	return errors.Join(err, f.Close()) // the mapping stays
}

func (c *Client) addSurvivor(s survivor) error {
	fds, err := c.rights.take(1)
	if err != nil {
		return err
	}
	ch := &Child{client: c, worker: s.Worker, token: s.Token, note: s.Note, frozen: s.Frozen}
	c.children[s.Worker] = ch
	return ch.born(fds[0], s.Slot)
}

// Run reads what the shim says until it ends, or [Client.Detach] lets go of it.
// Every worker's sink has heard of its end by then, unless it was left to the next
// host. It returns nil after Detach and End, else why.
func (c *Client) Run() error {
	var writing sync.WaitGroup
	writing.Go(c.write)
	err := c.read()
	close(c.done)
	writing.Wait()
	_ = c.conn.Close() // nothing is left to be written
	c.rights.close()
	c.lose()
	if c.letGo.Load() {
		return nil
	}
	return err
}

func (c *Client) write() {
	for {
		select {
		case frame := <-c.out:
			if frame == nil {
				_ = c.conn.CloseWrite() // the shim sees its host go, and closes its own side
				return
			}
			if _, err := c.conn.Write(frame); err != nil {
				return // reading ends too
			}
		case <-c.done:
			return
		}
	}
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
		return c.answered(r)
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
		ch.exited(Exit{Status: e.Status, OOM: e.OOM, Left: e.Left})
	case eventStopped, eventContinued:
		ch.tell(func(s Sink) { s.Stopped(e.Event == eventStopped) })
	case eventFrozen, eventThawed:
		ch.noteFrozen(e.Event == eventFrozen)
	}
}

func (c *Client) forget(ch *Child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.children, ch.worker)
}

func (c *Client) answered(r reply) error {
	c.mu.Lock()
	p := c.replies[r.ID]
	delete(c.replies, r.ID)
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	if r.Error != "" {
		e := &spawnError{text: r.Error}
		if r.Errno != 0 {
			e.errno = syscall.Errno(r.Errno)
		}
		p.reply <- e
		return nil
	}
	fds, err := c.rights.take(1) // only a spawn waits for a reply
	if err == nil {
		err = p.child.born(fds[0], r.Slot)
	}
	p.reply <- err
	return err
}

// send queues a request; it fails with [ErrGone].
func (c *Client) send(r request) error {
	frame, err := newFrame(kindRequest, r)
	if err != nil {
		return err
	}
	select {
	case c.out <- frame:
		return nil
	case <-c.done:
		return ErrGone
	}
}

// Spawn starts a worker. It returns once the process runs, and its sink hears from
// then on what becomes of it; on error there is none. It fails with the system's
// error and with [ErrGone].
func (c *Client) Spawn(s Spawn, sink Sink) (*Child, error) {
	ch := &Child{client: c, worker: s.Worker, token: s.Token, sink: sink}
	p := &pending{child: ch, reply: make(chan error, 1)}
	c.mu.Lock()
	if c.children[s.Worker] != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("worker %s is there already", s.Worker)
	}
	c.next++
	id := c.next
	c.children[s.Worker], c.replies[id] = ch, p
	c.mu.Unlock()
	err := c.send(request{ID: id, Op: opSpawn, Spawn: &s})
	if err == nil {
		select {
		case err = <-p.reply:
		case <-c.done:
			err = ErrGone // with it whatever it may have started
		}
	}
	if err != nil {
		c.forget(ch)
		return nil, err
	}
	return ch, nil
}

// SetLease tells when the lease ends, in nanoseconds of CLOCK_BOOTTIME ([Boottime]);
// zero: never.
func (c *Client) SetLease(deadline int64) error {
	return c.send(request{Op: opLease, Deadline: deadline})
}

// Detach lets go of the shim and its workers, for another host to come within the
// grace. Run ends.
func (c *Client) Detach(grace time.Duration) error {
	c.mu.Lock()
	for _, ch := range c.children {
		ch.leave()
	}
	clear(c.children)
	c.mu.Unlock()
	c.letGo.Store(true)
	c.detached.Store(true)
	if err := c.send(request{Op: opDetach, Grace: grace}); err != nil {
		return err
	}
	select {
	case c.out <- nil: // behind the request
		return nil
	case <-c.done:
		return ErrGone
	}
}

// End kills every worker that is left, with all that descends from it, and ends
// the pair. Run ends once the shim has.
func (c *Client) End() error {
	c.letGo.Store(true)
	return c.send(request{Op: opEnd})
}

// Survivors are the workers that the shim kept for a host that came back. The
// caller adopts each, or kills it.
func (c *Client) Survivors() []*Child {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*Child
	for _, ch := range c.children {
		if ch.sink == nil {
			out = append(out, ch)
		}
	}
	return out
}

// PID is the shim's, as its own PID namespace numbers it.
func (c *Client) PID() int { return c.pid }

// Detached reports whether the workers were left to another host.
func (c *Client) Detached() bool { return c.detached.Load() }

// Socket is where the next host finds the shim.
func (c *Client) Socket() string { return c.socket }

// Done is closed when the shim is gone for us.
func (c *Client) Done() <-chan struct{} { return c.done }

// lose deals with what a shim that died leaves to us: the kernel has killed its
// workers by now, and that is made sure of.
func (c *Client) lose() {
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

// Child is a worker's process, whose parent the shim is.
type Child struct {
	client *Client
	worker string
	token  string
	note   string // of a survivor
	pinned *proc.Pinned
	mark   Mark

	mu     sync.Mutex // guards the fields below
	sink   Sink       // nil: not adopted yet
	exit   *Exit      // that came before it was
	frozen bool
}

// born takes the process's pidfd.
func (ch *Child) born(pidfd, slot int) error {
	if slot < 0 || slot >= Slots {
		_ = unix.Close(pidfd) // nothing was written
		return fmt.Errorf("slot %d of the marks", slot)
	}
	ch.mark = ch.client.page.at(slot)
	var err error
	ch.pinned, err = proc.Adopt(pidfd)
	return err
}

// ID names the process, as our PID namespace numbers it.
func (ch *Child) ID() proc.ID { return ch.pinned.ID() }

// Worker is the id that it was started under.
func (ch *Child) Worker() string { return ch.worker }

// Token is the one in its environment.
func (ch *Child) Token() string { return ch.token }

// Note is what its last host had the shim remember; empty: nothing, or it's ours.
func (ch *Child) Note() string { return ch.note }

// SetNote has the shim remember up to 16 KiB about the worker, for the next host.
func (ch *Child) SetNote(note string) {
	_ = ch.client.send(request{Op: opNote, Worker: ch.worker, Note: note}) // gone: the worker is too
}

// Mark is its pair of words in the page of marks.
func (ch *Child) Mark() Mark { return ch.mark }

// Signal sends a signal to the worker's group, without waiting.
func (ch *Child) Signal(sig syscall.Signal) {
	_ = ch.client.send(request{Op: opSignal, Worker: ch.worker, Signal: int(sig)}) // gone: the worker is too
}

// Kill kills the worker and all that descends from it, without waiting.
func (ch *Child) Kill() {
	_ = ch.client.send(request{Op: opKill, Worker: ch.worker}) // gone: the worker is too
}

// Adopt gives a survivor its sink.
func (ch *Child) Adopt(sink Sink) {
	ch.mu.Lock()
	ch.sink = sink
	exit, frozen := ch.exit, ch.frozen
	ch.mu.Unlock()
	if frozen {
		sink.Frozen(true)
	}
	if exit != nil {
		sink.Exited(*exit)
	}
}

func (ch *Child) tell(f func(Sink)) {
	ch.mu.Lock()
	sink := ch.sink
	ch.mu.Unlock()
	if sink != nil {
		f(sink)
	}
}

func (ch *Child) printed(stream byte, data []byte) {
	ch.tell(func(s Sink) { s.Printed(stream, data) })
}

func (ch *Child) noteFrozen(frozen bool) {
	ch.mu.Lock()
	ch.frozen = frozen
	ch.mu.Unlock()
	ch.tell(func(s Sink) { s.Frozen(frozen) })
}

func (ch *Child) exited(e Exit) {
	ch.release()
	ch.mu.Lock()
	sink := ch.sink
	ch.exit = &e
	ch.mu.Unlock()
	if sink != nil {
		sink.Exited(e)
	}
}

// lost makes sure of the end of a worker whose shim has died.
func (ch *Child) lost(within time.Duration) {
	if ch.pinned != nil && !ch.pinned.Exited(within) {
		_ = ch.pinned.Signal(unix.SIGKILL) // pinned: nobody else can be hit
		ch.pinned.Exited(within)
	}
	ch.exited(Exit{Lost: true})
}

func (ch *Child) leave() { ch.release() }

func (ch *Child) release() {
	if ch.pinned != nil {
		ch.pinned.Close()
	}
}
