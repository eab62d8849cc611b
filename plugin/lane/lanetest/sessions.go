package lanetest

import (
	"context"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// sessions are the rules of sessions: their epochs, their hooks and their state.
func sessions() []test {
	return []test{
		{name: "SessionArrivesWithItsEpochAndHome", run: sessionArrives},
		{name: "LowerEpochIsFencedPerSession", run: func(r *rig) {
			r.epochs("fenced", 5, 5, -4, 5, 9, -8, -5, 0, 9)
			r.epochs("another", 1, 2, -1)
			r.epochs("fenced", -8, 9)
		}},
		{name: "EpochsAreRememberedOnTheNextLane", run: func(r *rig) {
			r.epochs("remembered", 1<<40)
			r.again()
			r.epochs("remembered", -7, 1<<40, 0, 1<<40+1)
		}},
		{name: "FencedCallOfManyFramesIsRefused", run: func(r *rig) {
			r.epochs("large", 3)
			c := r.open(lane.Request{Tool: "sink", Session: "large", Epoch: 2}, "data", blob(3*frame))
			r.fails(c, errdefs.Fenced)
			r.done(c)
		}},
		{name: "HooksAreCalledAsTools", run: hooksAreTold},
		{name: "HookOfALowerEpochIsFenced", run: func(r *rig) {
			r.epochs("late", 6)
			r.fails(r.open(lane.Request{Tool: "snakepit.session.open", Session: "late", Epoch: 5}), errdefs.Fenced)
		}},
		{name: "HookThatFailsSaysWhy", run: func(r *rig) {
			e := r.failure(r.hook("restore", "s", "state", map[string]any{}, "saved", []byte("fail")))
			if e.Reason != errdefs.PythonException || e.Exception == nil || e.Exception.Message != "restore" {
				r.Errorf("the error is %v", e)
			}
		}},
		{name: "HookIsCancelled", run: func(r *rig) {
			c := r.hook("restore", "s", "state", map[string]any{}, "saved", []byte("spin"))
			for r.ping() == 0 {
			}
			r.cancel(c)
			r.done(c)
		}},
		{name: "HookEndsAtItsDeadline", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "snakepit.session.restore", Session: "s", Deadline: time.Now().Add(100 * time.Millisecond)},
				"state", map[string]any{}, "saved", []byte("spin"))
			r.fails(c, errdefs.Deadline)
			r.done(c)
		}},
		{name: "HookWithoutASessionIsRefused", run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "snakepit.session.open"}), errdefs.InvalidArguments)
		}},
		{name: "ReservedNameOfNothingIsNotFound", run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "snakepit.session.other", Session: "s"}), errdefs.ToolNotFound)
		}},
		{name: "StateIsReachedByTheHostsTools", run: stateIsReached},
		{name: "StatesErrorReachesTheTool", run: func(r *rig) {
			r.wholeTool("snakepit.state.get", func(context.Context, any) (any, error) { return map[string]any{}, nil })
			r.wholeTool("snakepit.state.set", func(context.Context, any) (any, error) {
				return nil, errdefs.New(errdefs.NoQuorum, "nobody agrees")
			})
			r.fails(r.open(lane.Request{Tool: "keep", Session: "s"}, "key", "k", "value", 1), errdefs.NoQuorum)
		}},
	}
}

func (r *rig) wholeTool(name string, f hostTool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.whole[name] = f
}

// epochs makes a call of the session with each epoch; a negative one must be fenced.
func (r *rig) epochs(session string, epochs ...int64) {
	r.Helper()
	for i, n := range epochs {
		c := r.open(lane.Request{Tool: "echo", Session: session, Epoch: uint64(max(n, -n))}, "value", i) //nolint:gosec // not below zero
		if n >= 0 {
			var out int
			if r.result(c, &out); out != i {
				r.Errorf("a call with epoch %d gave %d, not %d", n, out, i)
			}
			continue
		}
		if e := r.failure(c); e.Reason != errdefs.Fenced || e.MayHaveRun {
			r.Errorf("a call with epoch %d ended with %v; want fenced, and that it didn't run", -n, e)
		}
		r.done(c)
	}
}

