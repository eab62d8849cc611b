//go:build linux

package shim_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// hostVariable makes the test's binary a host that is told what to do, so that it
// can be stopped and killed.
const hostVariable = "SNAKEPIT_SHIM_TEST_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(hostVariable) != "" {
		if err := beHost(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Under the race detector every process of ours would wait a second at its end.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// order is one line of a host's input; it answers each with a line.
type order struct {
	Start    *shim.Config
	Spawn    *shim.Spawn
	Enter    string // a worker to mark
	Deadline *int64
	Detach   bool // and live on
}

// answer is one line of a host's output: to an order, or what a worker printed.
type answer struct {
	Error   string
	Socket  string
	PID     int // the worker's
	Printed string
}

type told struct {
	mu  *sync.Mutex
	out *json.Encoder
}

func (s told) say(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(a) // the test sees that nothing comes
}

func (s told) Printed(_ byte, data []byte) { s.say(answer{Printed: string(data)}) }
func (s told) Stopped(bool)                {}
func (s told) Frozen(on bool)              { s.say(answer{Printed: fmt.Sprintf("frozen %v\n", on)}) }
func (s told) Exited(shim.Exit)            { s.say(answer{Printed: "exited\n"}) }

// beHost follows orders until its input ends, and ends the pair then.
func beHost() error {
	var c *shim.Client
	workers := map[string]*shim.Child{}
	s := told{new(sync.Mutex), json.NewEncoder(os.Stdout)}
	for in := json.NewDecoder(os.Stdin); ; {
		var o order
		if err := in.Decode(&o); err != nil {
			return c.End()
		}
		a, err := answer{}, error(nil)
		switch {
		case o.Start != nil:
			if c, _, err = shim.Start(*o.Start); err == nil {
				a.Socket = c.Socket()
				go c.Run() //nolint:errcheck // it ends with the process
			}
		case o.Spawn != nil:
			var ch *shim.Child
			if ch, err = c.Spawn(*o.Spawn, s); err == nil {
				workers[o.Spawn.Worker] = ch
				a.PID = ch.ID().PID
			}
		case o.Enter != "":
			if !workers[o.Enter].Mark().Enter() {
				a.Error = "refused"
			}
		case o.Deadline != nil:
			err = c.SetLease(*o.Deadline)
		case o.Detach:
			err = c.Detach(patience)
			<-c.Done()
		}
		if err != nil {
			a.Error = err.Error()
		}
		s.say(a)
	}
}

// hostProcess is a host in a process of its own, and its pair.
type hostProcess struct {
	cfg         shim.Config
	id          proc.ID
	guard, shim proc.ID
	socket      string
	in          *json.Encoder
	answers     chan answer

	mu      sync.Mutex
	printed strings.Builder
	changed chan struct{}
}

// startHost starts one. It's killed at the test's end if it's still there.
func startHost(t *testing.T, cfg shim.Config) *hostProcess {
	t.Helper()
	cfg.Errors = nil
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), hostVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &hostProcess{cfg: cfg, in: json.NewEncoder(in), answers: make(chan answer, 16), changed: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	reading.Go(func() { h.read(bufio.NewReader(out)) })
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most tests have
		in.Close()
		reading.Wait()
		_ = cmd.Wait() // as above
	})
	h.id = identify(t, cmd.Process.Pid)
	h.socket = h.tell(t, order{Start: &cfg}).Socket
	h.guard = identify(t, guardOf(t, cfg.Dir))
	h.shim = identify(t, (&pair{guard: h.guard.PID}).shimPID(t))
	t.Cleanup(func() {
		for _, id := range []proc.ID{h.guard, h.shim} { // neither keeps the folder, whatever became of the test
			proc.Signal(id, unix.SIGCONT)
		}
		proc.Kill(h.id)
		proc.Kill(h.guard)
		awaitGone(t, h.id, h.guard, h.shim)
	})
	return h
}

func (h *hostProcess) read(out *bufio.Reader) {
	defer close(h.answers)
	for in := json.NewDecoder(out); ; {
		var a answer
		if in.Decode(&a) != nil {
			return
		}
		if a.Printed == "" {
			h.answers <- a
			continue
		}
		h.mu.Lock()
		h.printed.WriteString(a.Printed)
		h.mu.Unlock()
		select {
		case h.changed <- struct{}{}:
		default:
		}
	}
}

func (h *hostProcess) tell(t *testing.T, o order) answer {
	t.Helper()
	if err := h.in.Encode(o); err != nil {
		t.Fatal(err)
	}
	select {
	case a, ok := <-h.answers:
		if !ok || a.Error != "" {
			t.Fatalf("the host answers %+v, %v", a, ok)
		}
		return a
	case <-time.After(patience):
		t.Fatal("the host doesn't answer")
	}
	return answer{}
}

func (h *hostProcess) await(t *testing.T, want string) {
	t.Helper()
	for deadline := time.After(patience); ; {
		h.mu.Lock()
		text := h.printed.String()
		h.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-h.changed:
		case <-deadline:
			t.Fatalf("no %q in %q", want, text)
		}
	}
}

func (h *hostProcess) signal(t *testing.T, sig unix.Signal) {
	t.Helper()
	if !proc.Signal(h.id, sig) {
		t.Fatal("the host is gone")
	}
}

// until waits for a fact.
func until(t *testing.T, what string, fact func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !fact() {
		if time.Since(begun) > patience {
			t.Fatalf("it never happens that %s", what)
		}
		<-time.After(time.Millisecond) // the processes need the CPU more
	}
	return time.Since(begun)
}

// bounded logs how long something took beside what is stated, and fails beyond ten
// times that and a second.
func bounded(t *testing.T, what string, took, stated time.Duration) {
	t.Helper()
	t.Logf("%s after %s, stated: %s", what, took, stated)
	if took > max(10*stated, time.Second) && !raceEnabled {
		t.Errorf("%s after %s", what, took)
	}
}
