package shim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// drainTime is how long the pipes of a dead worker are still read. A process
	// that holds them open can't make it longer.
	drainTime = 200 * time.Millisecond
	// diskTime is how long the log of a dead worker may hold up the word of its end.
	diskTime = time.Second
	// endTime is how long the shim insists on the end of everything. What is still
	// there then can't be killed now; the guard waits for it.
	endTime = 5 * time.Second
	// helloTime is how long whoever connects has to say who it is.
	helloTime = 5 * time.Second
	// acceptPause is how long the shim waits after it couldn't take a connection.
	acceptPause = time.Second
)

// maxGreeted is how many peers may be about to say who they are.
const maxGreeted = 16

// shim is the process that is the parent of all workers. Its main goroutine owns
// all of this; the others only read and wait, and post what they found.
type shim struct {
	posts    chan func()
	goes     sync.WaitGroup // the other goroutines. Nobody waits for them: they end with the process
	greeted  chan *guest    // those that came last, and may have said nothing yet
	listener *net.UnixListener
	guard    proc.ID // as the PID namespace around us numbers it
	page     *page   // of marks, of the host that we have
	cgroups  *cgroups
	oom      oomWatch

	workers map[string]*child
	births  map[string]*birth  // workers that forkservers were asked for
	byPID   map[int]*child     // those that aren't reaped
	kin     map[proc.ID]*child // who was seen below them
	slots   []int              // of the page, free again
	used    int                // of the page, ever

	host     *link                // nil: none
	former   *peer                // the last host, while there is none: another may only follow when it's dead
	heir     bool                 // the host, or the last one, took over from another that is dead
	audience atomic.Pointer[link] // the same, for those who read the workers' output
	settings Settings
	instance string
	lease    *lease
	grace    *time.Timer // runs while there is no host; nil otherwise
	over     bool
}

// runShim is the shim's main. It returns when nothing is left to keep.
func runShim() int {
	debug.SetGCPercent(25) // a small process, and it stays one
	if err := harden(); err != nil {
		return complain(err)
	}
	if err := ownProc(os.Args); err != nil {
		return complain(err)
	}
	s, err := newShim()
	if err != nil {
		return complain(err)
	}
	s.watchGuard()
	s.watchChildren()
	if err := s.takeFirstHost(); err != nil {
		return complain(err)
	}
	s.goes.Go(s.accept)
	for !s.over {
		(<-s.posts)()
	}
	return 0
}

// ownProc mounts the process table of our PID namespace, where we are its first process.
func ownProc(args []string) error {
	if len(args) < 4 || args[3] != isolatedArg {
		return nil
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func newShim() (*shim, error) {
	f := os.NewFile(listenerFD, "listener")
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	_ = f.Close() // l has its own
	listener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("listen on a %T", l)
	}
	unix.CloseOnExec(lockFD)
	s := &shim{
		posts: make(chan func(), 64), greeted: make(chan *guest, maxGreeted), listener: listener,
		workers: map[string]*child{}, births: map[string]*birth{}, byPID: map[int]*child{},
	}
	// From here on whoever connects is told that it's us who listen.
	if err := relisten(listener); err != nil {
		return nil, err
	}
	s.guard = guardArg(os.Args[1])
	s.oom.look()
	if s.page, err = firstPage(); err != nil {
		return nil, err
	}
	if s.lease, err = newLease(); err != nil {
		return nil, err
	}
	s.goes.Go(func() { s.lease.watch(func() { s.posts <- s.leaseEnded }) })
	return s, nil
}

// guardArg reads who the guard is: its folder of cgroups is named after it.
func guardArg(name string) (guard proc.ID) {
	var ns uint64
	_, _ = fmt.Sscanf(name, "snakepit-%d-%d-%d", &ns, &guard.PID, &guard.Start) // it's the guard that wrote it
	return guard
}

// firstPage is the page until there is a host.
func firstPage() (*page, error) {
	p, fd, err := newPage()
	if err != nil {
		return nil, err
	}
	return p, unix.Close(fd)
}

// relisten makes SO_PEERCRED name us where it named the host that began to listen.
func relisten(l *net.UnixListener) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var listenErr error
	if err := raw.Control(func(fd uintptr) {
		listenErr = unix.Listen(int(fd), unix.SOMAXCONN)
	}); err != nil {
		return err
	}
	return listenErr
}

