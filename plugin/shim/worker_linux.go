package shim

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// Child is a worker's process, whose parent the shim is.
type Child struct {
	client *Client
	worker string
	token  string
	note   string // of a survivor
	limits []Limit
	mark   Mark
	frozen bool // when its shim was found
	lame   bool // it runs, but we couldn't take hold of it

	mu      sync.Mutex   // guards the fields below
	pinned  *proc.Pinned // set once, before anybody has the Child
	left    bool         // to the next host
	sink    Sink         // nil: not adopted yet
	notes   []func(Sink)
	telling bool // somebody is handing notes to the sink
}

// born takes the process's pidfd.
func (ch *Child) born(pidfd, slot int) error {
	if slot < 0 || slot >= Slots {
		_ = unix.Close(pidfd) // nothing was written
		return fmt.Errorf("slot %d of the marks", slot)
	}
	pinned, err := proc.Adopt(pidfd)
	if err != nil {
		return err
	}
	ch.mark = ch.client.page.at(slot)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.pinned = pinned
	if ch.left {
		pinned.Close()
		return ErrGone
	}
	return nil
}

// ID names the process, as our PID namespace numbers it. One that had ended
// already when we took hold of it has no start time.
func (ch *Child) ID() proc.ID { return ch.pinned.ID() }

// Worker is the id that it was started under.
func (ch *Child) Worker() string { return ch.worker }

// Token is the one in its environment.
func (ch *Child) Token() string { return ch.token }

// Note is what its last host had the shim remember; empty: nothing, or it's ours.
func (ch *Child) Note() string { return ch.note }

// SetNote has the shim remember up to 16 KiB about the worker, for the next host,
// and returns once it does. It fails with [ErrGone]: the worker is gone too, then.
func (ch *Child) SetNote(note string) error {
	return ch.client.ask(context.Background(), request{Op: opNote, Worker: ch.worker, Note: note})
}

// Limits says what has become of those that it was spawned with; a survivor's
// aren't known, nor are those of a shim from before there were any.
func (ch *Child) Limits() []Limit { return ch.limits }

// Frozen reports whether a survivor was frozen when this host came: it was marked at the
// end of a lease, and nobody has let it go on since.
func (ch *Child) Frozen() bool { return ch.frozen }

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

// Adopt gives a survivor its sink, which hears at once how it stands with it. It's called once.
func (ch *Child) Adopt(sink Sink) {
	ch.mu.Lock()
	ch.sink = sink
	ch.mu.Unlock()
	ch.deliver()
}

func (ch *Child) adopted() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.sink != nil
}

// tell hands a note to the sink, or keeps it until there is one.
func (ch *Child) tell(note func(Sink)) {
	ch.mu.Lock()
	ch.notes = append(ch.notes, note)
	ch.mu.Unlock()
	ch.deliver()
}

// deliver hands over what there is, unless somebody else is about to.
func (ch *Child) deliver() {
	for first := true; ; first = false {
		note, sink := ch.nextNote(first)
		if note == nil {
			return
		}
		note(sink)
	}
}

func (ch *Child) nextNote(first bool) (func(Sink), Sink) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.sink == nil || first && ch.telling {
		return nil, nil
	}
	ch.telling = len(ch.notes) > 0
	if !ch.telling {
		return nil, nil
	}
	note := ch.notes[0]
	ch.notes = ch.notes[1:]
	return note, ch.sink
}

// printed passes output on. Nobody waits for that of a survivor: its log has it.
func (ch *Child) printed(stream byte, data []byte) {
	if ch.adopted() {
		ch.tell(func(s Sink) { s.Printed(stream, data) })
	}
}

func (ch *Child) exited(e Exit) {
	ch.release()
	ch.tell(func(s Sink) { s.Exited(e) })
}

// lost makes sure of the end of a worker whose shim has died.
func (ch *Child) lost(within time.Duration) {
	if ch.pinned == nil {
		return // its spawn fails
	}
	if !ch.pinned.Exited(within) {
		_ = ch.pinned.Signal(unix.SIGKILL) // pinned: nobody else can be hit
		ch.pinned.Exited(within)
	}
	ch.exited(Exit{Lost: true})
}

// leave lets go of a worker that is left to the next host.
func (ch *Child) leave() {
	ch.mu.Lock()
	ch.left = true
	ch.mu.Unlock()
	ch.release()
}

func (ch *Child) release() {
	ch.mu.Lock()
	pinned := ch.pinned
	ch.mu.Unlock()
	if pinned != nil {
		pinned.Close()
	}
}
