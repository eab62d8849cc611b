package lanetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// calls are the rules of a call that gives one result.
func calls() []test {
	return []test{
		{name: "ValueComesBack", run: func(r *rig) {
			for _, v := range []any{nil, true, int64(-7), 2.5, "", "héllo", []byte{}, []byte{0, 255}, []any{"a", int64(1)}, map[string]any{"k": nil}} {
				var out any
				r.call(&out, "echo", "value", v)
				if d := cmp.Diff(v, out); d != "" {
					r.Errorf("echo of %#v: %s", v, d)
				}
			}
		}},
		{name: "CallsOneAfterTheOtherAreAnswered", run: func(r *rig) {
			for i := range 500 {
				var out int
				if r.call(&out, "echo", "value", i); out != i {
					r.Fatalf("echo of %d gave %d", i, out)
				}
			}
		}},
		{name: "CallsFromManySidesAreAnswered", run: manyCallers},
		{name: "RequestArrivesWhole", run: requestArrives},
		{name: "ExceptionArrivesTyped", run: func(r *rig) {
			e := r.failure(r.open(lane.Request{Tool: "fail"}, "message", "no good"))
			if e.Reason != errdefs.PythonException {
				r.Errorf("the reason is %s", e.Reason)
			}
			want := &errdefs.Exception{Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: "no good", Notes: []string{"first", "second"}}
			if e.Exception != nil {
				e.Exception.Traceback = ""
			}
			if d := cmp.Diff(want, e.Exception); d != "" {
				r.Error(d)
			}
		}},
		{name: "UnknownToolIsNotFound", run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "ecko"}), errdefs.ToolNotFound)
		}},
		{name: "PassedDeadlineEndsTheCallOnBothSides", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "sleep", Deadline: time.Now().Add(100 * time.Millisecond)}, "seconds", 50)
			r.fails(c, errdefs.Deadline)
			r.done(c)
		}},
	}
}

func manyCallers(r *rig) {
	var callers sync.WaitGroup
	for caller := range 32 {
		callers.Go(func() {
			for i := range 30 {
				want := fmt.Sprintf("%d of %d", i, caller)
				c, err := r.lane.Open(r.ctx, lane.Request{Tool: "echo", Payload: arguments(r, "value", want)})
				if err != nil {
					r.Errorf("open: %v", err)
					return
				}
				m, err := c.Recv(r.ctx)
				if d := cmp.Diff(lane.Message{Payload: encode(r, want), Last: true}, m); d != "" || err != nil {
					r.Errorf("%s: %v %s", want, err, d)
					return
				}
			}
		})
	}
	callers.Wait()
}

func requestArrives(r *rig) {
	type about struct {
		Tool      string            `json:"tool"`
		Call      string            `json:"call_id"`
		Session   string            `json:"session"`
		Metadata  map[string]string `json:"metadata"`
		Remaining *float64          `json:"remaining"`
	}
	var out about
	c := r.open(lane.Request{
		Tool: "about", ID: "call-7", Session: "user-1", Metadata: map[string]string{"traceparent": "00-1-2-03"},
		Deadline: time.Now().Add(time.Hour),
	})
	r.result(c, &out)
	if out.Remaining == nil || *out.Remaining > 3600 || *out.Remaining < 3500 {
		r.Errorf("of an hour, %v seconds are left", out.Remaining)
	}
	out.Remaining = nil
	want := about{Tool: "about", Call: "call-7", Session: "user-1", Metadata: map[string]string{"traceparent": "00-1-2-03"}}
	if d := cmp.Diff(want, out); d != "" {
		r.Error(d)
	}
	var bare about
	r.call(&bare, "about")
	if d := cmp.Diff(about{Tool: "about", Metadata: map[string]string{}}, bare); d != "" {
		r.Error(d)
	}
}
