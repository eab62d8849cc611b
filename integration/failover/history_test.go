//go:build integration && linux

package failover_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// run is one run of the tool, as the worker wrote it down.
type run struct {
	session    string
	epoch      uint64
	n          int
	node       string
	pid        int
	begin, end int64 // end zero: the worker didn't live to write it
}

// readBook gives the runs of each session in the order in which they began.
func readBook(t *testing.T, path string) map[string][]*run {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	all := map[string][]*run{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var at int64
		var kind string
		var r run
		if _, err := fmt.Sscan(lines.Text(), &at, &kind, &r.session, &r.epoch, &r.n, &r.node, &r.pid); err != nil {
			t.Fatalf("the book says %q: %v", lines.Text(), err)
		}
		if kind == "begin" {
			r.begin = at
			all[r.session] = append(all[r.session], &r)
			continue
		}
		for _, known := range slices.Backward(all[r.session]) {
			if known.pid == r.pid && known.n == r.n && known.end == 0 {
				known.end = at
				break
			}
		}
	}
	for _, runs := range all {
		slices.SortStableFunc(runs, func(a, b *run) int { return int(a.begin - b.begin) })
	}
	return all
}

// checkBook looks for what must never be: two owners of one session at once, or an
// epoch that shrinks.
func checkBook(t *testing.T, books map[string][]*run) {
	t.Helper()
	for session, runs := range books {
		var before *run
		for _, r := range runs {
			if r.epoch == 0 {
				t.Errorf("session %s ran without an epoch on %s", session, r.node)
			}
			if before != nil && r.epoch < before.epoch {
				t.Errorf("session %s: %s began under epoch %d after %s had begun under %d", session, r.node, r.epoch, before.node, before.epoch)
			}
			if before != nil && r.epoch > before.epoch && before.end > r.begin {
				t.Errorf("session %s: %s ran under epoch %d until %d, and %s began under %d at %d", session, before.node, before.epoch, before.end, r.node, r.epoch, r.begin)
			}
			if before == nil || r.epoch > before.epoch || r.end > before.end {
				before = r
			}
		}
	}
}

// checkAnswers looks for acknowledged numbers that were lost: each add says which
// number was there before, and that's the last acknowledged one, or a later one that
// may have run.
func checkAnswers(t *testing.T, answers []answer) {
	t.Helper()
	acknowledged := map[string]int{}
	for _, a := range answers {
		if a.Session == "" || a.Reason != "" {
			continue
		}
		if last := acknowledged[a.Session]; a.Result.Before < last {
			t.Errorf("session %s: %d was acknowledged, and the session's state says %d", a.Session, last, a.Result.Before)
		}
		acknowledged[a.Session] = max(acknowledged[a.Session], a.N)
	}
}

// outage is how long each session was without an answer around a moment: from the
// moment until the first success that began or ended after it.
func outage(answers []answer, from int64) (all []time.Duration, unanswered []string) {
	first := map[string]int64{}
	known := map[string]bool{}
	for _, a := range answers {
		if a.Session == "" {
			continue
		}
		known[a.Session] = true
		if a.Reason == "" && a.End > from && (first[a.Session] == 0 || a.End < first[a.Session]) {
			first[a.Session] = a.End
		}
	}
	for _, session := range slices.Sorted(maps.Keys(known)) {
		if first[session] == 0 {
			unanswered = append(unanswered, session)
			continue
		}
		all = append(all, time.Duration(first[session]-from))
	}
	slices.Sort(all)
	return all, unanswered
}

// of keeps the sessions whose last answer before a moment came from a node.
func of(answers []answer, node string, from int64) []answer {
	at := map[string]string{}
	for _, a := range answers {
		if a.Reason == "" && a.End <= from {
			at[a.Session] = a.Result.Node
		}
	}
	var kept []answer
	for _, a := range answers {
		if a.Session != "" && at[a.Session] == node {
			kept = append(kept, a)
		}
	}
	return kept
}

// remembered counts the sessions that went on in the process that they had been in before
// a moment, with what it had in memory; those that were restored in another one; and
// those of which nothing is known, since no call of theirs has found their home free.
func remembered(answers []answer, from int64) (intact, restored, unknown int) {
	before, after := map[string]added{}, map[string]added{}
	for _, a := range answers {
		switch {
		case a.Reason != "" || !a.Result.Home:
		case a.End <= from:
			before[a.Session] = a.Result
		default:
			after[a.Session] = a.Result
		}
	}
	for session, was := range before {
		switch is, known := after[session]; {
		case !known:
			unknown++
		case is.PID == was.PID && is.Asked > was.Asked && is.Restored == was.Restored:
			intact++
		default:
			restored++
		}
	}
	return intact, restored, unknown
}

// quantile is the time that a part q of sorted ones doesn't exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(time.Millisecond)
}

// failures counts the calls that failed after a moment, by reason.
func failures(answers []answer, from int64) (sessions, anybody map[errdefs.Reason]int) {
	sessions, anybody = map[errdefs.Reason]int{}, map[errdefs.Reason]int{}
	for _, a := range answers {
		switch {
		case a.Reason == "" || a.End < from:
		case a.Session == "":
			anybody[a.Reason]++
		default:
			sessions[a.Reason]++
		}
	}
	return sessions, anybody
}

func describe(counts map[errdefs.Reason]int) string {
	var parts []string
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], r))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
