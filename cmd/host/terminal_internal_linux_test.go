package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// screen is what a pseudo-terminal has been sent.
type screen struct {
	master, tty *os.File

	mu   sync.Mutex // guards all below
	text string
	more chan struct{} // closed and renewed when text grows
}

func openScreen(t *testing.T) *screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	s := &screen{master: master, tty: tty, more: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(s.read)
	t.Cleanup(func() {
		_ = tty.Close()
		_ = master.Close()
		reading.Wait()
	})
	s.resize(t, 120, 20)
	return s
}

func (s *screen) read() {
	var buf [4096]byte
	for {
		n, err := s.master.Read(buf[:])
		s.mu.Lock()
		s.text += string(buf[:n])
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) resize(t *testing.T, width, height uint16) {
	t.Helper()
	if err := pty.Setsize(s.master, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		t.Fatal(err)
	}
}

func (s *screen) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// await waits until the newest frame holds what it should, and returns it.
func (s *screen) await(t *testing.T, what string, holds func(frame string) bool) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		text, more := s.text, s.more
		s.mu.Unlock()
		if frames := strings.Split(text, "\x1b[H"); holds(frames[len(frames)-1]) {
			return frames[len(frames)-1]
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no %s on the screen:\n%.4000q", what, text[max(len(text)-2000, 0):])
		}
	}
}

func (s *screen) awaitText(t *testing.T, what string) {
	t.Helper()
	s.await(t, what, func(frame string) bool { return strings.Contains(frame, what) && strings.HasSuffix(frame, "\x1b[J") })
}

// topOn runs `top` on a screen.
func topOn(ctx context.Context, t *testing.T, s *screen, args ...string) (ended <-chan int) {
	t.Helper()
	p := newProgram(s.tty, s.tty, s.tty)
	p.getenv = func(name string) string {
		return map[string]string{"TERM": "xterm", "LANG": "C.UTF-8", "HOME": "/"}[name]
	}
	p.dial = func(context.Context, string) (engine, error) {
		return &fakeHost{status: fixedStatus(), workers: fixedWorkers()}, nil
	}
	out := make(chan int, 1)
	var running sync.WaitGroup
	running.Go(func() { out <- p.run(ctx, append([]string{"top", "--host", "/fake.sock"}, args...)) })
	t.Cleanup(running.Wait)
	return out
}

func (s *screen) state(t *testing.T) term.State {
	t.Helper()
	st, err := term.GetState(int(s.tty.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return *st
}

// left checks that the terminal is as it was.
func (s *screen) left(t *testing.T, before term.State, ended <-chan int) {
	t.Helper()
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("top goes on")
	}
	s.await(t, "end of the screen", func(frame string) bool { return strings.HasSuffix(frame, giveScreen) })
	if after := s.state(t); after != before {
		t.Errorf("the terminal's state was %+v, and is %+v", before, after)
	}
}

func TestKeysSwitchTheViewAndQuitGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	before := s.state(t)
	ended := topOn(t.Context(), t, s, "--interval", "100ms")
	s.awaitText(t, "CALLS/S")
	if s.state(t) == before {
		t.Error("the keys aren't read one by one")
	}
	s.press(t, "w")
	s.awaitText(t, "default-1")
	s.press(t, "x\x1b[Ap")
	s.awaitText(t, "RUN P99")
	s.press(t, "q")
	s.left(t, before, ended)
}

func TestSignalGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	before := s.state(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := topOn(ctx, t, s)
	s.awaitText(t, "RUN P99")
	cancel()
	s.left(t, before, ended)
}

func TestControlCQuits(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	before := s.state(t)
	ended := topOn(t.Context(), t, s)
	s.awaitText(t, "RUN P99")
	s.press(t, "\x03")
	s.left(t, before, ended)
}

func TestCountEndsTheScreenToo(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	before := s.state(t)
	s.left(t, before, topOn(t.Context(), t, s, "--interval", "100ms", "--count", "2"))
}

func TestNewSizeIsDrawn(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	before := s.state(t)
	ended := topOn(t.Context(), t, s, "--interval", "100ms")
	s.awaitText(t, "BREAKER")
	s.resize(t, 30, 4)
	frame := s.await(t, "smaller frame", func(frame string) bool {
		return strings.HasSuffix(frame, "\x1b[J") && !strings.Contains(frame, "BREAKER")
	})
	for line := range strings.SplitSeq(strings.TrimSuffix(frame, "\x1b[J"), "\r\n") {
		if n := len([]rune(strings.TrimSuffix(line, "\x1b[K"))); n > 30 {
			t.Errorf("%q has %d cells", line, n)
		}
	}
	s.press(t, "q")
	s.left(t, before, ended)
}

func TestDumbTerminalIsntDrawnOn(t *testing.T) {
	t.Parallel()
	s := openScreen(t)
	p := newProgram(s.tty, s.tty, s.tty)
	p.getenv = func(string) string { return "dumb" }
	if p.terminal() != nil {
		t.Error("it's drawn on")
	}
}
