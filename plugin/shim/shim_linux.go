package shim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

const (
	// drainTime is how long the pipes of a dead worker are still read. A process
	// that holds them open can't make it longer.
	drainTime = 200 * time.Millisecond
	// endTime is how long the shim insists on the end of everything. What is still
	// there then can't be killed now; the guard waits for it.
	endTime = 5 * time.Second
	// helloTime is how long whoever connects has to say who it is.
	helloTime = 5 * time.Second
)

// shim is the process that is the parent of all workers. Its main goroutine owns
// all of this; the others only read and wait, and post what they found.
type shim struct {
	posts    chan func()
	listener *net.UnixListener
	page     *page
	pageFile *os.File
	cgroups  *cgroups
	oom      oomWatch

	workers map[string]*child
	byPID   map[int]*child
	slots   []int // of the page, free again
	used    int   // of the page, ever

	host     *link                // nil: none
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
	go s.accept()
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
	p, file, err := newPage()
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(lockFD)
	guard, _ := strconv.Atoi(os.Args[1]) // the guard's own, for a name
	s := &shim{
		posts: make(chan func(), 64), listener: listener, page: p, pageFile: file,
		workers: map[string]*child{}, byPID: map[int]*child{},
	}
	removeCgroups(guard) // of one that had its pid
	s.cgroups = openCgroups(guard)
	s.oom.look()
	if s.lease, err = newLease(func() { s.posts <- s.leaseEnded }); err != nil {
		return nil, err
	}
	return s, nil
}

// watchGuard ends everything when the guard dies: nobody would clean up after us.
func (s *shim) watchGuard() {
	lifeline := os.NewFile(lifelineFD, "lifeline")
	unix.CloseOnExec(lifelineFD)
	go func() {
		_, _ = lifeline.Read(make([]byte, 1)) // it's never written to
		s.posts <- s.end
	}()
}

func (s *shim) watchChildren() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	go func() {
		for range died {
			s.posts <- s.reap
		}
	}()
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
	s.armGrace(helloTime) // a host that dies before its hello
	go s.greet(conn)
	return nil
}

// accept takes later hosts.
func (s *shim) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = complain(err)
			time.Sleep(time.Second) // out of descriptors, say
			continue
		}
		go s.greet(conn)
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
	deadline := time.Now().Add(endTime)
	for s.killAll() && time.Now().Before(deadline) {
		waitAnyChild(time.Millisecond)
	}
	for _, c := range s.workers {
		c.cgroup.remove()
	}
	if s.host != nil {
		s.host.close()
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

// waitAnyChild reaps whoever is dead, and waits a moment when nobody is.
func waitAnyChild(pause time.Duration) {
	reaped := false
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			break
		}
		reaped = true
	}
	if !reaped {
		time.Sleep(pause)
	}
}
