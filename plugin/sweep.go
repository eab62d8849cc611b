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
	// sweepWait is how long a process may take to die of SIGKILL.
	sweepWait = time.Second
)

// Sweep finds every process that carries a token of an instance, but for the
// tokens to keep, and ends it; with dryRun it only looks. It blocks until they are
// gone, for a second each. Whoever doesn't carry such a token isn't touched.
func Sweep(instance string, keep map[string]bool, dryRun bool) []Orphan {
	if instance == "" {
		return nil
	}
	var all []Orphan
	for range sweepRounds {
		orphans := look(instance, keep)
		if dryRun {
			return orphans
		}
		ended := 0
		for _, o := range orphans {
			if o.end() {
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
func look(instance string, keep map[string]bool) []Orphan {
	table, err := proc.All()
	if err != nil {
		return nil
	}
	above := ancestors(table)
	var orphans []Orphan
	for _, s := range table {
		if s.Dead() || above[s.PID] {
			continue
		}
		token := proc.Getenv(s.PID, tokenVariable)
		if strings.HasPrefix(token, instance) && !keep[token] {
			orphans = append(orphans, Orphan{PID: s.PID, Start: s.Start, Token: token, Command: proc.CommandLine(s.PID), Alive: true})
		}
	}
	return orphans
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
