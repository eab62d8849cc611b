package host_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// diary notes what the hooks and the tools of fake workers see, in order.
type diary struct {
	mu    sync.Mutex // guards all below
	lines []string
	fail  map[string]error // of the next hooks of that name
	take  time.Duration    // that a hook takes
}

func (d *diary) note(c *hosttest.Call, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%s %s", what, c.Session))
}

func (d *diary) taken() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

func (d *diary) failing(hook string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.fail = map[string]error{}
	}
	d.fail[hook] = err
}

func (d *diary) slow(t time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.take = t
}

// hook is a hook that notes what it was given.
func (d *diary) hook(name string) func(context.Context, *hosttest.Call) ([]byte, error) {
	return func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		var in map[string]any
		if err := msgpack.Unmarshal(c.Payload, &in); err != nil {
			return nil, err
		}
		text := name
		switch name {
		case "close":
			text = fmt.Sprintf("close moved=%v", in["moved"])
		case "restore":
			text = fmt.Sprintf("restore state=%s saved=%s", in["state"], in["saved"])
		}
		d.note(c, text)
		d.mu.Lock()
		err, take := d.fail[name], d.take
		d.mu.Unlock()
		if take > 0 {
			if _, err := takes(take)(ctx, c); err != nil {
				return nil, err
			}
		}
		if name == "save" && err == nil {
			return msgpack.Marshal([]byte("saved by " + c.Session))
		}
		return nil, err
	}
}

// hooked is a host whose adapter has these hooks, and a tool that notes its calls.
func (d *diary) hooked(hooks ...string) func(*host.Config, *hosttest.Launcher) {
	return func(_ *host.Config, l *hosttest.Launcher) {
		l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){}
		for _, h := range hooks {
			l.Hooks["session_"+h] = d.hook(h)
		}
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "noted"}, Run: func(_ context.Context, c *hosttest.Call) ([]byte, error) {
			d.note(c, "noted")
			return nil, nil
		}})
	}
}

func (d *diary) want(r *rig, want ...string) {
	r.Helper()
	if diff := cmp.Diff(want, d.taken()); diff != "" {
		r.Errorf("the worker saw (-want +got):\n%s", diff)
	}
}

func alone(change func(*host.Config, *hosttest.Launcher)) func(*host.Config, *hosttest.Launcher) {
	return func(c *host.Config, l *hosttest.Launcher) {
		change(c, l)
		c.Pools[0].Size = 1
	}
}

func TestSessionsFirstCallComesAfterItsHook(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open", "restore"), func(r *rig) {
		r.must(host.Request{Tool: "noted", Session: "s"})
		r.must(host.Request{Tool: "noted", Session: "s"})
		r.must(host.Request{Tool: "noted"})
		d.want(r, "open s", "noted s", "noted s", "noted ")
		if p := r.settled(); p.Received != 3 || p.Calls != 3 || p.OK != 3 || p.Busy != 0 {
			r.Errorf("hooks are counted as calls: %+v", p)
		}
	})
}

func TestFailedOpenHookFailsTheCallAndIsTriedAgain(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open"), func(r *rig) {
		d.failing("open", errdefs.New(errdefs.PythonException, "ValueError: no"))
		e := r.fails(host.Request{Tool: "noted", Session: "s"}, errdefs.PythonException)
		if e.Message != "on_session_open: ValueError: no" {
			r.Errorf("message %q", e.Message)
		}
		r.wantRan(e, false)
		d.failing("open", nil)
		r.must(host.Request{Tool: "noted", Session: "s"})
		d.want(r, "open s", "open s", "noted s")
	})
}

func TestNewHomeIsGivenTheStateOnce(t *testing.T) {
	d := &diary{}
	registry := host.NewMemoryRegistry(0)
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { d.hooked("open", "restore")(c, l); c.Registry = registry }, func(r *rig) {
		c := r.open(host.Request{Tool: "noted", Session: "s"})
		_, _ = c.Recv(r.Context())
		s, _ := registry.Session(r.Context(), "s")
		if _, err := registry.SetState(r.Context(), "s", s.Epoch, host.StateChange{Key: "k", Value: []byte("v")}); err != nil {
			r.Fatal(err)
		}
		r.launcher.Worker(c.Worker()).Crash()
		synctest.Wait()
		for range 3 {
			r.must(host.Request{Tool: "noted", Session: "s"})
		}
		d.want(r, "open s", "noted s", "restore state=map[k:v] saved=%!s(<nil>) s", "noted s", "noted s", "noted s")
	})
}

