package embed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	// preparedLine is a new process's word that its configuration is good; goLine the
	// old one's that everything is the new one's.
	preparedLine = "prepared\n"
	goLine       = "go\n"
	// prepareTimeout is how long a new process may take to its word.
	prepareTimeout = 30 * time.Second
	// askWait is how long who leads is asked for before a node begins to leave.
	askWait = 3 * time.Second
	// resignWait bounds what it takes to end a membership.
	resignWait = 30 * time.Second
	// heirGrace is the least time that workers wait for the new process.
	heirGrace = 30 * time.Second
)

// The files that a host hands to the process that takes over, in this order.
const (
	controlFile = iota
	listenerFile
	dataLockFile
	runLockFile
	handedFiles
)

// heir is the process that takes over.
type heir struct {
	process *os.Process
	pid     int
	control net.Conn
}

// Upgrade has Config.Successor start a new process on this host's data directory,
// which takes over its listener, workers and sessions, and returns the new process's
// pid once its configuration is known to be good. From then on this host grants
// nothing new; it ends by itself when its running calls have, or after upgrade_wait.
// New calls wait for the new process meanwhile. On error nothing has changed.
func (h *Host) Upgrade(ctx context.Context) (pid int, err error) {
	switch {
	case h.cfg.Successor == nil || h.listener == nil || h.dirs.data == "":
		return 0, errdefs.New(errdefs.InvalidConfig, "only a host with a data directory, an API and a program of its own can be upgraded in place")
	case h.upgrading.Swap(true):
		return 0, errdefs.New(errdefs.Conflict, "an upgrade is under way already")
	}
	next, err := h.startHeir(ctx)
	if err != nil {
		h.upgrading.Store(false)
		return 0, err
	}
	if err := h.pausing(ctx); err != nil {
		h.logger.Warn("other nodes may take this one's sessions over meanwhile", "error", err)
	}
	h.logger.Info("another process takes over", "pid", next.pid)
	h.heir.Store(next)
	h.engine.Leave()
	h.quitOnce.Do(func() { close(h.quit) })
	return next.pid, nil
}

// Heir is the pid of the process of this host that takes over, or has; zero: none does.
func (h *Host) Heir() int {
	if next := h.heir.Load(); next != nil {
		return next.pid
	}
	return 0
}

// startHeir starts the new process and waits for its word.
func (h *Host) startHeir(ctx context.Context) (*heir, error) {
	ours, theirs, err := controlPair()
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }() // the new process has its own
	listener, err := copyOf(h.listener)
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	defer func() { _ = listener.Close() }() // as above
	process, err := h.cfg.Successor(append([]*os.File{theirs, listener}, h.dirs.locks...))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the new process: %w", err), ours.Close())
	}
	_ = theirs.Close() // or its end would never be seen
	next := &heir{process, process.Pid, ours}
	if err := next.awaitWord(ctx); err != nil {
		_ = process.Kill() // it may have ended
		_, _ = process.Wait()
		return nil, errors.Join(err, ours.Close())
	}
	return next, nil
}

func (n *heir) awaitWord(ctx context.Context) error {
	deadline := time.Now().Add(prepareTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := n.control.SetReadDeadline(deadline); err != nil {
		return err
	}
	line, err := bufio.NewReader(n.control).ReadString('\n')
	if err != nil || line != preparedLine {
		e := errdefs.New(errdefs.StartFailed, "the new process isn't fit to take over: this one goes on (%v)", err)
		e.Hint = "what it said is in the log of this host"
		return e
	}
	return nil
}

// handOver tells the heir that everything is its own; nil: there is none.
func (h *Host) handOver() error {
	next := h.heir.Load()
	if next == nil {
		return nil
	}
	_, err := next.control.Write([]byte(goLine))
	return errors.Join(err, next.control.Close(), next.process.Release())
}

// inheritance is what a process got from the host that it takes over from.
type inheritance struct {
	control  net.Conn
	listener net.Listener
	locks    []*os.File
}

// openInheritance makes sense of Config.Inherit; nil where there is none.
func openInheritance(cfg Config) (*inheritance, error) {
	if len(cfg.Inherit) == 0 {
		return nil, nil
	}
	if len(cfg.Inherit) != handedFiles || cfg.DataDir == "" {
		return nil, errdefs.New(errdefs.InvalidConfig, "%d files were handed over, want %d and a data directory", len(cfg.Inherit), handedFiles)
	}
	control, err := net.FileConn(cfg.Inherit[controlFile])
	if err != nil {
		return nil, fmt.Errorf("the old process's connection: %w", err)
	}
	listener, err := net.FileListener(cfg.Inherit[listenerFile])
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the old process's listener: %w", err), control.Close())
	}
	_ = cfg.Inherit[controlFile].Close() // the connections have their own
	_ = cfg.Inherit[listenerFile].Close()
	return &inheritance{control, listener, cfg.Inherit[dataLockFile:]}, nil
}

// awaitTurn says that we're ready to take over and waits until everything is ours:
// the old process says so, or has died. ctx bounds that.
func (in *inheritance) awaitTurn(ctx context.Context) error {
	if _, err := in.control.Write([]byte(preparedLine)); err != nil {
		return fmt.Errorf("the old process is gone: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = in.control.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, _ = bufio.NewReader(in.control).ReadString('\n') // an error: it has died, and what it left is ours all the same
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), in.control.Close())
	}
	return in.control.Close()
}

// inherit takes over the folders that the old process has locked.
func (d *dirs) inherit(locks []*os.File) error {
	base, err := runBase(d.data)
	if err != nil {
		return err
	}
	d.run = filepath.Join(base, d.runName())
	d.locks = locks
	for i, path := range []string{filepath.Join(d.data, lockFile), filepath.Join(d.run, lockFile)} {
		there, err := os.Stat(path)
		if err != nil {
			return dirError(d.data, err)
		}
		have, err := locks[i].Stat()
		if err != nil || !os.SameFile(there, have) {
			return errdefs.New(errdefs.InvalidConfig, "the lock that was handed over isn't that of %s", path)
		}
	}
	return d.nameInstance()
}

// pass lets go of folders that another process has taken over. Its locks are ours,
// shared: closing them is all that may be done.
func (d *dirs) pass() error {
	var errs []error
	for _, f := range d.locks {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
