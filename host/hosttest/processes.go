package hosttest

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// TestProcessRegistry is the contract of host.ProcessRegistry. open gives an empty
// registry that holds at least a hundred records.
func TestProcessRegistry(t *testing.T, open func(t *testing.T) host.ProcessRegistry) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, host.ProcessRegistry){
		"ClaimedProcessIsListed":           claimedProcessIsListed,
		"ClaimingAgainReplacesTheRecord":   claimingAgainReplacesTheRecord,
		"EachOfManyClaimsHasItsEpoch":      eachOfManyClaimsHasItsEpoch,
		"EpochsGrowOverARelease":           epochsGrowOverARelease,
		"ReleasedProcessIsForgotten":       releasedProcessIsForgotten,
		"ReleasingWhatIsNotThereIsNoError": releasingWhatIsNotThereIsNoError,
		"ProcessesAreSorted":               processesAreSorted,
		"BadRecordsAreRefused":             badRecordsAreRefused,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func process(worker host.WorkerID, pid int) host.ProcessRecord {
	return host.ProcessRecord{
		Worker: worker, Pool: "ml", Node: "n1",
		Process: host.Process{PID: pid, StartTime: 1 << 40},
		Machine: host.MachineID{Machine: "m", Boot: "b", PIDNamespace: "pid:[4026531836]"},
	}
}

func mustClaim(t *testing.T, r host.ProcessRegistry, p host.ProcessRecord) host.ProcessRecord {
	t.Helper()
	claimed, err := r.ClaimProcess(t.Context(), p)
	if err != nil {
		t.Fatalf("ClaimProcess(%q): %v", p.Worker, err)
	}
	return claimed
}

func wantProcesses(t *testing.T, r host.ProcessRegistry, want ...host.ProcessRecord) {
	t.Helper()
	got, err := r.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(want)+len(got) > 0 && !cmp.Equal(want, got) {
		t.Errorf("processes (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func claimedProcessIsListed(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	wantProcesses(t, r)
	claimed := mustClaim(t, r, process("a", 7))
	if claimed.Epoch == 0 {
		t.Error("a claimed process has epoch 0")
	}
	want := process("a", 7)
	want.Epoch = claimed.Epoch
	if d := cmp.Diff(want, claimed); d != "" {
		t.Errorf("record (-want +got):\n%s", d)
	}
	wantProcesses(t, r, want)
}

func claimingAgainReplacesTheRecord(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	first := mustClaim(t, r, process("a", 7))
	second := mustClaim(t, r, process("a", 8))
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
	wantProcesses(t, r, second)
}

func eachOfManyClaimsHasItsEpoch(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	const n = 16
	epochs := make([]uint64, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			p, err := r.ClaimProcess(context.WithoutCancel(t.Context()), process("a", i+1))
			if err != nil {
				t.Error(err)
			}
			epochs[i] = p.Epoch
		})
	}
	wg.Wait()
	seen := map[uint64]bool{}
	for _, e := range epochs {
		if seen[e] {
			t.Fatalf("epochs %v: one was given twice", epochs)
		}
		seen[e] = true
	}
}

func epochsGrowOverARelease(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	before := mustClaim(t, r, process("a", 7))
	if err := r.ReleaseProcess(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if after := mustClaim(t, r, process("a", 7)); after.Epoch <= before.Epoch {
		t.Errorf("epoch %d after %d: a fencing token came twice", after.Epoch, before.Epoch)
	}
}

func releasedProcessIsForgotten(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	mustClaim(t, r, process("a", 7))
	b := mustClaim(t, r, process("b", 8))
	if err := r.ReleaseProcess(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	wantProcesses(t, r, b)
}

func releasingWhatIsNotThereIsNoError(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	if err := r.ReleaseProcess(t.Context(), "nobody"); err != nil {
		t.Error(err)
	}
}

func processesAreSorted(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	b := mustClaim(t, r, process("b", 1))
	c := mustClaim(t, r, process("c", 2))
	a := mustClaim(t, r, process("a", 3))
	wantProcesses(t, r, a, b, c)
}

func badRecordsAreRefused(t *testing.T, r host.ProcessRegistry) {
	t.Helper()
	long := process("a", 7)
	long.Machine.Boot = strings.Repeat("x", 257)
	for _, p := range []host.ProcessRecord{
		process("", 7), process(host.WorkerID(strings.Repeat("x", 257)), 7), process("a\xff", 7), long,
	} {
		_, err := r.ClaimProcess(t.Context(), p)
		wantReason(t, err, errdefs.InvalidArguments)
	}
	wantProcesses(t, r)
}
