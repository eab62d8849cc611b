package lanetest

import (
	"bytes"
	"strings"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

const (
	frame = 256 << 10
	huge  = 64 << 20
)

// sizes are the rules of large messages and small limits.
func sizes() []test {
	tiny := lane.Limits{MaxFrame: 1000, CallWindow: 2000, LaneWindow: 3000}
	return []test{
		{name: "ArgumentsOfAnySizeArrive", run: func(r *rig) {
			for _, n := range []int{0, 1, frame - 30, frame, frame + 1, 3 << 20, huge} {
				var out int
				if r.call(&out, "sink", "data", blob(n)); out != n {
					r.Errorf("%d bytes arrived of %d", out, n)
				}
			}
		}},
		{name: "ResultsOfAnySizeArrive", run: func(r *rig) {
			for _, n := range []int{0, 1, frame - 5, frame, frame + 1, 3 << 20, huge} {
				r.blob(n)
			}
		}},
		{name: "LargeChunksArrive", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "lengths", Input: true, Stream: true})
			for _, n := range []int{0, frame + 1, 5 << 20, 1} {
				r.send(c, blob(n))
				var got int
				if r.decode(r.recv(c).Payload, &got); got != n {
					r.Errorf("%d bytes arrived of %d", got, n)
				}
			}
			r.close(c)
			r.done(c)
			c = r.open(lane.Request{Tool: "blobs", Stream: true}, "n", 3, "size", 3<<20)
			for range 3 {
				var got []byte
				if r.decode(r.recv(c).Payload, &got); !bytes.Equal(got, blob(3<<20)) {
					r.Error("a chunk of 3 MiB is wrong")
				}
			}
			r.done(c)
		}},
		{name: "SmallLimitsAreKept", limit: tiny, run: func(r *rig) {
			r.blob(50_000)
			r.counts(r.open(lane.Request{Tool: "count", Stream: true}, "n", 300), 300)
			long := strings.Repeat("long ", 10_000)
			var out string
			if r.call(&out, "echo", "value", long); out != long {
				r.Error("a long text is wrong")
			}
			lockstep(r)
		}},
		{name: "ResultAboveMaxPayloadIsAnError", limit: lane.Limits{MaxPayload: 1000}, run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "blob"}, "size", 2000), errdefs.PayloadTooLarge)
			r.blob(900)
		}},
		{name: "ChunkAboveMaxPayloadIsAnError", limit: lane.Limits{MaxPayload: 1000}, run: func(r *rig) {
			r.fails(r.open(lane.Request{Tool: "blobs", Stream: true}, "n", 2, "size", 2000), errdefs.PayloadTooLarge)
		}},
	}
}

func (r *rig) blob(n int) {
	r.Helper()
	var out []byte
	if r.call(&out, "blob", "size", n); !bytes.Equal(out, blob(n)) {
		r.Errorf("a blob of %d bytes is wrong", n)
	}
}
