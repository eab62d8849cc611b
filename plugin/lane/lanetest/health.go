package lanetest

import (
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
)

// health are the rules of pings and progress.
func health() []test {
	return []test{
		{name: "PingIsAnsweredWhileAToolSpins", run: func(r *rig) {
			c := r.open(lane.Request{Tool: "spin"})
			r.runs()
			first, second := r.ping(), r.ping()
			if second <= first || second > patience {
				r.Errorf("busy for %v, then %v", first, second)
			}
			r.cancel(c)
			r.done(c)
		}},
		{name: "IdleWorkerSaysSo", run: func(r *rig) {
			if busy := r.ping(); busy != 0 {
				r.Errorf("busy for %v", busy)
			}
		}},
		{name: "LastProgressComesBeforeTheEnd", run: func(r *rig) {
			began := time.Now()
			c := r.open(lane.Request{Tool: "progress"}, "n", 3000)
			var last lane.Progress
			reports := 0
			for {
				m, err := c.Recv(r.ctx)
				if err != nil {
					r.Fatalf("recv: %v", err)
				}
				if m.Last {
					break
				}
				last = *m.Progress
				reports++
			}
			if want := (lane.Progress{Done: 3000, Total: 3000, Message: "step 3000"}); last != want {
				r.Errorf("the last report is %+v", last)
			}
			if most := 3 + int(time.Since(began)/(50*time.Millisecond)); reports > most {
				r.Errorf("%d reports, where %d are the most", reports, most)
			}
		}},
	}
}
