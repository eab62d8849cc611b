//go:build integration && linux

package integration_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/integration/census"
	"github.com/snakepit-go/snakepit/integration/program"
)

// stopBound is how long an idle pool of two workers takes to stop.
const stopBound = 300 * time.Millisecond

func TestAnIdlePoolStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	adapter := p.adapter(t, "victims.py") + ":Victim"
	for range 3 {
		s := p.serve(t, adapter, "--workers", "2")
		begun := time.Now()
		if code := s.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d: %s", code, s.stderr)
		}
		took := time.Since(begun)
		t.Logf("stopped after %s", took)
		if took > slack*stopBound {
			t.Errorf("it took %s to stop; %s is stated", took, stopBound)
		}
		p.wantNothingLeft(t)
	}
}

func TestASecondSignalEndsWhatNothingElseWould(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"stuck", "brood"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			s := p.serve(t, p.adapter(t, "victims.py")+":Victim", "--workers", "2", "--set", "shutdown_timeout=10m", "--set", "stop_timeout=10m")
			sp := dial(t, s)
			ended := make(chan error, 1)
			go func() { ended <- sp.Call(t.Context(), tool, nil, nil) }()
			p.runner(t, tool, p.workers(t, 2))
			if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the host isn't draining", func() bool { return sp.Call(t.Context(), "pid", nil, nil) != nil })
			begun := time.Now()
			if code := s.stop(t, syscall.SIGTERM); code != 1 {
				t.Errorf("exit code %d, want 1: %s", code, s.stderr)
			}
			took := time.Since(begun)
			t.Logf("ended after %s", took)
			if took > slack*killBound {
				t.Errorf("it took %s to end; %s is stated", took, killBound)
			}
			if err := <-ended; err == nil {
				t.Error("the call that was cut off succeeded")
			}
			p.wantNothingLeft(t)
		})
	}
}

// stages are the facts by which the steps of a start are told from outside.
func stages() map[string]func(p *place, all []census.Entry) bool {
	keepers := func(name string) func(*place, []census.Entry) bool {
		return func(_ *place, all []census.Entry) bool {
			return count(all, func(e census.Entry) bool { return strings.HasPrefix(e.Command, name+" ") }) > 0
		}
	}
	return map[string]func(p *place, all []census.Entry) bool{
		"executed": func(_ *place, all []census.Entry) bool { return len(all) > 0 },
		"locked": func(p *place, _ []census.Entry) bool {
			_, err := os.Stat(filepath.Join(p.dir, "state", "snakepit", "lock"))
			return err == nil
		},
		"guard": keepers("snakepit-guard"),
		"shim":  keepers("snakepit-shim"),
		"worker": func(_ *place, all []census.Entry) bool {
			return count(all, func(e census.Entry) bool { return e.Token != "" }) > 0
		},
		"setup": func(p *place, _ []census.Entry) bool {
			found, err := filepath.Glob(filepath.Join(p.dir, "begun-setup-*"))
			return err == nil && len(found) > 0
		},
	}
}

func TestASignalDuringTheStartLeavesNothing(t *testing.T) {
	t.Parallel()
	for stage, reached := range stages() {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			t.Run(stage+" "+unix.SignalName(sig), func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				cmd, stderr := p.starting(t, p.adapter(t, "victims.py")+":Slow")
				eventually(t, "the start doesn't get there", func() bool { return reached(p, p.census(t)) })
				begun := time.Now()
				if err := cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait() // the exit code says it
				p.wantGoneWithin(t, slack*killBound)
				t.Logf("nothing left after %s, exit code %d, %s", time.Since(begun), cmd.ProcessState.ExitCode(), stderr)
				if sig == syscall.SIGKILL {
					return // its folder is for the next start
				}
				// Before it listens for signals the kernel's own answer counts.
				if code := cmd.ProcessState.ExitCode(); code != 0 && stage != "executed" && stage != "locked" {
					t.Errorf("exit code %d: %s", code, stderr)
				}
				if strings.Contains(stderr.String(), "[ERROR]") {
					t.Errorf("nothing went wrong, and yet it says: %s", stderr)
				}
				p.wantNothingLeft(t)
			})
		}
	}
}

// starting begins a host, and doesn't wait for it.
func (p *place) starting(t *testing.T, adapter string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), commandTimeout)
	t.Cleanup(cancel)
	cmd := p.command(ctx, "serve", "--adapter", adapter, "--workers", "2", "--set", "python="+program.Python(t), "--set", "orphan_grace=0")
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

// wantGoneWithin waits until no process of the place is left.
func (p *place) wantGoneWithin(t *testing.T, limit time.Duration) {
	t.Helper()
	held := hold(t, entryIDs(p.census(t))...)
	held.Ended(limit)
	for _, e := range p.census(t) {
		t.Errorf("after %s: %s", limit, e)
	}
}

// wantNothingLeft looks for processes, sockets, and cgroups.
func (p *place) wantNothingLeft(t *testing.T) {
	t.Helper()
	for _, e := range p.census(t) {
		t.Errorf("left: %s", e)
	}
	p.wantNoFolders(t)
}
