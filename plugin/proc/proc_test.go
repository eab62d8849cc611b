//go:build linux

package proc_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// patience is far above what anything here takes.
const patience = 20 * time.Second

// cat starts a process that ends with the test, when its input does.
func cat(t *testing.T, env ...string) proc.ID {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cat")
	cmd.Env = env
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
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // some tests have killed it
	})
	if _, err := in.Write([]byte("up\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	id, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestMemoryThatCannotBeReadIsZero(t *testing.T) {
	t.Parallel()
	for _, pid := range []int{0, -1, 1 << 30} {
		if n := proc.ResidentBytes(pid); n != 0 {
			t.Errorf("process %d, which isn't there, has %d bytes", pid, n)
		}
	}
}

func TestAnotherStartTimeIsAStranger(t *testing.T) {
	t.Parallel()
	id := cat(t)
	stranger := proc.ID{PID: id.PID, Start: id.Start + 1}
	if p, err := proc.Pin(stranger); !errors.Is(err, proc.ErrGone) {
		t.Errorf("Pin = %v, %v; want ErrGone", p, err)
	}
	if proc.Kill(stranger) || proc.Signal(stranger, unix.SIGSTOP) {
		t.Error("a stranger was signalled")
	}
	p, err := proc.Pin(id)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if s, err := proc.Read(id.PID); err != nil || s.Stopped() || s.Dead() || p.Exited(0) {
		t.Errorf("the process is %+v, %v", s, err)
	}
}

func TestTheKilledIsGone(t *testing.T) {
	t.Parallel()
	id := cat(t)
	p, err := proc.Pin(id)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if !proc.Kill(id) || !p.Exited(patience) {
		t.Fatal("it lives on")
	}
	if _, err := proc.Pin(id); !errors.Is(err, proc.ErrGone) { // it isn't reaped yet
		t.Errorf("Pin = %v, want ErrGone", err)
	}
}

func TestClosingWhileOthersSignalHitsNobodyElse(t *testing.T) {
	t.Parallel()
	id := cat(t)
	for range 200 {
		p, err := proc.Pin(id)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(p.Close)
			all.Go(func() { _ = p.Signal(0) }) // closed or not: it may be either
			all.Go(func() { p.Exited(0) })
		}
		all.Wait()
		if err := p.Signal(0); !errors.Is(err, proc.ErrGone) {
			t.Fatalf("Signal after Close = %v", err)
		}
	}
}

func TestAPidfdTellsItsProcess(t *testing.T) {
	t.Parallel()
	id := cat(t)
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Adopt(fd)
	if err != nil || p.ID() != id {
		t.Fatalf("Adopt = %+v, %v; want %+v", p.ID(), err, id)
	}
	p.Close()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dup, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Adopt(dup); err == nil {
		t.Error("a file was adopted as a process")
	}
}

func TestBelowEndsInARing(t *testing.T) {
	t.Parallel()
	table := func(pairs ...int) (all []proc.Stat) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, proc.Stat{ID: proc.ID{PID: pairs[i]}, PPID: pairs[i+1]})
		}
		return all
	}
	for name, tc := range map[string]struct {
		all  []proc.Stat
		want []int
	}{
		"nobody":                    {table(2, 1), nil},
		"a tree, parents first":     {table(14, 12, 13, 11, 12, 11, 11, 10, 20, 1), []int{11, 13, 12, 14}},
		"a ring that root is in":    {table(10, 12, 11, 10, 12, 11), []int{11, 12}},
		"a ring below":              {table(11, 10, 12, 11, 11, 12), []int{11, 12}},
		"one that is its own":       {table(10, 10, 11, 10), []int{11}},
		"a ring that root isn't in": {table(20, 21, 21, 20, 11, 10), []int{11}},
	} {
		var got []int
		for _, s := range proc.Below(10, tc.all) {
			got = append(got, s.PID)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestTheEnvironmentIsTheOneAtTheStart(t *testing.T) {
	t.Parallel()
	id := cat(t, "A=1", "AB=two words=2", "EMPTY=")
	for name, want := range map[string]string{"A": "1", "AB": "two words=2", "EMPTY": "", "B": "", "": ""} {
		if got := proc.Getenv(id.PID, name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if got := proc.Getenv(-1, "A"); got != "" {
		t.Errorf("nobody's A is %q", got)
	}
	if got := proc.CommandLine(id.PID); got != "cat" {
		t.Errorf("command line %q", got)
	}
}

func TestAllHasUs(t *testing.T) {
	t.Parallel()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(s proc.Stat) bool { return s.PID == os.Getpid() })
	if at < 0 || all[at].PPID != os.Getppid() || all[at].Threads < 2 || all[at].Dead() {
		t.Errorf("we are entry %d of %v", at, all)
	}
	if proc.ResidentBytes(os.Getpid()) < 1<<20 || proc.BootID() == "" || proc.PIDNamespace() == "" {
		t.Error("we have no memory, no boot or no namespace")
	}
}

func TestGoneIsWhoVerifiablyEnded(t *testing.T) {
	t.Parallel()
	alive, killed := cat(t), cat(t)
	p, err := proc.Pin(killed)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Signal(unix.SIGKILL); err != nil || !p.Exited(patience) {
		t.Fatalf("it can't be killed: %v", err)
	}
	for name, tt := range map[string]struct {
		id   proc.ID
		want bool
	}{
		"it lives":                   {alive, false},
		"its pid was used again":     {proc.ID{PID: alive.PID, Start: alive.Start - 1}, true},
		"it only waits to be reaped": {killed, true},
		"nobody has its pid":         {proc.ID{PID: 1 << 30, Start: 1}, true},
		"it isn't known":             {proc.ID{}, false},
	} {
		if got := proc.Gone(tt.id); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
