package shim

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// tokenVariable names a worker in its environment and in that of what it starts.
const tokenVariable = "SNAKEPIT_WORKER_TOKEN"

const (
	// filesPerWorker is how many descriptors the shim has for one: a pidfd, two pipes,
	// a log, a cgroup.
	filesPerWorker = 5
	// filesInReserve is how many the shim keeps for itself: a fork, a look at the process
	// table, a kill and a host that connects must never fail for want of one.
	filesInReserve = 32 + maxGreeted
)

// child is one worker's process, leader of a session and group of its own.
type child struct {
	shim   *shim
	id     string
	token  string
	note   string // for the next host
	limits []Limit
	pid    int
	pidfd  *handle
	slot   int
	mark   Mark
	cgroup *cgroup

	pipes   []*os.File
	reading int // pipes that haven't ended
	exit    *event
	killed  bool // by us
	stopped bool // by a signal that isn't ours

	frozen    bool
	asGroup   bool             // frozen by its cgroup
	held      map[proc.ID]bool // whom we have stopped, where it isn't
	stopAfter *time.Timer
}

// spawn forks a worker. It runs on the main thread: PDEATHSIG is tied to it.
func (s *shim) spawn(o *order) (*child, error) {
	switch {
	case o == nil || o.Worker == "" || len(o.Worker) > maxID || len(o.Args) == 0:
		return nil, errors.New("a spawn without a worker or a command")
	case s.workers[o.Worker] != nil:
		return nil, fmt.Errorf("worker %s is there already", o.Worker)
	}
	if err := s.roomForFiles(); err != nil {
		return nil, err
	}
	slot, err := s.takeSlot()
	if err != nil {
		return nil, err
	}
	r := o.spawn()
	c := &child{shim: s, id: r.Worker, token: r.Token, slot: slot, mark: s.page.at(slot)}
	s.setMark(c)
	if s.settings.Cgroups {
		c.cgroup = s.cgroups.open()
	}
	if err := c.fork(r); err != nil {
		c.cgroup.remove()
		s.slots = append(s.slots, slot)
		return nil, err
	}
	s.workers[c.id], s.byPID[c.pid] = c, c
	return c, nil
}

// roomForFiles refuses a worker whose descriptors would eat up the reserve.
func (s *shim) roomForFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of open files: %w", err)
	}
	if need := uint64(len(s.workers)+1)*filesPerWorker + filesInReserve; need > limit.Cur {
		return fmt.Errorf("%d workers live already, and with %d open files there is no room for more: %w",
			len(s.workers), limit.Cur, syscall.EMFILE)
	}
	return nil
}

// takeSlot gives a place in the page of marks. One whose last worker has ended is
// given again when the host has taken back all its marks.
func (s *shim) takeSlot() (int, error) {
	for i, slot := range slices.Backward(s.slots) {
		if !s.page.at(slot).marked() {
			s.slots = append(s.slots[:i], s.slots[i+1:]...)
			return slot, nil
		}
	}
	if s.used == Slots {
		return 0, fmt.Errorf("%d workers live already, which is the most", Slots)
	}
	s.used++
	return s.used - 1, nil
}

// fork starts the process and the reading of what it prints.
func (c *child) fork(r Spawn) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }() // only read
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = outW.Close() }() // the child has its own
	errR, errW, err := os.Pipe()
	if err != nil {
		_ = outR.Close() // nothing was written
		return err
	}
	defer func() { _ = errW.Close() }() // the child has its own
	if err := c.exec(r, []uintptr{null.Fd(), outW.Fd(), errW.Fd()}); err != nil {
		_ = outR.Close() // nothing was written
		_ = errR.Close()
		return err
	}
	expendable(c.pid)
	c.limits = applyLimits(c.pid, c.cgroup, r.Limits)
	c.pipes = []*os.File{outR, errR}
	c.reading = len(c.pipes)
	c.shim.goes.Go(func() { c.read(Stdout, outR, &LogFile{}) })
	c.shim.goes.Go(func() { c.read(Stderr, errR, &LogFile{Path: r.Log, Max: c.shim.settings.LogBytes}) })
	return nil
}

func (c *child) exec(r Spawn, files []uintptr) error {
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: r.Dir, Env: r.Env, Files: files, Sys: &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: unix.SIGKILL, PidFD: &pidfd,
	}}
	if c.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(c.cgroup.handle.Fd())
	}
	pid, err := syscall.ForkExec(r.Path, r.Args, attr) //nolint:gosec // the command is the operator's
	if err != nil && c.cgroup != nil {                 // maybe the cgroup's fault
		c.cgroup.remove()
		c.cgroup = nil
		attr.Sys.UseCgroupFD = false
		pid, err = syscall.ForkExec(r.Path, r.Args, attr) //nolint:gosec // as above
	}
	if err != nil {
		return fmt.Errorf("exec %s: %w", r.Path, err)
	}
	if pidfd < 0 { // the kernel has none to give, and we can't do without
		_ = unix.Kill(pid, unix.SIGKILL) // our unreaped child
		return fmt.Errorf("exec %s: no pidfd", r.Path)
	}
	c.pid, c.pidfd = pid, newHandle(pidfd)
	return nil
}

// expendable asks the kernel to take a worker before its host when memory runs
// out. What it forks inherits that.
func expendable(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0) // a wish; it may be dead
}

// signal sends a signal to the worker's group. The leader is our unreaped child
// while it's in the table, so the group can't be anybody else's. One that is frozen
// by SIGSTOP isn't woken by a SIGCONT: it goes on when it's thawed.
func (c *child) signal(sig unix.Signal) {
	switch {
	case c.exit != nil:
	case sig == unix.SIGKILL:
		c.kill()
	case c.frozen && !c.asGroup && sig == unix.SIGCONT:
		c.held[c.process()] = true
		c.noteStop(false)
	default:
		_ = unix.Kill(-c.pid, sig) // the group may be empty
	}
}

// process identifies the worker's process: our unreaped child.
func (c *child) process() proc.ID {
	id, _ := proc.Identify(c.pid) // it's there until we reap it
	return id
}

// kill ends the worker and all that descends from it. Whoever is frozen by SIGSTOP dies from
// the leaves up: a leader's end would wake the groups that it orphans.
func (c *child) kill() {
	if c.exit != nil {
		return
	}
	c.killed = true
	if c.frozen && !c.asGroup {
		c.killBelow()
	}
	c.cgroup.kill()
	_ = unix.Kill(-c.pid, unix.SIGKILL) // our unreaped child's
}

func (c *child) killBelow() {
	t, err := c.shim.look()
	if err != nil {
		_ = complain(err)
		return
	}
	below := t.of(c)
	for _, p := range slices.Backward(below) {
		proc.Kill(p.ID)
	}
}
