package hardware

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"time"
)

const (
	// patience is how long one of the drivers' programs may take. With a driver that
	// is stuck they hang for ever.
	patience = 5 * time.Second
	// maxOutput is what is read of what one prints.
	maxOutput = 1 << 20
)

var (
	errMissing = errors.New("it isn't on PATH")
	errSlow    = errors.New("it didn't answer in time")
)

// output runs a program and gives what it prints on standard output. It returns in
// time even when the program can't be killed.
func output(ctx context.Context, name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errMissing
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var out bounded
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // one of the few that this package names
	cmd.Stdout, cmd.WaitDelay = &out, time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	time.AfterFunc(0, func() { ended <- cmd.Wait() }) // in state D it ends when it can
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case <-ended:
		case <-time.After(2 * cmd.WaitDelay):
		}
		return "", errSlow
	}
	return out.buf.String(), err
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ buf bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if room := maxOutput - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}
