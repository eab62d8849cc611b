package ledger_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
)

// crashLedger names the ledger that this program, as a child, writes until it's killed.
const crashLedger = "SNAKEPIT_TEST_CRASH_LEDGER"

// writeUntilKilled prints a line for each write once it is acknowledged.
func writeUntilKilled(path string) {
	l, err := ledger.Open(path, ledger.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("w-%d-%d-%d", l.Incarnation(), g, i)
				if err := oneLife(l, id, i%2 == 0); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
			}
		})
	}
	wg.Wait() // only when writing fails
}

func oneLife(l *ledger.Ledger, id string, ends bool) error {
	say := func(what string, err error) error {
		if err == nil {
			_, err = os.Stdout.WriteString(what + " " + id + "\n") // one write: no line is torn
		}
		return err
	}
	if err := say("intended", l.Intend(intent(id))); err != nil {
		return err
	}
	if err := say("identified", l.Identify(host.WorkerID(id), process(4711))); err != nil || !ends {
		return err
	}
	return say("erased", l.Erase(host.WorkerID(id)))
}

func TestNoAcknowledgedWriteIsLost(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	dice := rand.New(rand.NewPCG(3, 4))
	said := map[host.WorkerID]string{}
	for round := range 30 {
		killAfter(t, path, dice.IntN(40), said)
		records, err := ledger.Read(path)
		must(t, err)
		compare(t, round, records, said)
	}
	l := open(t, path)
	if l.SetAside() != "" || l.Incarnation() != 31 {
		t.Errorf("after 30 kills: incarnation %d, set aside %q", l.Incarnation(), l.SetAside())
	}
	t.Logf("30 kills, %d workers acknowledged", len(said))
}

// killAfter runs a child until it has acknowledged so many writes, kills it in the
// midst of the next, and reads what it had said until then.
func killAfter(t *testing.T, path string, writes int, said map[host.WorkerID]string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), crashLedger+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		what, id, _ := strings.Cut(lines.Text(), " ")
		said[host.WorkerID(id)] = what
		if n == writes {
			must(t, child.Process.Kill())
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child wasn't killed: %v", err)
	}
}

// compare checks the records against the acknowledgements. A write that was under
// way may be there or not, so a record may be one step ahead.
func compare(t *testing.T, round int, records []ledger.Record, said map[host.WorkerID]string) {
	t.Helper()
	found := map[host.WorkerID]ledger.Record{}
	for _, r := range records {
		found[r.Worker] = r
		if r.Err != nil || r.Token != intent("").Token {
			t.Errorf("round %d: %+v", round, r)
		}
	}
	for id, what := range said {
		r, there := found[id]
		switch {
		case what == "erased" && there:
			t.Errorf("round %d: %s is back", round, id)
		case what == "intended" && !there:
			t.Errorf("round %d: %s is lost", round, id)
		case what == "identified" && !there && !even(id):
			t.Errorf("round %d: %s is lost", round, id)
		case what == "identified" && there && r.Process != process(4711):
			t.Errorf("round %d: %s lost its process", round, id)
		}
	}
}

// even reports whether a worker is one of those that are erased next.
func even(id host.WorkerID) bool { return strings.ContainsRune("02468", rune(id[len(id)-1])) }
