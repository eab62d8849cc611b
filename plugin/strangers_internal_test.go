//go:build linux

package plugin

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/ledger"
	"github.com/snakepit-go/snakepit/plugin/proc"
)

// sleeper is a process of this test's that has nothing to do with any host.
func sleeper(t *testing.T, env ...string) host.Process {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead, which a test has reported
		_ = cmd.Wait()         // it was killed
	})
	id, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return host.Process{PID: id.PID, StartTime: id.Start}
}

func identity(p host.Process) ledger.Identity {
	return ledger.Identity{Process: p, Boot: proc.BootID()}
}

// TestStrangersThatStaleRecordsNameAreNotTouched: neither by the start of a host on
// such a ledger nor by a sweep.
func TestStrangersThatStaleRecordsNameAreNotTouched(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	other := NewInstance()
	strangers := map[host.WorkerID]host.Process{
		"other-start": sleeper(t), "other-boot": sleeper(t), "no-token": sleeper(t),
		"copied":  sleeper(t, tokenVariable+"="+newToken(other)),
		"shorter": sleeper(t, tokenVariable+"="+h.Instance), // our instance's name isn't a token
		"longer":  sleeper(t, tokenVariable+"="+newToken(h.Instance)+"0"),
	}
	records, err := ledger.Open(h.ledgerPath(), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id, p := range strangers {
		rec := ledger.Record{Worker: id, Token: newToken(h.Instance), Pool: "default", Dir: "/nowhere", Process: identity(p)}
		switch id {
		case "other-start":
			rec.Process.StartTime--
		case "other-boot":
			rec.Process.Boot = "8c4f2b0e-another"
		case "copied": // with its data directory: the row is right, and of another instance
			rec.Token = newToken(other)
		default:
			rec.Process.PID, rec.Process.StartTime = 1<<22-1, 1 // nobody
		}
		if err := errors.Join(records.Intend(rec), records.Identify(id, rec.Process)); err != nil {
			t.Fatal(err)
		}
	}
	if err := records.Close(); err != nil {
		t.Fatal(err)
	}
	l, _ := h.comeBack(t) // which also makes sure that no record is left
	Sweep(h.Instance, nil, false)
	Sweep("", nil, false)
	Sweep(other[:8], nil, false)
	Sweep(other[:1], nil, false)
	for id, p := range strangers {
		if !isAlive(p) {
			t.Errorf("%s was killed", id)
		}
	}
	if got := l.Survivors(); len(got) > 0 {
		t.Errorf("survivors %+v", got)
	}
}

func TestWhatCarriesATokenOfOursIsEnded(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, host.Command{})
	kept, left := newToken(h.Instance), newToken(h.Instance)
	keep, orphan := sleeper(t, tokenVariable+"="+kept), sleeper(t, tokenVariable+"="+left)
	if found := Sweep(h.Instance, map[string]bool{kept: true}, true); len(found) != 1 || found[0].PID != orphan.PID || !found[0].Alive {
		t.Errorf("a look finds %+v, want process %d", found, orphan.PID)
	}
	if !isAlive(orphan) {
		t.Fatal("a look has killed")
	}
	if found := Sweep(h.Instance, map[string]bool{kept: true}, false); len(found) != 1 || found[0].Alive {
		t.Errorf("a sweep ends %+v, want process %d", found, orphan.PID)
	}
	if isAlive(orphan) || !isAlive(keep) {
		t.Errorf("the orphan lives: %t; who is to be kept: %t", isAlive(orphan), isAlive(keep))
	}
	Sweep(h.Instance, nil, false)
	if isAlive(keep) {
		t.Error("it lives on")
	}
}

// TestWorkersOfALiveHostAreNoOrphans: a folder that it once used, and left behind
// elsewhere, names its instance.
func TestWorkersOfALiveHostAreNoOrphans(t *testing.T) {
	t.Parallel()
	h := newTestHost(t, countingCommand(t))
	h.Grace = 0
	worker := h.start(t).ready()["default-1"]
	if found := Sweep(h.Instance, nil, false); len(found) > 0 || !isAlive(worker) {
		t.Errorf("%+v was ended", found)
	}
}
