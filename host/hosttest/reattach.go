package hosttest

import (
	"context"
	"slices"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// Handover is what [TestReattacher] needs. The worker that Spec starts must offer
// the tools of a [Contract].
type Handover struct {
	Launcher host.Launcher
	Spec     host.Spec
	// Next ends the launcher, whose workers were stopped or left by then, and gives
	// the next host's.
	Next func(t *testing.T) host.Launcher
}

// TestReattacher is the contract of host.Reattacher and host.Leaver. open is called
// once for each of its subtests.
func TestReattacher(t *testing.T, open func(t *testing.T) Handover) {
	t.Helper()
	for name, test := range map[string]func(*handover){
		"LeftWorkerEndsForItsHostWithoutError": leftWorkerEndsForItsHostWithoutError,
		"LeaveEndsCallsUnderWay":               leaveEndsCallsUnderWay,
		"SurvivorIsTheSameProcess":             survivorIsTheSameProcess,
		"SurvivorIsGivenOnce":                  survivorIsGivenOnce,
		"StoppedWorkerIsNoSurvivor":            stoppedWorkerIsNoSurvivor,
		"AnotherCommandsSurvivorIsRefused":     anotherCommandsSurvivorIsRefused,
		"ForsakenSurvivorIsGone":               forsakenSurvivorIsGone,
		"DeathOfASurvivorIsTold":               deathOfASurvivorIsTold,
		"SurvivorCanBeLeftAgain":               survivorCanBeLeftAgain,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			h := open(t)
			test(&handover{newBench(ctx, t, Contract{Launcher: h.Launcher, Spec: h.Spec}), h.Next})
		})
	}
}

// handover is one launched worker, and the way to the next host.
type handover struct {
	*bench

	open func(t *testing.T) host.Launcher
}

func (h *handover) leave() {
	h.Helper()
	l, ok := h.worker.(host.Leaver)
	if !ok {
		h.Fatalf("a %T can't be left", h.worker)
	}
	l.Leave()
}

func (h *handover) next() host.Reattacher {
	h.Helper()
	next := h.open(h.T)
	r, ok := next.(host.Reattacher)
	if !ok {
		h.Fatalf("a %T can't reattach", next)
	}
	return r
}

func (h *handover) reattach(r host.Reattacher) {
	h.Helper()
	w, err := r.Reattach(h.ctx, h.c.Spec, answers{})
	if err != nil {
		h.Fatalf("Reattach: %v", err)
	}
	h.worker = w
	h.stopAtTheEnd(h.ctx, w)
}

func leftWorkerEndsForItsHostWithoutError(h *handover) {
	for range 2 {
		h.leave()
		select {
		case <-h.worker.Done():
		default:
			h.Fatal("Leave returns before Done is closed")
		}
	}
	if err := h.worker.Err(); err != nil {
		h.Errorf("Err after Leave: %v", err)
	}
	_, err := h.worker.Start(h.ctx, host.Invocation{ID: "late", Tool: "echo", Payload: encode(map[string]any{"value": 1})})
	if err == nil || errdefs.MayHaveRun(err) {
		h.Errorf("Start after Leave: %v, want an error that says it didn't run", err)
	}
	if err := h.worker.Stop(h.ctx); err != nil {
		h.Errorf("Stop after Leave: %v", err)
	}
	if got := h.next().Survivors(); len(got) != 1 {
		h.Errorf("survivors %+v, want the one: Stop came too late", got)
	}
}

func leaveEndsCallsUnderWay(h *handover) {
	run := h.start("wait", nil, nil)
	h.leave()
	_, _, err := h.all(run)
	if err == nil || !errdefs.MayHaveRun(err) {
		h.Errorf("error %v doesn't say that the call may have run", err)
	}
	h.wait("end of the call", run.Done())
	h.reattach(h.next())
	h.equal("echo", h.result(h.start("echo", map[string]any{"value": 1}, nil)), 1)
}

func survivorIsTheSameProcess(h *handover) {
	before := h.worker.Description().Process
	h.leave()
	h.reattach(h.next())
	if got := h.worker.Description().Process; got != before {
		h.Errorf("process %+v, want %+v", got, before)
	}
	h.equal("ask", h.result(h.start("ask", map[string]any{"value": "deep"}, nil)), "deep")
	if err := h.worker.Stop(h.ctx); err != nil || h.worker.Err() != nil {
		h.Errorf("Stop: %v, Err: %v", err, h.worker.Err())
	}
}

func survivorIsGivenOnce(h *handover) {
	h.leave()
	r := h.next()
	want := host.Survivor{Worker: h.c.Spec.Worker, Pool: h.c.Spec.Pool}
	if got := r.Survivors(); !slices.Equal(got, []host.Survivor{want}) {
		h.Errorf("survivors %+v, want %+v", got, want)
	}
	h.reattach(r)
	if got := r.Survivors(); len(got) > 0 {
		h.Errorf("survivors %+v once they were given", got)
	}
	r.Forsake(h.c.Spec.Worker) // does nothing
	h.equal("echo", h.result(h.start("echo", map[string]any{"value": 1}, nil)), 1)
	_, err := r.Reattach(h.ctx, h.c.Spec, answers{})
	wantReason(h.T, err, errdefs.WorkerNotFound)
}

func stoppedWorkerIsNoSurvivor(h *handover) {
	if err := h.worker.Stop(h.ctx); err != nil {
		h.Fatal(err)
	}
	h.leave() // too late
	if got := h.next().Survivors(); len(got) > 0 {
		h.Errorf("survivors %+v, want none", got)
	}
}

func anotherCommandsSurvivorIsRefused(h *handover) {
	h.leave()
	r := h.next()
	spec := h.c.Spec
	spec.Command.Env = append(slices.Clone(spec.Command.Env), "OTHER=1")
	if w, err := r.Reattach(h.ctx, spec, answers{}); err == nil {
		h.stopAtTheEnd(h.ctx, w)
		h.Error("a worker of another command goes on")
	}
	_, err := r.Reattach(h.ctx, h.c.Spec, answers{})
	wantReason(h.T, err, errdefs.WorkerNotFound)
}

func forsakenSurvivorIsGone(h *handover) {
	h.leave()
	r := h.next()
	r.Forsake("nobody")
	r.Forsake(h.c.Spec.Worker)
	if got := r.Survivors(); len(got) > 0 {
		h.Errorf("survivors %+v, want none", got)
	}
	_, err := r.Reattach(h.ctx, h.c.Spec, answers{})
	wantReason(h.T, err, errdefs.WorkerNotFound)
}

func deathOfASurvivorIsTold(h *handover) {
	h.leave()
	h.reattach(h.next())
	_, _, err := h.all(h.start("die", nil, nil))
	wantReason(h.T, err, errdefs.WorkerCrashed)
	h.wait("end of the worker", h.worker.Done())
	wantReason(h.T, h.worker.Err(), errdefs.WorkerCrashed)
}

func survivorCanBeLeftAgain(h *handover) {
	h.leave()
	h.reattach(h.next())
	h.leave()
	if err := h.worker.Err(); err != nil {
		h.Errorf("Err after Leave: %v", err)
	}
}
