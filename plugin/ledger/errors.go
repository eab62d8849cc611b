package ledger

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/boltfile"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// ErrClosed says that the ledger is closed.
var ErrClosed = errors.New("the ledger is closed")

// explain gives an error of the disk its reason and a hint. What is one of ours
// passes as it is.
func explain(path string, err error) error {
	var typed *errdefs.Error
	if err == nil || errors.As(err, &typed) || errors.Is(err, ErrClosed) {
		return err
	}
	reason, hint := reasonOf(err)
	e := errdefs.Wrap(reason, err, "ledger %s", path)
	e.Hint = hint
	return e
}

func reasonOf(err error) (reason errdefs.Reason, hint string) {
	switch {
	case isDiskFull(err):
		return errdefs.DiskFull, "make room on the disk of the data directory; no worker starts before"
	case isReadOnly(err) || errors.Is(err, fs.ErrPermission):
		return errdefs.InvalidConfig, "choose a data directory that this user can write to, with --data-dir"
	case errors.Is(err, fs.ErrNotExist):
		return errdefs.InvalidConfig, "make the data directory first, or choose another with --data-dir"
	case errors.Is(err, boltfile.ErrLocked):
		return errdefs.Conflict, "stop the host that has it open, or choose another data directory with --data-dir"
	case errors.Is(err, boltfile.ErrTorn):
		return errdefs.Internal, "check the disk; the host's next start sets the file aside"
	default:
		return errdefs.Internal, "check the disk of the data directory"
	}
}

// about says which worker an error is about.
func about(id host.WorkerID, err error) error {
	var typed *errdefs.Error
	if errors.As(err, &typed) {
		return typed.At(errdefs.Where{Worker: string(id)})
	}
	return fmt.Errorf("worker %s: %w", id, err)
}
