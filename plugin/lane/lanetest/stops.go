package lanetest

import (
	"errors"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

var errStop = errors.New("the caller has seen enough")

// atOnce is what "at once" means on a machine that is busy with other tests.
const atOnce = 2 * time.Second

// stops are the rules of cancelling.
func stops() []test {
	stop := func(tool string, args ...any) func(r *rig) {
		return func(r *rig) {
			c := r.open(lane.Request{Tool: tool}, args...)
			r.runs()
			r.cancel(c)
			r.done(c)
		}
	}
	return []test{
		{name: "SleepingToolStops", run: stop("sleep", "seconds", 50)},
		{name: "SpinningToolStops", run: stop("spin")},
		{name: "ToolThatYieldsStops", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "count", Stream: true}, "n", 1_000_000_000)
			for range 100 {
				r.recv(c)
			}
			r.cancel(c)
			r.done(c)
		}},
		{name: "ToolThatWaitsForRoomStops", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "blobs", Stream: true}, "n", 1000, "size", 100_000)
			r.recv(c)
			r.cancel(c)
			r.done(c)
		}},
		{name: "ToolThatWaitsForChunksStops", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "sum", Input: true})
			r.send(c, 1)
			r.runs()
			r.cancel(c)
			r.done(c)
		}},
		{name: "CallOfAToolThatDoesNotStopCountsUntilItsEnd", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "stubborn"}, "seconds", 1)
			r.runs()
			r.cancel(c)
			select {
			case <-c.Done():
				r.Error("the call is done, and its tool is not")
			default:
			}
			r.done(c)
		}},
		{name: "CancelOvertakesHugeArguments", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "sink"}, "data", blob(huge))
			r.cancel(c)
			r.done(c)
		}},
		{name: "CancelOvertakesHugeChunks", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "lengths", Input: true, Stream: true})
			r.send(c, blob(huge))
			r.cancel(c)
			r.done(c)
		}},
		{name: "CancelEndsAHugeResultOnItsWay", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "blob"}, "size", huge)
			for range 5 { // it may be in the making, or on its way
				r.ping()
			}
			r.cancel(c)
			r.done(c)
		}},
		{name: "CancelAtTheMomentOfTheEndDoesNoHarm", run: func(r *rig) {
			for range 300 {
				c := r.open(lane.Request{Tool: "echo"}, "value", "soon")
				c.Cancel(errStop)
				r.done(c)
			}
		}},
		{name: "CallsOfALaneThatEndsStop", run: func(r *rig) {
			r.open(lane.Request{Tool: "sleep"}, "seconds", 50)
			r.open(lane.Request{Tool: "spin"})
			r.runs()
			r.leaves = true // the next test waits until they have ended
		}},
		{name: "ToolsAreStoppedWithTheLaneBefore", run: func(r *rig) { r.idle() }},
	}
}

// runs waits until the worker runs something.
func (r *rig) runs() {
	r.Helper()
	for r.ping() == 0 {
	}
}

// cancel checks that the caller is free at once, with its own cause.
func (r *rig) cancel(c *lane.Call) {
	r.Helper()
	cause := errdefs.Wrap(errdefs.Cancelled, errStop, "test")
	r.quickly(atOnce, "the caller's way out", func() {
		c.Cancel(cause)
		for {
			if _, err := c.Recv(r.ctx); errors.Is(err, errStop) {
				return
			} else if err != nil {
				r.Fatalf("recv after the cancel: %v", err)
			}
		}
	})
}
