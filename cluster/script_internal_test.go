package cluster

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

var update = flag.Bool("update", false, "rewrite what the scripts expect")

// TestScripts runs the scripts of testdata against the state machine. A script is
// a list of entries: lines of commands, a line of dashes, and what came of each.
// Commands joined in one block share an entry. "state" shows everything, "restart"
// goes through a snapshot, "again" applies the entry before once more.
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, path := range scripts {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(content))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(content), got); d != "" && !*update {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func runScript(t *testing.T, script string) string {
	t.Helper()
	s := &scripted{bench: newBench()}
	var out []string
	for block := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		lines := strings.Split(block, "\n")
		if i := slices.Index(lines, "----"); i >= 0 {
			lines = lines[:i]
		}
		if strings.HasPrefix(lines[0], "#") {
			out = append(out, strings.Join(lines, "\n"))
			continue
		}
		out = append(out, strings.Join(lines, "\n")+"\n----\n"+strings.Join(s.block(t, lines), "\n"))
	}
	return strings.Join(out, "\n\n") + "\n"
}

type scripted struct {
	*bench

	last []byte // the entry before
}

func (s *scripted) block(t *testing.T, lines []string) []string {
	t.Helper()
	switch lines[0] {
	case "state":
		return s.show()
	case "restart":
		fresh := newBench()
		fresh.restored(t, s.saved(t))
		fresh.index, fresh.number, fresh.term = s.index, s.number, s.term
		s.bench = fresh
		return []string{"ok"}
	case "again":
		return shown(s.applied(t, s.last))
	}
	if word, term, _ := strings.Cut(lines[0], " "); word == "term" {
		n, err := strconv.ParseUint(term, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.term = n
		return []string{"ok"}
	}
	var commands []*snakepitv1.RegistryCommand
	for _, line := range lines {
		commands = append(commands, parsed(t, line))
	}
	s.last = s.entry(t, commands...)
	return shown(s.applied(t, s.last))
}

// parsed reads a command: a verb, what it's about, and key=value pairs.
func parsed(t *testing.T, line string) *snakepitv1.RegistryCommand {
	t.Helper()
	words := strings.Fields(line)
	args := map[string]string{}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		args[key] = value
	}
	number := func(key string, otherwise uint64) uint64 {
		if args[key] == "" {
			return otherwise
		}
		generation, index, two := strings.Cut(args[key], ":")
		if !two {
			generation, index = "0", generation
		}
		g, err1 := strconv.ParseUint(generation, 10, 64)
		i, err2 := strconv.ParseUint(index, 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("%s: %s isn't a number", line, args[key])
		}
		return g<<generationShift + i
	}
	to := Owner{Node: args["node"], Incarnation: number("inc", 0)}
	switch words[0] {
	case "open-for":
		return openOwned(host.Session{ID: host.SessionID(words[1]), Pool: args["pool"], Home: host.WorkerID(args["home"]), Availability: host.Availability(args["availability"])}, to, 100)
	case "register":
		return registerNode(Member{ID: words[1], Nonce: args["start"], MinVersion: 1, MaxVersion: uint32(number("knows", 2))}, number("term", 0))
	case "status":
		return setNodeStatus(words[1], number("inc", 0), Status(args["to"]), number("term", 0))
	case "forget":
		return forgetNode(words[1])
	case "level":
		return setFeatureLevel(uint32(number("to", 2)), args["cluster"], number("term", 0))
	case "move":
		return moveSession(host.SessionID(words[1]), number("from", 0), to)
	case "rehome":
		var moves []*snakepitv1.MoveSession
		for id := range strings.SplitSeq(words[1], ",") {
			moves = append(moves, move(host.SessionID(id), number("from", 0), to))
		}
		return rehome(moves, number("term", 0))
	case "set":
		change := &snakepitv1.StateChange{Key: args["key"]}
		if value, ok := args["value"]; ok {
			change.Value = []byte(value)
		}
		if _, ok := args["was"]; ok {
			change.Expected = new(number("was", 0))
		}
		return setState(host.SessionID(words[1]), number("epoch", 0), []*snakepitv1.StateChange{change})
	case "open":
		return openSession(host.Session{ID: host.SessionID(words[1]), Pool: args["pool"], Home: host.WorkerID(args["home"])}, int(number("limit", 100)))
	case "bind":
		return bindSession(host.SessionID(words[1]), host.WorkerID(args["home"]), number("from", 0))
	case "close":
		return forgetFrom(host.SessionID(words[1]), args["expired"] != "", number("from", 0))
	case "claim":
		return claimProcess(host.ProcessRecord{
			Worker: host.WorkerID(words[1]), Node: args["node"], Process: host.Process{PID: int(number("pid", 1))},
			Owner: Owner{Node: args["by"], Incarnation: number("inc", 0)},
		})
	case "release":
		return releaseProcess(host.WorkerID(words[1]))
	case "generation":
		n, err := strconv.ParseUint(words[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return raiseGeneration(n)
	}
	return parsedMember(t, words, args, number)
}

// parsedMember reads a command of version 3.
func parsedMember(t *testing.T, words []string, args map[string]string, number func(string, uint64) uint64) *snakepitv1.RegistryCommand {
	t.Helper()
	by := Owner{Node: words[1], Incarnation: number("inc", 0)}
	span := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	switch words[0] {
	case "pause":
		return pauseNode(by, span(args["within"]))
	case "patience":
		return setRehomeAfter(by, span(args["after"]), number("term", 0))
	case "store":
		return storeTools(by, toolsOf(t, args["pool"], strings.Split(args["tools"], ",")...))
	case "offer":
		var sets []sum
		for _, key := range []string{"first", "second"} {
			if args[key] != "" {
				sets = append(sets, sha256.Sum256(toolsOf(t, args["pool"], strings.Split(args[key], ",")...)))
			}
		}
		return offerTools(by, sets)
	case "token":
		return addToken(sha256.Sum256([]byte(words[1])), uint32(number("uses", 1)), args["label"])
	case "untoken":
		return dropToken(sha256.Sum256([]byte(words[1])), number("added", 0), number("term", 0))
	case "spend":
		return spendToken(sha256.Sum256([]byte(words[1])), args["for"])
	case "knobs":
		knobs := map[string]string{}
		for _, word := range words[2:] {
			key, value, _ := strings.Cut(word, "=")
			knobs[key] = value
		}
		return setPoolOverride(words[1], knobs)
	}
	t.Fatalf("no command %q", words[0])
	return nil
}

func shown(outcomes []outcome) []string {
	var lines []string
	for _, o := range outcomes {
		switch {
		case o.err != nil:
			lines = append(lines, o.err.Error())
		case o.session != nil:
			lines = append(lines, sessionLine(*o.session))
		case o.process != nil:
			lines = append(lines, processLine(*o.process))
		case o.node != nil:
			lines = append(lines, nodeLine(*o.node))
		case o.version != 0:
			lines = append(lines, "version "+epochText(o.version))
		default:
			lines = append(lines, "ok")
		}
	}
	return lines
}

func sessionLine(s sessionRow) string {
	line := fmt.Sprintf("session %s pool=%s home=%s epoch=%s", s.ID, s.Pool, s.Home, epochText(s.Epoch))
	if s.Owner != (Owner{}) {
		line += fmt.Sprintf(" owner=%s@%s", s.Owner.Node, epochText(s.Owner.Incarnation))
	}
	if s.Availability != "" {
		line += " " + string(s.Availability)
	}
	var values strings.Builder
	for _, key := range slices.Sorted(maps.Keys(s.values)) {
		fmt.Fprintf(&values, " %s=%q@%s", key, s.values[key].Bytes, epochText(s.values[key].Version))
	}
	return line + values.String()
}

func nodeLine(m Member) string {
	line := fmt.Sprintf("node %s %s incarnation=%s", m.ID, m.Status, epochText(m.Incarnation))
	if m.Pause != 0 {
		line += " pause=" + m.Pause.String()
	}
	if m.RehomeAfter != 0 {
		line += " rehome_after=" + m.RehomeAfter.String()
	}
	return line
}

func processLine(p host.ProcessRecord) string {
	line := fmt.Sprintf("process %s node=%s pid=%d epoch=%s", p.Worker, p.Node, p.Process.PID, epochText(p.Epoch))
	if p.Owner != (Owner{}) {
		line += fmt.Sprintf(" by=%s@%s", p.Owner.Node, epochText(p.Owner.Incarnation))
	}
	if p.Unverified {
		line += " unverified"
	}
	return line
}

func epochText(epoch uint64) string {
	return fmt.Sprintf("%d:%d", epoch>>generationShift, epoch&(1<<generationShift-1))
}

// memberRows has what came with version 3, and the tools as node "nobody" sees them.
func memberRows(m *machine) []string {
	var rows []string
	for _, t := range m.nodeTools("nobody") {
		rows = append(rows, fmt.Sprintf("tool %s/%s on %s", t.Pool, t.Name, t.Node))
	}
	if n := len(m.state.toolSets); n > 0 {
		rows = append(rows, fmt.Sprintf("tool sets: %d", n))
	}
	for _, t := range m.tokens() {
		rows = append(rows, fmt.Sprintf("token %x label=%s added=%s spent=%d/%d %v", t.hash[:2], t.label, epochText(t.added), len(t.spent), t.uses, t.spent))
	}
	for pool, knobs := range m.state.overrides {
		rows = append(rows, fmt.Sprintf("pool %s %v", pool, knobs))
	}
	return rows
}

func (s *scripted) show() []string {
	lines := []string{fmt.Sprintf("index=%d generation=%d", s.index, s.generation())}
	var rows []string
	for _, r := range s.sessions() {
		rows = append(rows, sessionLine(*r))
	}
	for _, p := range s.processes() {
		rows = append(rows, processLine(p))
	}
	for _, m := range s.members() {
		rows = append(rows, nodeLine(*m))
	}
	rows = append(rows, memberRows(s.machine)...)
	slices.Sort(rows)
	lines = append(lines, rows...)
	for _, id := range s.state.expired.oldestFirst() {
		lines = append(lines, "expired "+string(id))
	}
	return lines
}
