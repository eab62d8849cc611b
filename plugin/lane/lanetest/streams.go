package lanetest

import (
	"fmt"
	"strings"
	"sync"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// streams are the rules of chunks, in both directions.
func streams() []test {
	return []test{
		{name: "ChunksArriveInOrder", run: func(r *rig) { r.counts(r.open(lane.Request{Tool: "count", Stream: true}, "n", 5000), 5000) }},
		{name: "StreamOfNothingEnds", run: func(r *rig) { r.counts(r.open(lane.Request{Tool: "count", Stream: true}, "n", 0), 0) }},
		{name: "ChunksAreAListForACallerThatTakesNone", run: func(r *rig) {
			var out []int
			if r.call(&out, "count", "n", 5); !cmp.Equal([]int{0, 1, 2, 3, 4}, out) {
				r.Errorf("count gave %v", out)
			}
		}},
		{name: "ResultOfAPlainToolComesWithItsEnd", run: func(r *rig) {
			var out string
			c := r.open(lane.Request{Tool: "echo", Stream: true}, "value", "plain")
			if r.result(c, &out); out != "plain" {
				r.Errorf("echo gave %q", out)
			}
		}},
		{name: "CallersChunksReachTheTool", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "sum", Input: true})
			for i := range 2000 {
				r.send(c, i)
			}
			r.close(c)
			var out int
			if r.result(c, &out); out != 1999*1000 {
				r.Errorf("the sum is %d", out)
			}
		}},
		{name: "CallerWithoutChunksEndsTheInput", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "sum", Input: true})
			r.close(c)
			var out int
			if r.result(c, &out); out != 0 {
				r.Errorf("the sum of nothing is %d", out)
			}
		}},
		{name: "ChunksFlowBothWaysInLockstep", run: lockstep},
		{name: "ChunksFlowBothWaysAtOnce", run: bothWays},
		{name: "UnreadChunksHoldUpNobodyElse", slots: 2, run: unread},
		{name: "EndMayComeWhileTheCallerStillSends", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "fail", Input: true}, "message", "early")
			for {
				if err := c.Send(r.ctx, encode(r, strings.Repeat("x", 10_000))); err != nil {
					break // the call has ended
				}
			}
			r.fails(c, errdefs.PythonException)
		}},
	}
}

// counts takes the chunks 0 to n and the end of a stream.
func (r *rig) counts(c *lane.Call, n int) {
	r.Helper()
	for want := range n {
		m := r.recv(c)
		if m.Last {
			r.Fatalf("the stream ends after %d chunks", want)
		}
		var got int
		if r.decode(m.Payload, &got); got != want {
			r.Fatalf("chunk %d is %d", want, got)
		}
	}
	if m := r.recv(c); !m.Last || len(m.Payload) != 0 {
		r.Fatalf("after %d chunks: %d bytes, last %v", n, len(m.Payload), m.Last)
	}
	r.done(c)
}

func (r *rig) send(c *lane.Call, v any) {
	r.Helper()
	if err := c.Send(r.ctx, encode(r, v)); err != nil {
		r.Fatalf("send: %v", err)
	}
}

func (r *rig) close(c *lane.Call) {
	r.Helper()
	if err := c.CloseSend(); err != nil {
		r.Fatalf("close: %v", err)
	}
}

func lockstep(r *rig) {
	c := r.open(lane.Request{Tool: "upper", Input: true, Stream: true})
	for i := range 200 {
		r.send(c, fmt.Sprintf("word %d", i))
		var got string
		if r.decode(r.recv(c).Payload, &got); got != fmt.Sprintf("WORD %d", i) {
			r.Fatalf("chunk %d is %q", i, got)
		}
	}
	r.close(c)
	if m := r.recv(c); !m.Last {
		r.Error("a chunk too many")
	}
	r.done(c)
}

func bothWays(r *rig) {
	c := r.open(lane.Request{Tool: "upper", Input: true, Stream: true})
	word := strings.Repeat("a", 3000)
	var sending sync.WaitGroup
	sending.Go(func() {
		for range 500 {
			if err := c.Send(r.ctx, encode(r, word)); err != nil {
				r.Errorf("send: %v", err)
				return
			}
		}
		if err := c.CloseSend(); err != nil {
			r.Errorf("close: %v", err)
		}
	})
	for i := range 500 {
		var got string
		if r.decode(r.recv(c).Payload, &got); got != strings.ToUpper(word) {
			r.Fatalf("chunk %d is wrong", i)
		}
	}
	sending.Wait()
	if m := r.recv(c); !m.Last {
		r.Error("a chunk too many")
	}
	r.done(c)
}

// unread leaves a stream of 20 MB alone while others are answered.
func unread(r *rig) {
	c := r.open(lane.Request{Tool: "blobs", Stream: true}, "n", 200, "size", 100_000)
	for i := range 300 {
		var out int
		if r.call(&out, "echo", "value", i); out != i {
			r.Fatalf("echo of %d gave %d", i, out)
		}
	}
	select {
	case <-c.Done():
		r.Error("200 chunks that nobody read are gone")
	default:
	}
	for range 200 {
		if m := r.recv(c); m.Last || len(m.Payload) < 100_000 {
			r.Fatalf("a chunk of %d bytes, last %v", len(m.Payload), m.Last)
		}
	}
	if m := r.recv(c); !m.Last {
		r.Error("a chunk too many")
	}
}
