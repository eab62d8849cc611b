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
	// a log, a cgroup, and a forkserver's door or the gate of one that is being forked.
	filesPerWorker = 6
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
	door   *door // of a forkserver; nil: of any other worker

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
	c, err := s.conceive(o)
	if err != nil {
		return nil, err
	}
	if err := c.fork(o.spawn()); err != nil {
		c.miscarry()
		return nil, err
	}
	s.workers[c.id], s.byPID[c.pid] = c, c
	return c, nil
}

// conceive is a worker before it has a process.
func (s *shim) conceive(o *order) (*child, error) {
	switch {
	case o == nil || o.Worker == "" || len(o.Worker) > maxID || len(o.Args) == 0:
		return nil, errors.New("a spawn without a worker or a command")
	case s.workers[o.Worker] != nil || s.births[o.Worker] != nil:
		return nil, fmt.Errorf("worker %s is there already", o.Worker)
	}
	if err := s.roomForFiles(); err != nil {
		return nil, err
	}
	slot, err := s.takeSlot()
	if err != nil {
		return nil, err
	}
	c := &child{shim: s, id: o.Worker, token: o.Token, slot: slot, mark: s.page.at(slot)}
	s.setMark(c)
	if s.settings.Cgroups {
		c.cgroup = s.cgroups.open()
	}
	return c, nil
}

// miscarry gives back what a worker had that never got a process.
func (c *child) miscarry() {
	c.cgroup.remove()
	c.shim.slots = append(c.shim.slots, c.slot)
}

// roomForFiles refuses a worker whose descriptors would eat up the reserve.
func (s *shim) roomForFiles() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("the limit of open files: %w", err)
	}
	live := len(s.workers) + len(s.births)
	if need := uint64(live+1)*filesPerWorker + filesInReserve; need > limit.Cur {
		return fmt.Errorf("%d workers live already, and with %d open files there is no room for more: %w",
			live, limit.Cur, syscall.EMFILE)
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
	files, err := openStreams()
	if err != nil {
		return err
	}
	defer files.closeTheirs()
	given := files.given()
	if r.Forks {
		theirs, err := c.openDoor()
		if err != nil {
			files.closeOurs()
			return err
		}
		defer func() { _ = unix.Close(theirs) }() // the child has its own
		given = append(given, uintptr(theirs))
	}
	if err := c.exec(r, given); err != nil {
		files.closeOurs()
		c.door.close()
		return err
	}
	c.begin(files, r)
	return nil
}

// begin takes care of a process that has begun.
func (c *child) begin(files *streams, r Spawn) {
	expendable(c.pid)
	c.limits = applyLimits(c.pid, c.cgroup, r.Limits)
	c.pipes = []*os.File{files.out, files.err}
	c.reading = len(c.pipes)
	c.shim.goes.Go(func() { c.read(Stdout, files.out, &LogFile{}) })
	c.shim.goes.Go(func() { c.read(Stderr, files.err, &LogFile{Path: r.Log, Max: c.shim.settings.LogBytes}) })
}

// streams are a process's first three descriptors, and our ends of two of them.
type streams struct{ out, err, null, childOut, childErr *os.File }

func openStreams() (s *streams, err error) {
	s = &streams{}
	if s.null, err = os.Open(os.DevNull); err != nil {
		return nil, err
	}
	if s.out, s.childOut, err = os.Pipe(); err == nil {
		s.err, s.childErr, err = os.Pipe()
	}
	if err != nil {
		s.closeTheirs()
		s.closeOurs()
		return nil, err
	}
	return s, nil
}

func (s *streams) given() []uintptr {
	return []uintptr{s.null.Fd(), s.childOut.Fd(), s.childErr.Fd()}
}

// closeTheirs closes the process's ends: it has its own, or never came. Nothing was written.
func (s *streams) closeTheirs() { closeFiles(s.null, s.childOut, s.childErr) }

// closeOurs closes what nobody will read.
func (s *streams) closeOurs() { closeFiles(s.out, s.err) }

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing was written
		}
	}
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
