//go:build linux

package plugin

import (
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/snakepit-go/snakepit/plugin/shim"
)

// stuckLog is a log that takes nothing until it's let go.
type stuckLog struct{ letGo chan struct{} }

// Write implements io.Writer.
func (l stuckLog) Write(p []byte) (int, error) {
	<-l.letGo
	return len(p), nil
}

// TestNewsOfOneWorkerDoNotWaitForALog: one goroutine has the news of all workers.
func TestNewsOfOneWorkerDoNotWaitForALog(t *testing.T) {
	t.Parallel()
	l := NewLauncher(Config{Dir: t.TempDir()})
	log := stuckLog{make(chan struct{})}
	p := newProcess("test", exec.Command("/bin/true"), &workerLog{logger: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug})}, l)
	p.listen()
	told := make(chan struct{})
	go func() {
		defer close(told)
		s := shimSink{p}
		for range 2 * maxPrints {
			s.Printed(stderrStream, []byte("line\n"))
		}
		s.Stopped(true)
		s.Frozen(true)
		s.Frozen(false)
		s.Exited(shim.Exit{Left: 1})
	}()
	select {
	case <-told:
	case <-time.After(patience):
		t.Error("the news wait for the log")
	}
	close(log.letGo)
	<-told
	l.wg.Wait()
}

// TestAWorkerThatWasLeftIsNotKilledAnyMore: it's the next host's to judge whether
// it hangs.
func TestAWorkerThatWasLeftIsNotKilledAnyMore(t *testing.T) {
	t.Parallel()
	onEachNursery(t, func(t *testing.T, l *Launcher) {
		t.Helper()
		l.cfg.ProbeTimeout = time.Millisecond
		runLauncher(t, l)
		p := shell(t, l, "sleep 1000")
		if err := syscall.Kill(p.identity().PID, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		p.leave()
		p.stopped() // news that was on its way
		if p.hung != nil && p.hung.Stop() {
			t.Error("it's to be killed for having been stopped")
		}
		if err := p.Kill(t.Context()); err != nil || isClosed(p.exited) {
			t.Errorf("Kill: %v", err)
		}
	})
}