func TestHookWhoseWorkerDiesIsRunOnAnother(t *testing.T) {
	d := &diary{}
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		d.hooked("open", "restore")(c, l)
		l.Hooks["session_open"] = func(ctx context.Context, call *hosttest.Call) ([]byte, error) {
			if d.note(call, "open"); call.Worker == l.Workers()[0] || call.Worker == l.Workers()[1] {
				call.Worker.Crash()
			}
			return []byte("open"), ctx.Err()
		}
	}, func(r *rig) {
		r.ready()
		r.must(host.Request{Tool: "noted", Session: "s"})
		d.want(r, "open s", "open s", "open s", "noted s") // it never was open anywhere
	})
}

func TestVisitElsewhereNeedsNoHook(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open", "restore", "close"), func(r *rig) {
		c := r.open(host.Request{Tool: "noted", Session: "s"})
		_, _ = c.Recv(r.Context())
		r.busyOn(c.Worker())
		away := r.open(host.Request{Tool: "noted", Session: "s"})
		if _, _ = away.Recv(r.Context()); away.Home() {
			r.Fatal("the home isn't busy")
		}
		d.want(r, "open s", "noted s", "noted s")
	})
}

// busyOn occupies a worker.
func (r *rig) busyOn(id host.WorkerID) {
	r.Helper()
	var others []*host.Call
	for {
		c := r.open(host.Request{Tool: "busy"})
		if c.Worker() == id {
			for _, o := range others {
				o.Close()
			}
			synctest.Wait()
			return
		}
		others = append(others, c)
	}
}

func TestConcurrentCallsWaitForOneHook(t *testing.T) {
	d := &diary{}
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) { alone(d.hooked("open"))(c, l); l.Slots = 4 }, func(r *rig) {
		d.slow(time.Second)
		var all []<-chan error
		for range 3 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "noted", Session: "s", Concurrent: true}))
		}
		d.want(r, "open s")
		for _, c := range all {
			if err := <-c; err != nil {
				r.Error(err)
			}
		}
		d.want(r, "noted s", "noted s", "noted s")
	})
}

func TestConcurrentCallsTryTheHookOneAfterTheOther(t *testing.T) {
	var tried, under, most atomic.Int64
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		l.Slots = 4
		l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){
			"session_open": func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
				most.Store(max(most.Load(), under.Add(1)))
				defer under.Add(-1)
				if _, err := takes(time.Second)(ctx, c); err != nil || tried.Add(1) > 2 {
					return nil, err
				}
				return nil, errdefs.New(errdefs.PythonException, "ValueError: no")
			},
		}
	}, func(r *rig) {
		var all []<-chan error
		for range 4 {
			all = append(all, r.start(r.Context(), host.Request{Tool: "echo", Session: "s", Concurrent: true}))
		}
		failed := 0
		for _, c := range all {
			if err := <-c; err != nil {
				r.wantReason(err, errdefs.PythonException)
				failed++
			}
		}
		if failed != 2 || tried.Load() != 3 || most.Load() != 1 {
			r.Errorf("%d calls failed, %d hooks ran, %d at once; want 2, 3 and 1", failed, tried.Load(), most.Load())
		}
	})
}

