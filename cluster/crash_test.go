package cluster_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/host"
)

// writerDir tells a process of this test that it is a writer, and where.
const writerDir = "SNAKEPIT_TEST_WRITER_DIR"

// write is what a writer does until somebody kills it: it opens sessions, moves
// them, claims processes, and says so on standard output once each is acknowledged.
func write(dir string) error {
	ctx := context.Background()
	n, err := cluster.Open(ctx, cluster.Config{Dir: dir, MaxSessions: 1_000_000})
	if err != nil {
		return err
	}
	var said sync.Mutex
	say := func(format string, args ...any) {
		said.Lock()
		defer said.Unlock()
		_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := 0; ; i++ {
				s, err := n.OpenSession(ctx, host.Session{ID: host.SessionID(fmt.Sprintf("%s-%d-%d", n.ID()[:4]+fmt.Sprint(os.Getpid()), w, i)), Home: "w1"})
				if err != nil {
					return
				}
				say("session %s %d", s.ID, s.Epoch)
				if s, err = n.BindSession(ctx, s.ID, "w2", s.Epoch); err != nil {
					return
				}
				say("session %s %d", s.ID, s.Epoch)
				p, err := n.ClaimProcess(ctx, host.ProcessRecord{Worker: host.WorkerID(fmt.Sprintf("worker-%d", w)), Process: host.Process{PID: i}})
				if err != nil {
					return
				}
				say("process %s %d", p.Worker, p.Epoch)
			}
		})
	}
	writers.Wait()
	return n.Err()
}

// acknowledged is the highest epoch of each thing that a writer spoke of.
type acknowledged map[string]uint64

// killed lets a writer speak of some writes, kills it in the middle of the next
// ones, and notes all that it spoke of.
func (a acknowledged) killed(t *testing.T, dir string, after int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), writerDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for i := 0; ; i++ {
		if i == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may be cut short
		}
		a.note(t, line)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Success() {
		t.Error("the writer ended by itself")
	}
}

func (a acknowledged) note(t *testing.T, line string) {
	t.Helper()
	var kind, id string
	var epoch uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(line), "%s %s %d", &kind, &id, &epoch); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	a[kind+" "+id] = max(a[kind+" "+id], epoch)
}

func TestAcknowledgedWritesSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acks := acknowledged{}
	for _, after := range []int{1, 40, 300, 1000, 77} {
		acks.killed(t, dir, after)
		n := open(t, dir)
		if aside := n.SetAside(); len(aside) > 0 {
			t.Errorf("set aside: %v", aside)
		}
		found := acknowledged{}
		sessions, processes := contents(t, n)
		for _, s := range sessions {
			found["session "+string(s.ID)] = s.Epoch
		}
		for _, p := range processes {
			found["process "+string(p.Worker)] = p.Epoch
		}
		for what, epoch := range acks {
			if found[what] < epoch {
				t.Errorf("%s is at epoch %d, and %d was acknowledged", what, found[what], epoch)
			}
		}
		closed(t, n)
	}
	t.Logf("%d acknowledged things", len(acks))
}
