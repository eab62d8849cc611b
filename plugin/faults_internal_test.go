//go:build linux

package plugin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
	"github.com/snakepit-go/snakepit/plugin/shim"
)

// goneWithin is the bound on what's left of a dead host: ten times the promise.
const goneWithin = 10 * time.Second

// deaths are the steps of a start, how many workers start at once, and how many of
// them have come so far when the host is killed. Before a worker speaks, anything will do.
func deaths(t *testing.T) map[string]testHost {
	t.Helper()
	mute := host.Command{Path: "/bin/sh", Args: []string{"-c", "(setsid sleep 1000 &) ; sleep 1000"}}
	python := countingCommand(t)
	all := map[string]testHost{}
	for _, step := range []string{"intended", "forked", "identified"} {
		all[step+", first"] = testHost{Command: mute, Workers: workers(20), DieAt: step, DieNth: 1}
		all[step+", later"] = testHost{Command: mute, Workers: workers(20), DieAt: step, DieNth: 13}
	}
	for _, step := range []string{"described", "attached", "completed"} {
		all[step+", first"] = testHost{Command: python, Workers: workers(1), DieAt: step, DieNth: 1}
		all[step+", later"] = testHost{Command: python, Workers: workers(5), DieAt: step, DieNth: 3}
	}
	return all
}

func workers(n int) (all []host.WorkerID) {
	for i := range n {
		all = append(all, host.WorkerID(fmt.Sprintf("default-%02d", i+1)))
	}
	return all
}

// dead is a host that has died in the midst of its starts.
func dead(t *testing.T, plan testHost, grace time.Duration) testHost {
	t.Helper()
	h := newTestHost(t, plan.Command)
	h.Workers, h.DieAt, h.DieNth, h.Grace = plan.Workers, plan.DieAt, plan.DieNth, grace
	h.start(t).died()
	h.DieAt = ""
	return h
}

// carriers are the processes that carry a token of the host's.
func (h testHost) carriers(t *testing.T) []proc.Stat {
	t.Helper()
	table, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var all []proc.Stat
	for _, s := range table {
		if !s.Dead() && strings.HasPrefix(proc.Getenv(s.PID, tokenVariable), h.Instance) {
			all = append(all, s)
		}
	}
	return all
}

func TestHostThatDiesInAStartLeavesNothingHalfStarted(t *testing.T) {
	t.Parallel()
	for name, plan := range deaths(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := dead(t, plan, patience)
			begun := time.Now()
			l, _ := h.comeBack(t)
			took := time.Since(begun)
			survivors := l.Survivors()
			t.Logf("recovered in %s, %d of %d go on", took, len(survivors), len(plan.Workers))
			if plan.DieAt != "completed" && plan.DieNth == 1 && len(survivors) > 0 {
				t.Errorf("%+v were never ready", survivors)
			}
			tokens := map[string]bool{}
			for _, s := range h.carriers(t) {
				tokens[proc.Getenv(s.PID, tokenVariable)] = true
			}
			if len(tokens) != len(survivors) {
				t.Errorf("workers with %d tokens live, want %d", len(tokens), len(survivors))
			}
			for _, s := range survivors {
				w, err := l.Reattach(t.Context(), h.spec(s.Worker), toolless{})
				if err != nil {
					t.Fatalf("%s: %v", s.Worker, err)
				}
				if _, err := callTool(t.Context(), w, "remember"); err != nil {
					t.Errorf("%s: %v", s.Worker, err)
				}
			}
			h.wantRecords(t, l, len(survivors))
			h.wantFolders(t, len(survivors))
		})
	}
}

func TestWithoutGraceNothingOfADeadHostIsLeft(t *testing.T) {
	t.Parallel()
	for name, plan := range deaths(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := dead(t, plan, 0)
			begun := time.Now()
			for len(h.carriers(t)) > 0 || shim.InUse(h.Dir) {
				if time.Since(begun) > goneWithin {
					t.Fatalf("%+v are left, in use: %t", h.carriers(t), shim.InUse(h.Dir))
				}
			}
			t.Logf("all gone after %s", time.Since(begun))
			l, _ := h.comeBack(t)
			if got := l.Survivors(); len(got) > 0 {
				t.Errorf("survivors %+v", got)
			}
			h.wantRecords(t, l, 0)
			h.wantFolders(t, 0)
		})
	}
}

func (h testHost) wantRecords(t *testing.T, l *Launcher, want int) {
	t.Helper()
	if all, err := l.cfg.Ledger.Records(); err != nil || len(all) != want {
		t.Errorf("%d records (%v), want %d", len(all), err, want)
	}
}

func (h testHost) wantFolders(t *testing.T, want int) {
	t.Helper()
	if all, err := filepath.Glob(filepath.Join(h.Dir, "????????????")); err != nil || len(all) != want {
		t.Errorf("folders %v (%v), want %d", all, err, want)
	}
}

// TestFolderWithoutARecordIsRemoved: the host was killed between the two.
func TestFolderWithoutARecordIsRemoved(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	stays := filepath.Join(h.Dir, "somebody.else")
	for _, dir := range []string{filepath.Join(h.Dir, "0123456789ab"), stays} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.comeBack(t)
	h.wantFolders(t, 0)
	if _, err := os.Stat(stays); err != nil {
		t.Error(err)
	}
}

// TestIntentionWithoutAForkIsForgotten and so is its folder, but none elsewhere.
func TestIntentionWithoutAForkIsForgotten(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	elsewhere := t.TempDir()
	records, err := ledger.Open(h.ledgerPath(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{elsewhere, h.Dir, filepath.Join(h.Dir, ".."), ""} {
		if err := records.Intend(ledger.Record{Worker: host.WorkerID("w" + dir), Token: newToken(h.Instance), Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ := h.comeBack(t)
	h.wantRecords(t, l, 0)
	for _, dir := range []string{elsewhere, h.Dir} {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
}