// watchGuard ends everything when the guard dies: nobody would clean up after us.
func (s *shim) watchGuard() {
	lifeline := os.NewFile(lifelineFD, "lifeline")
	unix.CloseOnExec(lifelineFD)
	s.goes.Go(func() {
		_, _ = lifeline.Read(make([]byte, 1)) // it's never written to
		s.posts <- s.end
	})
}

func (s *shim) watchChildren() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	s.goes.Go(func() {
		for range died {
			s.posts <- s.reap
		}
	})
}

// takeFirstHost talks to the host that started us.
func (s *shim) takeFirstHost() error {
	f := os.NewFile(connFD, "host")
	c, err := net.FileConn(f)
	if err != nil {
		return fmt.Errorf("the host's connection: %w", err)
	}
	_ = f.Close() // c has its own
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("the host's connection is a %T", c)
	}
	s.armGrace(helloTime)
	s.goes.Go(func() {
		if !s.greet(&guest{conn: conn}) {
			s.posts <- s.endIfUnused // it died before its hello
		}
	})
	return nil
}

func (s *shim) endIfUnused() {
	if s.host == nil && len(s.workers) == 0 {
		s.end()
	}
}

// accept takes later hosts.
func (s *shim) accept() {
	said := ""
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			if err.Error() != said {
				said = err.Error()
				_ = complain(err)
			}
			time.Sleep(acceptPause) // out of descriptors, say
			continue
		}
		s.receive(&guest{conn: conn})
	}
}

// receive hears a guest. Who still says nothing when so many others have come is
// sent away: they hold descriptors.
func (s *shim) receive(g *guest) {
	for {
		select {
		case s.greeted <- g:
			s.goes.Go(func() { s.greet(g) })
			return
		case oldest := <-s.greeted:
			if !oldest.heard.Swap(true) {
				_ = oldest.conn.Close() // nothing was written
			}
		}
	}
}

// armGrace ends everything after a while, unless a host comes before.
func (s *shim) armGrace(grace time.Duration) {
	s.disarmGrace()
	var t *time.Timer
	t = time.AfterFunc(grace, func() {
		s.posts <- func() {
			if s.grace == t {
				s.end()
			}
		}
	})
	s.grace = t
}

func (s *shim) disarmGrace() {
	if s.grace != nil {
		s.grace.Stop()
		s.grace = nil
	}
}

// end kills everything that descends from us, and the loop ends with it.
func (s *shim) end() {
	if s.over {
		return
	}
	s.over = true
	_ = s.listener.Close() // no further host
	for _, c := range s.workers {
		c.killed = true
		if c.frozen {
			c.kill() // from its leaves up
		}
	}
	deadline := time.Now().Add(endTime)
	for s.killAll() && time.Now().Before(deadline) {
		s.reapAll(time.Millisecond)
	}
	for _, c := range s.workers {
		c.cgroup.remove()
	}
	if s.cgroups != nil {
		removeCgroups(s.cgroups.dir)
	}
	if s.host != nil {
		s.host.close()
		<-s.host.written
	}
}

// killAll kills what descends from us, and reports whether anybody is left.
func (s *shim) killAll() bool {
	for _, c := range s.workers {
		c.cgroup.kill()
	}
	all, err := proc.All()
	if err != nil {
		_ = complain(err)
		return true
	}
	left := false
	for _, p := range proc.Below(os.Getpid(), all) {
		if !p.Dead() {
			left = true
			proc.Kill(p.ID)
		}
	}
	return left
}

// reapAll reaps whoever is dead and tells whose worker that was, and waits a moment
// when nobody is.
func (s *shim) reapAll(pause time.Duration) {
	reaped := false
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			break
		}
		reaped = true
		if c := s.byPID[pid]; c != nil {
			delete(s.byPID, pid)
			c.exit = newExit(c, status, 0, false)
			s.send(c.exit)
		}
	}
	if !reaped {
		time.Sleep(pause)
	}
}
