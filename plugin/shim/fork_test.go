//go:build linux

package shim_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// forkserver is one in Python: it forks twice for each request, and hands what is
// left of it to a snippet. Of its descriptors, gate is the worker's.
const forkserver = `
import ctypes, os, socket, sys, time
door = socket.socket(fileno=3)
shim = os.getppid()
while True:
    data, fds, _, _ = socket.recv_fds(door, 16, 5)
    if not data:
        break
    gate = socket.socket(fileno=fds[0])
    if os.fork() == 0:
        if os.fork() == 0:
            while os.getppid() != shim:
                pass
            %s
        os._exit(0)
    os.wait()
    gate.close()
    for fd in fds[1:]:
        os.close(fd)
`

// honest is what a worker does that is as it should be: it prints its order, and waits.
const honest = `
            os.setsid()
            ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
            os.dup2(fds[2], 1)
            gate.sendall(b"h")
            size, _, body = gate.recv(65536).partition(b"\n")
            print(size.decode(), body.decode().split("\0"), flush=True)
            time.sleep(600)
`

// serveForks starts a forkserver whose workers run a snippet.
func serveForks(t *testing.T, p *pair, snippet string) *shim.Child {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	source := strings.Replace(forkserver, "%s", strings.TrimSpace(snippet), 1)
	ch, err := p.Spawn(shim.Spawn{
		Worker: "forkserver", Token: "of-forkserver", Path: python, Args: []string{python, "-c", source},
		Env: []string{"SNAKEPIT_WORKER_TOKEN=of-forkserver"}, Dir: "/", Forks: true,
	}, newSink())
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// forked is a worker to be forked; what it would execute isn't.
func forked() shim.Spawn {
	return shim.Spawn{
		Worker: "w", Token: "of-w", Path: "/bin/false", Args: []string{"false"}, Env: []string{"A=1", "B=2"},
		Dir: "/tmp", From: "forkserver",
	}
}

func TestForkedWorkerIsKeptLikeAnExecutedOne(t *testing.T) {
	t.Parallel()
	for name, cgroups := range map[string]bool{"with cgroups": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Cgroups = cgroups
			p := start(t, cfg)
			serveForks(t, p, honest)
			s := newSink()
			ch, err := p.Spawn(forked(), s)
			if err != nil {
				t.Fatal(err)
			}
			s.await(t, "12 ['/tmp', 'A=1', 'B=2']")
			stat, err := proc.Read(ch.ID().PID)
			if err != nil || stat.ID != ch.ID() || stat.PPID != p.shimPID(t) {
				t.Errorf("%+v, %v; want %+v, a child of the shim", stat, err, ch.ID())
			}
			ch.Signal(unix.SIGSTOP)
			s.await(t, "stopped true")
			ch.Kill()
			if status := s.awaitExit(t); !status.Signaled() || status.Signal() != unix.SIGKILL {
				t.Errorf("exit %+v, want by SIGKILL", s.exit)
			}
		})
	}
}

func TestForkThatGoesWrongIsAnErrorAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ snippet, want string }{
		"it ends at once":       {"os._exit(3)", "didn't fork"},
		"it leads no session":   {"gate.sendall(b'h'); time.sleep(600)", "leads a session"},
		"it's no child of ours": {"os.setsid()\n            if os.fork() == 0:\n                os.setsid(); gate.sendall(b'h')\n            time.sleep(600)", "isn't a child of ours"},
		"it says why":           {"gate.sendall(b'it can\\'t fork: no memory'); os._exit(0)", "no memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, config(t))
			serveForks(t, p, c.snippet)
			if _, err := p.Spawn(forked(), newSink()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Spawn = %v, want %q", err, c.want)
			}
		})
	}
}

// TestWorkerThatEndsAfterItsHelloIsNoWorkerOrOneThatHasEnded: which, is a matter of who is quicker.
func TestWorkerThatEndsAfterItsHelloIsNoWorkerOrOneThatHasEnded(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	serveForks(t, p, "os.setsid(); gate.sendall(b'h'); os._exit(3)")
	s := newSink()
	_, err := p.Spawn(forked(), s)
	if err != nil {
		t.Logf("Spawn = %v", err)
		return
	}
	if status := s.awaitExit(t); status.ExitStatus() != 3 {
		t.Errorf("it ended with %v, want 3", status)
	}
}

// TestWorkerThatComesWhenItsHostHasGoneIsKilled: also one that doesn't look at its gate.
func TestWorkerThatComesWhenItsHostHasGoneIsKilled(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	p := start(t, cfg)
	fifo, name := filepath.Join(cfg.Dir, "go"), filepath.Join(cfg.Dir, "pid")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	serveForks(t, p, fmt.Sprintf(`
            os.setsid()
            open(%[1]q + "~", "w").write(str(os.getpid()))
            os.rename(%[1]q + "~", %[1]q)
            open(%[2]q).read()
            gate.sendall(b"h")
            time.sleep(600)
`, name, fifo))
	failed := make(chan error, 1)
	go func() {
		_, err := p.Spawn(forked(), newSink())
		failed <- err
	}()
	var pid int
	until(t, "the worker is forked", func() bool {
		text, err := os.ReadFile(name)
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err == nil
	})
	worker := identify(t, pid)
	if err := p.Detach(patience); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("Spawn succeeded, and the host had left")
	}
	next := attach(t, p.Socket(), cfg)
	if err := os.WriteFile(fifo, nil, 0); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, worker)
	next.finish(t)
}

func TestForkWithoutAForkserverFailsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	if _, err := p.Spawn(forked(), newSink()); err == nil || !strings.Contains(err.Error(), "no forkserver") {
		t.Errorf("Spawn = %v", err)
	}
}

// TestDeadForkserverFailsWhoWaitsForIt: and the shim's loop waits for nobody meanwhile.
func TestDeadForkserverFailsWhoWaitsForIt(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	server, err := p.Spawn(shim.Spawn{
		Worker: "forkserver", Token: "t", Path: "/bin/sleep", Args: []string{"sleep", "600"}, Dir: "/", Forks: true,
	}, newSink())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := p.Spawn(forked(), newSink())
		failed <- err
	}()
	begun := time.Now()
	s := newSink()
	ch, err := p.Spawn(shim.Spawn{Worker: "other", Token: "o", Path: "/bin/sleep", Args: []string{"sleep", "600"}, Dir: "/"}, s)
	if err != nil {
		t.Fatal(err)
	}
	ch.Kill()
	s.awaitExit(t)
	t.Logf("another worker came and went in %s", time.Since(begun))
	server.Kill()
	if err := <-failed; err == nil || errors.Is(err, shim.ErrGone) {
		t.Errorf("Spawn = %v", err)
	}
	if _, err := p.Spawn(forked(), newSink()); err == nil || strings.Contains(err.Error(), "there already") {
		t.Errorf("a second Spawn = %v, want one that has the id", err)
	}
}