func sessionArrives(r *rig) {
	type about struct {
		Session string  `json:"session"`
		Epoch   *uint64 `json:"epoch"`
		Home    *bool   `json:"home"`
	}
	for _, req := range []lane.Request{
		{Tool: "about", Session: "arrives"},
		{Tool: "about", Session: "arrives", Away: true},
		{Tool: "about", Session: "arrives", Epoch: 1<<63 - 1},
	} {
		var out about
		r.result(r.open(req), &out)
		home := !req.Away
		if d := cmp.Diff(about{req.Session, &req.Epoch, &home}, out); d != "" {
			r.Errorf("%+v: %s", req, d)
		}
	}
	var bare about
	if r.call(&bare, "about"); bare.Epoch != nil || bare.Home != nil {
		r.Errorf("without a session: %+v", bare)
	}
}

// hook opens a call of a hook.
func (r *rig) hook(name, session string, pairs ...any) *lane.Call {
	r.Helper()
	return r.open(lane.Request{Tool: "snakepit.session." + name, Session: session}, pairs...)
}

func hooksAreTold(r *rig) {
	nothing := func(c *lane.Call) {
		r.Helper()
		var out any
		if r.result(c, &out); out != nil {
			r.Errorf("a hook gave %v", out)
		}
	}
	const session = "hooked"
	nothing(r.hook("open", session))
	state := map[string]any{"a": encode(r, []any{int64(1), "x"}), "b": encode(r, nil)}
	nothing(r.hook("restore", session, "state", state, "saved", []byte{0, 255}))
	nothing(r.hook("restore", session, "state", map[string]any{}, "saved", nil, "of a later host", 1))
	for _, name := range []string{session, "empty-1"} {
		var saved []byte
		r.result(r.hook("save", name), &saved)
		if want := map[string]string{session: session}[name]; string(saved) != want || (saved == nil) != (want == "") {
			r.Errorf("save of %s gave %q", name, saved)
		}
	}
	nothing(r.hook("close", session, "moved", true))
	nothing(r.hook("close", session, "moved", false))
	var got []any
	r.result(r.open(lane.Request{Tool: "hooks", Session: session}), &got)
	want := []any{
		[]any{"open"},
		[]any{"restore", map[string]any{"a": []any{int64(1), "x"}, "b": nil}, []byte{0, 255}},
		[]any{"restore", map[string]any{}, nil},
		[]any{"save"},
		[]any{"close", true},
		[]any{"close", false},
	}
	if d := cmp.Diff(want, got); d != "" {
		r.Error(d)
	}
}

// stateIsReached keeps a state for the worker, as a host does.
func stateIsReached(r *rig) {
	var mu sync.Mutex // guards what follows
	state, version := map[string]any{"old": []any{encode(r, "was"), 4}}, 4
	var asked []lane.Request
	r.onServe(func(in *lane.Inbound) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, in.Request())
	})
	r.wholeTool("snakepit.state.get", func(context.Context, any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		return state, nil
	})
	r.wholeTool("snakepit.state.set", func(_ context.Context, args any) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		version++
		change, ok := onlyChange(args)
		if !ok {
			return nil, errdefs.New(errdefs.InvalidArguments, "%v is no single change", args)
		}
		state[arg(change).text("key")] = []any{change["value"], version}
		return version, nil
	})
	for i, want := range [][]any{{"was", "is", int64(5)}, {nil, []byte("b"), int64(6)}, {[]byte("b"), int64(7), int64(7)}} {
		var got []any
		c := r.open(lane.Request{Tool: "keep", Session: "stateful"}, "key", []string{"old", "new", "new"}[i], "value", want[1])
		r.result(c, &got)
		if d := cmp.Diff(want, got); d != "" {
			r.Error(d)
		}
		mu.Lock()
		for _, req := range asked {
			if req.Parent != c.ID() {
				r.Errorf("%s has the parent %d, and the call is %d", req.Tool, req.Parent, c.ID())
			}
		}
		if len(asked) == 0 {
			r.Error("the host wasn't asked")
		}
		asked = nil
		mu.Unlock()
	}
}

func onlyChange(args any) (map[string]any, bool) {
	whole, _ := args.(map[string]any)
	changes, _ := whole["changes"].([]any)
	if len(changes) != 1 {
		return nil, false
	}
	change, ok := changes[0].(map[string]any)
	_, isBytes := change["value"].([]byte)
	return change, ok && isBytes
}
