package plugin

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// end kills the process, if it still is the one that was seen, and still carries the
// token that it was found by, and reports whether it did.
func (o *Orphan) end() bool {
	p, err := proc.Pin(proc.ID{PID: o.PID, Start: o.Start})
	if err != nil {
		o.Alive = !errors.Is(err, proc.ErrGone)
		return false
	}
	defer p.Close()
	if !o.recorded && proc.Getenv(o.PID, tokenVariable) != o.Token {
		return false // it has become something else
	}
	if p.Signal(unix.SIGKILL) != nil {
		return false
	}
	o.Alive = !p.Exited(sweepWait)
	return true
}
