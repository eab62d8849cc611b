package worker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
	"github.com/snakepit-go/snakepit/proto/values"
)

// hosted is an adapter with a lane to a host that keeps one state.
type hosted struct {
	*testing.T
	ctx    context.Context //nolint:containedctx // a test's
	server *workerServer
	lane   *lane.Lane

	mu      sync.Mutex // guards what follows
	values  map[string][]byte
	at      map[string]uint64 // versions
	version uint64
	asked   []string
	refuse  error // what writes fail with
}

func serveHosted(t *testing.T, a Adapter) *hosted {
	t.Helper()
	s, err := newWorkerServer(&a)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.host.attach(&snakepitv1.AttachRequest{Host: "test", Incarnation: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	h := &hosted{T: t, ctx: ctx, server: s, values: map[string][]byte{}, at: map[string]uint64{}}
	near, far := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() { _ = s.serveLane(ctx, lane.Local(far, 0)) }) // ends with the other side
	h.lane, err = lane.Dial(ctx, lane.Local(near, 0), lane.Config{Token: token, Serve: h.serve})
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() { _ = h.lane.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return h
}

func (h *hosted) serve(_ context.Context, in *lane.Inbound) {
	result, err := h.answer(in.Request())
	if err != nil {
		in.End(nil, err)
		return
	}
	in.End(values.Encode(result))
}

func (h *hosted) answer(r lane.Request) (any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, strings.TrimPrefix(r.Tool, "snakepit.state."))
	if r.Tool == stateGet {
		out := map[string]any{}
		for key, v := range h.values {
			out[key] = []any{v, h.at[key]}
		}
		return out, nil
	}
	var in struct {
		Changes []struct {
			Key      string  `json:"key"`
			Value    []byte  `json:"value,omitempty"`
			Expected *uint64 `json:"expected,omitempty"`
		}
	}
	if err := values.DecodeStrict(r.Payload, &in); err != nil || r.Tool != stateSet {
		return nil, errdefs.New(errdefs.InvalidArguments, "%s: %v", r.Tool, err)
	}
	if h.refuse != nil {
		return nil, h.refuse
	}
	for _, c := range in.Changes {
		if c.Expected != nil && *c.Expected != h.at[c.Key] {
			return nil, errdefs.New(errdefs.Conflict, "%s has version %d", c.Key, h.at[c.Key])
		}
	}
	h.version++
	for _, c := range in.Changes {
		delete(h.values, c.Key)
		delete(h.at, c.Key)
		if c.Value != nil {
			h.values[c.Key], h.at[c.Key] = c.Value, h.version
		}
	}
	return h.version, nil
}

// open opens a call.
func (h *hosted) open(r lane.Request, args map[string]any) *lane.Call {
	h.Helper()
	var err error
	if r.Payload, err = values.Encode(args); err != nil {
		h.Fatal(err)
	}
	c, err := h.lane.Open(h.ctx, r)
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// call makes a call and gives its result.
func (h *hosted) call(r lane.Request, args map[string]any) (any, error) {
	h.Helper()
	return h.end(h.open(r, args))
}

func (h *hosted) end(c *lane.Call) (any, error) {
	h.Helper()
	m, err := c.Recv(h.ctx)
	if err != nil {
		return nil, err
	}
	var out any
	if err := values.Decode(m.Payload, &out); err != nil {
		h.Fatal(err)
	}
	return out, nil
}

// within runs a test's code in a tool of session s.
func within(t *testing.T, run func(ctx context.Context, s *Session) error) *hosted {
	t.Helper()
	h := serveHosted(t, Adapter{Tools: []Tool{Func("run", func(ctx context.Context, c *Call, _ struct{}) (any, error) {
		return nil, run(ctx, c.Session())
	})}})
	if _, err := h.call(lane.Request{Tool: "run", Session: "s"}, nil); err != nil {
		t.Error(err)
	}
	return h
}

func TestStateIsReadOnceACallAndWrittenAtOnce(t *testing.T) {
	h := within(t, func(ctx context.Context, s *Session) error {
		var got []int
		if ok, err := s.Get(ctx, "k", &got); ok || err != nil {
			t.Errorf("a key that isn't there: %v, %v", ok, err)
		}
		if err := s.Set(ctx, "k", []int{1, 2}); err != nil {
			return err
		}
		if ok, err := s.Get(ctx, "k", &got); !ok || err != nil || !slices.Equal(got, []int{1, 2}) {
			t.Errorf("%v, %v, %v", got, ok, err)
		}
		if v, err := s.Version(ctx, "k"); v != 1 || err != nil {
			t.Errorf("version %d, %v", v, err)
		}
		if _, err := s.Write(ctx, Change{Key: "k", Delete: true}, Change{Key: "l", Value: nil}); err != nil {
			return err
		}
		keys, err := s.Keys(ctx)
		if !slices.Equal(keys, []string{"l"}) {
			t.Errorf("keys %q", keys)
		}
		return err
	})
	if d := cmp.Diff([]string{"get", "set", "set"}, h.asked); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string][]byte{"l": {0xc0}}, h.values); d != "" {
		t.Error(d)
	}
}