func TestHookThatCallsItsOwnSessionIsACycle(t *testing.T) {
	t.Parallel()
	for _, concurrent := range []bool{false, true} {
		t.Run(fmt.Sprint(concurrent), func(t *testing.T) {
			inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
				l.Slots = 4
				l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){
					"session_open": func(ctx context.Context, c *hosttest.Call) ([]byte, error) { return c.Host(ctx, "again", nil) },
				}
			}, func(r *rig) {
				_, err := r.Offer(host.HostTool{Tool: host.Tool{Name: "again"}, Exposed: true, Func: func(ctx context.Context, _ []byte) ([]byte, error) {
					return r.do(ctx, host.Request{Tool: "echo", Session: "s"})
				}})
				if err != nil {
					r.Fatal(err)
				}
				took := timed(func() { r.fails(host.Request{Tool: "echo", Session: "s", Concurrent: concurrent}, errdefs.CallCycle) })
				if took > 0 {
					r.Errorf("it took %s to see that", took)
				}
			})
		})
	}
}

func TestStuckHookFreesItsCallerAndThenItsWorkerIsKilled(t *testing.T) {
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		one(c, l)
		l.Hooks = map[string]func(context.Context, *hosttest.Call) ([]byte, error){
			"session_open": untilKilled,
		}
	}, func(r *rig) {
		r.ready()
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		took := timed(func() {
			_, err := r.do(ctx, host.Request{Tool: "echo", Session: "s"})
			r.wantRan(r.wantReason(err, errdefs.Deadline), false)
		})
		if took != time.Second {
			r.Errorf("its caller was free after %s", took)
		}
		if p := r.settled(); p.Busy != 1 {
			r.Errorf("%d slots are busy while the hook goes on", p.Busy)
		}
		time.Sleep(time.Minute)
		if p := r.settled(); p.Busy != 0 || p.Ready != 1 || r.launcher.Launches() != 2 {
			r.Errorf("at rest: %+v, %d launches", p, r.launcher.Launches())
		}
		r.must(host.Request{Tool: "echo"})
	})
}

func TestHookIsBoundedByStartTimeout(t *testing.T) {
	d := &diary{}
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		d.hooked("open")(c, l)
		c.Pools[0].StartTimeout = 2 * time.Second
	}, func(r *rig) {
		d.slow(10 * time.Second)
		took := timed(func() { r.fails(host.Request{Tool: "noted", Session: "s"}, errdefs.Deadline) })
		if took != 2*time.Second {
			r.Errorf("it took %s", took)
		}
	})
}

func TestHomeIsToldOfACloseBeforeTheIdIsOpenedAnew(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open", "close"), func(r *rig) {
		r.must(host.Request{Tool: "noted", Session: "s"})
		d.slow(500 * time.Millisecond)
		took := timed(func() {
			if err := r.CloseSession(r.Context(), "s"); err != nil {
				r.Error(err)
			}
		})
		if took > 0 {
			r.Errorf("the close waited for its hook, for %s", took)
		}
		r.must(host.Request{Tool: "noted", Session: "s"})
		d.want(r, "open s", "noted s", "close moved=false s", "open s", "noted s")
	})
}

func TestCloseOfABusyHomesSessionGivesUp(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("close"), func(r *rig) {
		c := r.open(host.Request{Tool: "noted", Session: "s"})
		_, _ = c.Recv(r.Context())
		r.busyOn(c.Worker())
		if err := r.CloseSession(r.Context(), "s"); err != nil {
			r.Error(err)
		}
		took := timed(func() { r.must(host.Request{Tool: "noted", Session: "s"}) })
		if took > 2*time.Second {
			r.Errorf("its id could be used again after %s", took)
		}
		d.want(r, "noted s", "noted s")
	})
}

func TestHomeIsToldOfAnExpiry(t *testing.T) {
	d := &diary{}
	inBubble(t, func(c *host.Config, l *hosttest.Launcher) {
		d.hooked("open", "close")(c, l)
		c.SessionTTL = time.Minute
	}, func(r *rig) {
		r.must(host.Request{Tool: "noted", Session: "swept"})
		time.Sleep(2 * time.Minute)
		d.want(r, "open swept", "noted swept", "close moved=false swept")
	})
}

func TestSessionThatNeverOpenedIsClosedWithoutAHook(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open", "close"), func(r *rig) {
		d.failing("open", errdefs.New(errdefs.PythonException, "no"))
		r.fails(host.Request{Tool: "noted", Session: "s"}, errdefs.PythonException)
		if err := r.CloseSession(r.Context(), "s"); err != nil {
			r.Error(err)
		}
		d.want(r, "open s")
	})
}

