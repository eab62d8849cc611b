package shim

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// freezeTime is how long the shim insists that whoever it stopped has stopped: a
// thread of it may fork until then.
const freezeTime = 100 * time.Millisecond

// freeze stops workers with all that descends from them, and gives them StopAfter
// before they are killed. Where there is no cgroup, one look at the process table serves all.
func (s *shim) freeze(workers []*child) {
	var byHand []*child
	for _, c := range workers {
		if s.settings.StopAfter <= 0 {
			c.kill()
			continue
		}
		c.frozen = true
		c.asGroup = c.cgroup != nil && c.cgroup.freeze(true) == nil
		if !c.asGroup {
			c.held = map[proc.ID]bool{}
			byHand = append(byHand, c)
		}
		c.armStopAfter(s.settings.StopAfter)
	}
	s.stopTrees(byHand)
	for _, c := range workers {
		if c.frozen {
			s.sendState(frozenState{c}, &event{Event: eventFrozen, Worker: c.id})
		}
	}
}

// armStopAfter kills the worker when it was frozen for too long.
func (c *child) armStopAfter(after time.Duration) {
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		c.shim.posts <- func() {
			if c.stopAfter == t { // else it was thawed, and maybe frozen again
				c.kill()
			}
		}
	})
	c.stopAfter = t
}

// stopTrees sends SIGSTOP to the workers, then to their descendants, until all have
// stopped and a look finds nobody new.
func (s *shim) stopTrees(workers []*child) {
	for _, c := range workers {
		if leader, err := proc.Read(c.pid); err == nil {
			c.stop(leader)
		}
	}
	deadline := time.Now().Add(freezeTime)
	for moving := len(workers) > 0; moving && time.Now().Before(deadline); {
		t, err := s.look()
		if err != nil {
			_ = complain(err)
			return
		}
		moving = false
		for _, c := range workers {
			moving = c.stopBelow(t) || moving
		}
	}
}

// stopBelow stops whoever of the worker's tree runs, and reports whether anybody did.
func (c *child) stopBelow(t *table) bool {
	moving := false
	for _, p := range t.of(c) {
		moving = c.stop(p) || moving
	}
	if leader, err := proc.Read(c.pid); err == nil {
		moving = c.stop(leader) || moving
	}
	return moving
}

// stop sends SIGSTOP to one process, and reports whether that may still run. Who
// was stopped already isn't ours to let go on later.
func (c *child) stop(p proc.Stat) bool {
	if p.Dead() || p.Stopped() {
		return false
	}
	known := c.held[p.ID]
	if !proc.Signal(p.ID, unix.SIGSTOP) {
		return false
	}
	c.held[p.ID] = true
	return !known || p.State != 'D' // in the kernel it can't fork, and stops before it leaves
}

// thaw lets the worker and its descendants go on, and tells the host. What a signal
// of somebody else had stopped before stays as it was.
func (c *child) thaw() {
	if c.asGroup {
		if err := c.cgroup.freeze(false); err != nil {
			_ = complain(fmt.Errorf("thaw %s: %w", c.id, err))
			c.kill()
			return
		}
	}
	for id := range c.held {
		proc.Signal(id, unix.SIGCONT)
	}
	c.thawed()
	c.shim.sendState(frozenState{c}, &event{Event: eventThawed, Worker: c.id})
}

// thawed forgets that the worker was frozen.
func (c *child) thawed() {
	c.frozen, c.asGroup, c.held = false, false, nil
	if c.stopAfter != nil {
		c.stopAfter.Stop()
		c.stopAfter = nil
	}
}

// What a worker's states are known by on a [link].
type (
	frozenState  struct{ *child }
	stoppedState struct{ *child }
)

// noteStop tells the host that somebody else stopped the worker, or let it go on.
func (c *child) noteStop(stopped bool) {
	if c.stopped == stopped {
		return
	}
	c.stopped = stopped
	name := eventContinued
	if stopped {
		name = eventStopped
	}
	c.shim.sendState(stoppedState{c}, &event{Event: name, Worker: c.id})
}

// moved says that the worker's process has stopped or goes on, as its parent hears
// it. While the shim itself has stopped it, a stop is its own, and whoever lets it
// go on is overruled.
func (c *child) moved(stopped bool) {
	byHand := c.frozen && !c.asGroup
	switch {
	case !byHand:
		c.noteStop(stopped)
	case !stopped:
		c.noteStop(false)
		c.held[c.process()] = true
		_ = unix.Kill(c.pid, unix.SIGSTOP) // our unreaped child
	}
}
