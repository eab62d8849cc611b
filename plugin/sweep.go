package plugin

import (
	"os"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// Orphan is a process that a dead host left behind.
type Orphan struct {
	PID     int
	Start   uint64 // in clock ticks since boot
	Token   string // its worker's
	Command string // its command line, for people
	Alive   bool   // it couldn't be ended, or wasn't to be

	recorded bool // known by its record, and not by a token that it carries
}

const (
	// sweepRounds bounds how often a sweep looks: each look finds what the last
	// one's victims forked meanwhile.
	sweepRounds = 16
	// shimCommand is the name that a shim is executed under.
	shimCommand = "snakepit-shim"
	// sweepWait is how long a process may take to die of SIGKILL.
	sweepWait = time.Second
)

// Sweep finds every process that carries a token of an instance, but for the
// tokens to keep, and ends it; with dryRun it only looks. It blocks until they are
// gone, for a second each. Whoever doesn't carry such a token isn't touched, and
// neither is what a live shim keeps: that is no orphan, whatever became of its host.
func Sweep(instance string, keep map[string]bool, dryRun bool) []Orphan {
	if dryRun {
		return look(tokensOf(instance, keep), false)
	}
	return sweep(tokensOf(instance, keep), false)
}

// tokensOf tells the tokens of an instance, but for some. Without an instance there are none.
func tokensOf(instance string, keep map[string]bool) func(token string) bool {
	return func(token string) bool {
		return instance != "" && isTokenOf(token, instance) && !keep[token]
	}
}

// sweepBelow ends what a worker that is gone has left behind.
func sweepBelow(worker string) {
	sweep(func(token string) bool { return token == worker && token != "" }, true)
}

// sweep also ends what a live shim keeps, if it's told to: that of a host which is
// verifiably gone.
func sweep(wanted func(token string) bool, kept bool) []Orphan {
	var all []Orphan
	stuck := map[proc.ID]bool{} // tried already
	for range sweepRounds {
		orphans := look(wanted, kept)
		ended := 0
		for _, o := range orphans {
			id := proc.ID{PID: o.PID, Start: o.Start}
			if stuck[id] {
				continue
			}
			if o.end() && !o.Alive {
				ended++
			}
			stuck[id] = o.Alive
			all = append(all, o)
		}
		if ended == 0 {
			break
		}
	}
	return all
}

// Kept finds every process that carries a token of an instance, those too that a live
// shim keeps. It only looks.
func Kept(instance string) []Orphan { return look(tokensOf(instance, nil), true) }

// SweepRecorded is Sweep for the processes of an instance that a dead host's ledger names.
// It finds those that no longer carry their token. Whoever isn't the very process,
// by boot and start time, isn't touched.
func SweepRecorded(instance string, records []ledger.Record, dryRun bool) []Orphan {
	boot := proc.BootID()
	if boot == "" {
		return nil
	}
	tokens := map[proc.ID]string{}
	for _, r := range records {
		if p := r.Process; p.Boot == boot && isTokenOf(r.Token, instance) {
			tokens[proc.ID{PID: p.PID, Start: p.StartTime}] = r.Token
		}
	}
	return sweepKnown(tokens, dryRun)
}

// SweepClaimed is SweepRecorded for processes of this boot and PID namespace that the registry has as a
// dead host's workers.
func SweepClaimed(claimed ...proc.ID) []Orphan {
	tokens := map[proc.ID]string{}
	for _, id := range claimed {
		tokens[id] = "" // it isn't known, and not asked for
	}
	return sweepKnown(tokens, false)
}

// sweepKnown ends processes that are known by what the system says of them, with the
// tokens that they're reported under.
func sweepKnown(tokens map[proc.ID]string, dryRun bool) []Orphan {
	table, err := proc.All()
	if err != nil {
		return nil
	}
	spared := ancestors(table)
	spare(spared, table)
	var all []Orphan
	for _, s := range table {
		token, known := tokens[s.ID]
		if !known || s.Dead() || spared[s.PID] {
			continue
		}
		o := orphan(s, token)
		if o.recorded = true; !dryRun {
			o.end()
		}
		all = append(all, o)
	}
	return all
}

func orphan(s proc.Stat, token string) Orphan {
	return Orphan{PID: s.PID, Start: s.Start, Token: token, Command: proc.CommandLine(s.PID), Alive: true}
}

// look scans the process table. We and those above us are never in it: a host may
// have been started by a worker's tool.
func look(wanted func(token string) bool, kept bool) []Orphan {
	table, err := proc.All()
	if err != nil {
		return nil
	}
	spared := ancestors(table)
	if !kept {
		spare(spared, table)
	}
	var orphans []Orphan
	for _, s := range table {
		if s.Dead() || spared[s.PID] {
			continue
		}
		token := proc.Getenv(s.PID, tokenVariable)
		if wanted(token) {
			orphans = append(orphans, orphan(s, token))
		}
	}
	return orphans
}

// spare adds whatever descends from a shim, which kills it when its time has come.
func spare(spared map[int]bool, table []proc.Stat) {
	for _, s := range table {
		if !s.Dead() && strings.HasPrefix(proc.CommandLine(s.PID), shimCommand+" ") {
			for _, below := range proc.Below(s.PID, table) {
				spared[below.PID] = true
			}
		}
	}
}

func ancestors(table []proc.Stat) map[int]bool {
	parent := map[int]int{}
	for _, s := range table {
		parent[s.PID] = s.PPID
	}
	above := map[int]bool{}
	for pid := os.Getpid(); pid > 0 && !above[pid]; pid = parent[pid] {
		above[pid] = true
	}
	return above
}