func TestConflictIsToldAndWhatIsThereReadAnew(t *testing.T) {
	h := within(t, func(ctx context.Context, s *Session) error {
		first, err := s.Write(ctx, Change{Key: "n", Value: 1, Compare: true})
		if err != nil {
			return err
		}
		if _, err := s.Write(ctx, Change{Key: "n", Value: 2, Compare: true}); errdefs.ReasonOf(err) != errdefs.Conflict {
			t.Errorf("a key that must not be there, and is: %v", err)
		}
		now, err := s.Version(ctx, "n")
		if now != first || err != nil {
			t.Errorf("version %d, %v; want %d", now, err, first)
		}
		_, err = s.Write(ctx, Change{Key: "n", Value: 3, Compare: true, Expected: now})
		return err
	})
	if d := cmp.Diff(map[string][]byte{"n": {3}}, h.values); d != "" {
		t.Error(d)
	}
}

func TestWriteThatFailedIsNotTakenForDone(t *testing.T) {
	h := serveHosted(t, Adapter{Tools: []Tool{Func("run", func(ctx context.Context, c *Call, _ struct{}) (bool, error) {
		s := c.Session()
		if _, err := s.Keys(ctx); err != nil {
			return false, err
		}
		if err := s.Set(ctx, "k", 1); errdefs.ReasonOf(err) != errdefs.Fenced {
			return false, fmt.Errorf("the write gave %w", err)
		}
		return s.Get(ctx, "k", new(int))
	})}})
	h.refuse = errdefs.New(errdefs.Fenced, "it has another owner")
	if there, err := h.call(lane.Request{Tool: "run", Session: "s"}, nil); there != false || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}

func TestValueThatAStateCannotKeepIsRefused(t *testing.T) {
	h := within(t, func(ctx context.Context, s *Session) error {
		if err := s.Set(ctx, "k", make([]byte, 4094)); errdefs.ReasonOf(err) != errdefs.PayloadTooLarge {
			t.Errorf("4097 bytes: %v", err)
		}
		if err := s.Set(ctx, "k", func() {}); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("a function: %v", err)
		}
		return s.Set(ctx, "k", make([]byte, 4093))
	})
	if d := cmp.Diff([]string{"set"}, h.asked); d != "" {
		t.Error(d)
	}
}

func TestRestoreReadsWhatCameAlongAndAsksForVersions(t *testing.T) {
	h := serveHosted(t, Adapter{Tools: tools(), Hooks: Hooks{Restore: func(ctx context.Context, s *Session, saved []byte) error {
		var k string
		ok, err := s.Get(ctx, "k", &k)
		if !ok || k != "along" || string(saved) != "bytes" || err != nil {
			t.Errorf("%q, %q, %v", k, saved, err)
		}
		if v, err := s.Version(ctx, "k"); v != 9 || err != nil {
			t.Errorf("version %d, %v", v, err)
		}
		return nil
	}}})
	h.values["k"], h.at["k"] = []byte("\xa1x"), 9
	args := map[string]any{"state": map[string][]byte{"k": []byte("\xa5along")}, "saved": []byte("bytes")}
	if out, err := h.call(lane.Request{Tool: "snakepit.session.restore", Session: "s"}, args); out != nil || err != nil {
		t.Errorf("%v, %v", out, err)
	}
	if d := cmp.Diff([]string{"get"}, h.asked); d != "" {
		t.Error(d)
	}
}