func TestHooksThatAWorkerHasNotAreNotCalled(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked(), func(r *rig) {
		c := r.open(host.Request{Tool: "noted", Session: "s"})
		_, _ = c.Recv(r.Context())
		r.launcher.Worker(c.Worker()).Crash()
		synctest.Wait()
		r.must(host.Request{Tool: "noted", Session: "s"})
		_ = r.CloseSession(r.Context(), "s")
		d.want(r, "noted s", "noted s")
	})
}

func TestReservedNamesOfAnAdapterAreRefused(t *testing.T) {
	inBubble(t, func(_ *host.Config, l *hosttest.Launcher) {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: "snakepit.session.open"}})
	}, func(r *rig) {
		e := r.wantReason(r.Ready(r.Context()), errdefs.StartFailed)
		if len(r.launcher.Live()) > 0 {
			r.Errorf("it lives on: %v", (*errdefs.Error)(e))
		}
	})
}

func TestHooksCannotBeCalled(t *testing.T) {
	d := &diary{}
	inBubble(t, d.hooked("open", "save"), func(r *rig) {
		for _, tool := range []string{"snakepit.session.open", "snakepit.session.save"} {
			r.fails(host.Request{Tool: tool, Session: "s"}, errdefs.ToolNotFound)
			r.fails(host.Request{Tool: tool, Pool: "ml"}, errdefs.ToolNotFound)
		}
	})
}

func TestCallsSayTheirEpochAndWhetherTheyAreAway(t *testing.T) {
	var mu sync.Mutex
	var seen []host.Invocation
	inBubble(t, func(_ *host.Config, l *hosttest.Launcher) {
		l.OnStart = func(_ *hosttest.Worker, inv host.Invocation) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, inv)
			return nil
		}
	}, func(r *rig) {
		c := r.open(host.Request{Tool: "echo", Session: "s"})
		_, _ = c.Recv(r.Context())
		r.busyOn(c.Worker())
		r.must(host.Request{Tool: "echo", Session: "s"})
		r.launcher.Worker(c.Worker()).Crash()
		synctest.Wait()
		r.must(host.Request{Tool: "echo", Session: "s"})
		r.must(host.Request{Tool: "echo"})
		epoch := r.sessionsOf()[0].Epoch
		calls := slices.DeleteFunc(seen, func(i host.Invocation) bool { return i.Tool != "echo" })
		if len(calls) != 4 || calls[0].Epoch == 0 || calls[1].Epoch != calls[0].Epoch || calls[2].Epoch != epoch || epoch <= calls[0].Epoch || calls[3].Epoch != 0 {
			r.Errorf("epochs of %+v, want the session's, last %d", calls, epoch)
		}
		if calls[0].Away || !calls[1].Away || calls[2].Away || calls[3].Away {
			r.Errorf("%+v: all but the second are at home", calls)
		}
	})
}

func TestStrictSessionsPinTheirHome(t *testing.T) {
	inBubble(t, one, func(r *rig) {
		pins := func(want int) {
			r.Helper()
			if got := r.launcher.Live()[0].Pins(); got != want {
				r.Errorf("%d pins, want %d", got, want)
			}
		}
		r.must(host.Request{Tool: "echo", Session: "hint"})
		pins(0)
		r.must(host.Request{Tool: "echo", Session: "hint", Affinity: host.AffinityStrictQueue}) // the call, not its session
		pins(0)
		r.must(host.Request{Tool: "echo", Session: "a", Affinity: host.AffinityStrictQueue})
		r.must(host.Request{Tool: "echo", Session: "b", Affinity: host.AffinityStrictFailFast})
		pins(1)
		_ = r.CloseSession(r.Context(), "a")
		pins(1)
		_ = r.CloseSession(r.Context(), "b")
		pins(0)
	})
}

func untilKilled(ctx context.Context, c *hosttest.Call) ([]byte, error) {
	<-c.Killed()
	return []byte("too late"), ctx.Err()
}
