package shim

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// tokenVariable names a worker in its environment and in that of what it starts.
const tokenVariable = "SNAKEPIT_WORKER_TOKEN"

// child is one worker's process, leader of a session and group of its own.
type child struct {
	shim   *shim
	id     string
	token  string
	note   string // for the next host
	pid    int
	pidfd  int
	slot   int
	mark   Mark
	cgroup *cgroup

	pipes   []*os.File
	reading int // pipes that haven't ended
	exit    *event
	stopped bool // by a signal that isn't ours

	frozen    bool
	asGroup   bool // frozen by its cgroup
	stopAfter *time.Timer
}

// spawn forks a worker. It runs on the main thread: PDEATHSIG is tied to it.
func (s *shim) spawn(r *Spawn) (*child, error) {
	switch {
	case r == nil || r.Worker == "" || len(r.Worker) > maxID || len(r.Args) == 0:
		return nil, errors.New("a spawn without a worker or a command")
	case s.workers[r.Worker] != nil:
		return nil, fmt.Errorf("worker %s is there already", r.Worker)
	}
	slot, err := s.takeSlot()
	if err != nil {
		return nil, err
	}
	c := &child{shim: s, id: r.Worker, token: r.Token, slot: slot, mark: s.page.at(slot)}
	c.mark.reset()
	if s.settings.Cgroups {
		c.cgroup = s.cgroups.open(fmt.Sprintf("w%d", slot))
	}
	if err := c.fork(r); err != nil {
		c.cgroup.remove()
		s.slots = append(s.slots, slot)
		return nil, err
	}
	s.workers[c.id], s.byPID[c.pid] = c, c
	return c, nil
}

func (s *shim) takeSlot() (int, error) {
	if n := len(s.slots); n > 0 {
		slot := s.slots[n-1]
		s.slots = s.slots[:n-1]
		return slot, nil
	}
	if s.used == Slots {
		return 0, fmt.Errorf("%d workers live already, which is the most", Slots)
	}
	s.used++
	return s.used - 1, nil
}

// fork starts the process and the reading of what it prints.
func (c *child) fork(r *Spawn) error {
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
	c.pidfd = -1
	err = c.exec(r, []uintptr{null.Fd(), outW.Fd(), errW.Fd()})
	if err != nil {
		_ = outR.Close() // nothing was written
		_ = errR.Close()
		return err
	}
	expendable(c.pid)
	c.pipes = []*os.File{outR, errR}
	c.reading = len(c.pipes)
	go c.read(Stdout, outR, &LogFile{})
	go c.read(Stderr, errR, &LogFile{Path: r.Log, Max: c.shim.settings.LogBytes})
	return nil
}

func (c *child) exec(r *Spawn, files []uintptr) error {
	attr := &syscall.ProcAttr{Dir: r.Dir, Env: r.Env, Files: files, Sys: &syscall.SysProcAttr{
		Setsid: true, Pdeathsig: unix.SIGKILL, PidFD: &c.pidfd,
	}}
	if c.cgroup != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(c.cgroup.handle.Fd())
	}
	pid, err := syscall.ForkExec(r.Path, r.Args, attr) //nolint:gosec // the command is the operator's
	if err != nil && c.cgroup != nil { // maybe the cgroup's fault
		c.cgroup.remove()
		c.cgroup = nil
		attr.Sys.UseCgroupFD = false
		pid, err = syscall.ForkExec(r.Path, r.Args, attr) //nolint:gosec // as above
	}
	if err != nil {
		return fmt.Errorf("exec %s: %w", r.Path, err)
	}
	c.pid = pid
	return nil
}

// expendable asks the kernel to take a worker before its host when memory runs
// out. What it forks inherits that.
func expendable(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0) // a wish; it may be dead
}

// signal sends a signal to the worker's group. The leader is our unreaped child
// while it's in the table, so the group can't be anybody else's.
func (c *child) signal(sig unix.Signal) {
	if c.exit == nil {
		_ = unix.Kill(-c.pid, sig) // the group may be empty
	}
}

// kill ends the worker and all that descends from it. Who is frozen dies from the
// leaves up: a leader's end would wake the groups that it orphans.
func (c *child) kill() {
	if c.exit != nil {
		return
	}
	if c.frozen {
		for below := c.descendants(); len(below) > 0; below = below[:len(below)-1] {
			proc.Kill(below[len(below)-1].ID)
		}
	}
	c.cgroup.kill()
	c.signal(unix.SIGKILL)
}

// descendants are the processes below the worker, parents first, and those that
// left it but carry its token.
func (c *child) descendants() []proc.Stat {
	all, err := proc.All()
	if err != nil {
		_ = complain(err)
		return nil
	}
	below := proc.Below(c.pid, all)
	for _, p := range c.shim.strays(all) {
		if c.owns(p) {
			below = append(append(below, p), proc.Below(p.PID, all)...)
		}
	}
	return below
}

// owns reports whether a stray carries the worker's token.
func (c *child) owns(p proc.Stat) bool {
	return c.token != "" && proc.Getenv(p.PID, tokenVariable) == c.token
}

// strays are our children that no worker leads: their parents have ended.
func (s *shim) strays(all []proc.Stat) []proc.Stat {
	var out []proc.Stat
	for _, p := range all {
		if p.PPID == os.Getpid() && s.byPID[p.PID] == nil && !p.Dead() {
			out = append(out, p)
		}
	}
	return out
}
