package plugin

import (
	"os"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/plugin/proc"
)

// Orphan is a process that carries the token of a dead host's worker.
type Orphan struct {
	PID     int
	Start   uint64 // in clock ticks since boot
	Token   string
	Command string // its command line, for people
	Alive   bool   // it couldn't be ended, or wasn't to be
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
	for range sweepRounds {
		orphans := look(wanted, kept)
		ended := 0
		for _, o := range orphans {
			if o.end() && !o.Alive {
				ended++
			}
			all = append(all, o)
		}
		if ended == 0 {
			break
		}
	}
	return all
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
			orphans = append(orphans, Orphan{PID: s.PID, Start: s.Start, Token: token, Command: proc.CommandLine(s.PID), Alive: true})
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
