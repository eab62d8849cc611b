package plugin

import (
	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// end kills the process, if it still is the one that was seen and still carries the
// token, and reports whether it did.
func (o *Orphan) end() bool {
	p, err := proc.Pin(proc.ID{PID: o.PID, Start: o.Start})
	if err != nil {
		o.Alive = false // it has ended
		return false
	}
	defer p.Close()
	if proc.Getenv(o.PID, tokenVariable) != o.Token {
		return false // it has become something else
	}
	if p.Signal(unix.SIGKILL) != nil {
		return false
	}
	o.Alive = !p.Exited(sweepWait)
	return true
}