func TestDescribeNamesTheHooksAndListsNone(t *testing.T) {
	quiet := func(context.Context, *Session) error { return nil }
	for want, hooks := range map[string]Hooks{
		"lane/grpc":                            {},
		"lane/grpc session_open":               {Open: quiet},
		"lane/grpc session_save":               {Save: func(context.Context, *Session) ([]byte, error) { return nil, nil }},
		"lane/grpc session_open session_close": {Open: quiet, Close: func(context.Context, *Session, bool) error { return nil }},
	} {
		r, err := dial(t, Adapter{Tools: tools(), Hooks: hooks}).Describe(t.Context(), &snakepitv1.DescribeRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.GetCapabilities(), " "); got != want || len(r.GetTools()) != 5 {
			t.Errorf("capabilities %q and %d tools; want %q", got, len(r.GetTools()), want)
		}
	}
	run := func(context.Context, *Call) (any, error) { return nil, nil }
	_, err := newWorkerServer(&Adapter{Tools: []Tool{{Name: "snakepit.session.open", Run: run}}})
	if errdefs.ReasonOf(err) != errdefs.InvalidToolName || !strings.Contains(err.Error(), "Snakepit's own") {
		t.Errorf("a tool with a reserved name: %v", err)
	}
}

func TestCallThatWaitsForASlotIsOvertakenByANewerOwner(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h := serveHosted(t, Adapter{Tools: tools(Func("wait", func(ctx context.Context, _ *Call, _ struct{}) (any, error) {
		close(began)
		select {
		case <-goOn:
		case <-ctx.Done():
		}
		return nil, ctx.Err()
	}))})
	first := h.open(lane.Request{Tool: "wait", Session: "s", Epoch: 3}, nil)
	<-began
	second := h.open(lane.Request{Tool: "add", Session: "s", Epoch: 3}, map[string]any{"a": 1})
	for h.waiting() < 2 { // until the second waits for the slot
	}
	third := h.open(lane.Request{Tool: "add", Session: "s", Epoch: 4}, map[string]any{"a": 2})
	for h.server.calls.fences.see("s", 1) < 4 { // until the newer owner was seen
	}
	close(goOn)
	if _, err := h.end(first); err != nil {
		t.Error(err)
	}
	if got, err := h.end(second); errdefs.ReasonOf(err) != errdefs.Fenced || errdefs.MayHaveRun(err) {
		t.Errorf("the call that waited: %v, %v; want fenced", got, err)
	}
	if got, err := h.end(third); got != int64(2) || err != nil {
		t.Errorf("the newer owner's: %v, %v", got, err)
	}
}

func (h *hosted) waiting() int {
	h.server.calls.mu.Lock()
	defer h.server.calls.mu.Unlock()
	return h.server.calls.open
}

func TestFencesForgetWhatWasNotCalledForLongest(t *testing.T) {
	f := newFences(3)
	for i := range 3 {
		f.see(strconv.Itoa(i), 9)
	}
	f.see("0", 1)
	f.see("3", 9)
	for _, session := range []string{"0", "2", "3"} {
		if err := f.admit(lane.Request{Session: session, Epoch: 8}); errdefs.ReasonOf(err) != errdefs.Fenced {
			t.Errorf("session %s: %v, want fenced", session, err)
		}
	}
	if err := f.admit(lane.Request{Session: "1", Epoch: 1}); err != nil {
		t.Errorf("the one that was forgotten: %v", err)
	}
	if len(f.bySess) != 3 || f.recency.Len() != 3 {
		t.Errorf("%d and %d sessions are remembered", len(f.bySess), f.recency.Len())
	}
}

func TestSessionTellsOfItself(t *testing.T) {
	h := serveHosted(t, Adapter{Tools: []Tool{Func("about", func(_ context.Context, c *Call, _ struct{}) ([]any, error) {
		s := c.Session()
		if s == nil {
			return []any{c.FencingToken()}, nil
		}
		return []any{s.ID, s.Home, s.Epoch, c.FencingToken(), s == c.Session()}, nil
	})}})
	for _, c := range []struct {
		r    lane.Request
		want []any
	}{
		{lane.Request{}, []any{int64(0)}},
		{lane.Request{Session: "s"}, []any{"s", true, int64(0), int64(0), true}},
		{lane.Request{Session: "s", Epoch: 4, Away: true}, []any{"s", false, int64(4), int64(4), true}},
	} {
		c.r.Tool = "about"
		got, err := h.call(c.r, nil)
		if d := cmp.Diff(any(c.want), got); d != "" || err != nil {
			t.Errorf("%v %s", err, d)
		}
	}
}
