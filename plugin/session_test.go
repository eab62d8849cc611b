//go:build unix

package plugin_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// sessions tells what arrives of a session, and has hooks.
const sessions = `
from snakepit import Adapter, Context, tool

class Sessions(Adapter):
    def on_session_restore(self, session, saved):
        self.restored = [dict(session.state), saved]

    def on_session_save(self, session):
        return b"saved " + session.id.encode()

    @tool
    def about(self, ctx: Context):
        s = ctx.session
        return [s.id, s.home, ctx.fencing_token, getattr(self, "restored", None)]

    @tool
    def count(self, ctx: Context):
        state = ctx.session.state
        return state.set("n", state.get("n", 0) + 1, expected=state.version("n"))
`

// answer runs a call to its end.
func answer(t *testing.T, w host.Worker, inv host.Invocation) (any, error) {
	t.Helper()
	if inv.Payload == nil {
		inv.Payload = []byte(emptyMap)
	}
	run, err := w.Start(t.Context(), inv)
	if err != nil {
		return nil, err
	}
	m, err := run.Recv(t.Context())
	if err != nil {
		return nil, err
	}
	var out any
	if err := values.Decode(m.Payload, &out); err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func TestEpochAndHomeArriveAndALowerEpochIsFenced(t *testing.T) {
	t.Parallel()
	w := start(t, sessions)
	for _, c := range []struct {
		inv  host.Invocation
		want any // nil: fenced
	}{
		{host.Invocation{Session: "s", Epoch: 7}, []any{"s", true, int64(7), nil}},
		{host.Invocation{Session: "s", Epoch: 6}, nil},
		{host.Invocation{Session: "s", Epoch: 8, Away: true}, []any{"s", false, int64(8), nil}},
		{host.Invocation{Session: "s", Epoch: 7}, nil},
		{host.Invocation{Session: "other", Epoch: 1}, []any{"other", true, int64(1), nil}},
		{host.Invocation{Session: "s"}, []any{"s", true, int64(0), nil}},
	} {
		c.inv.Tool = "about"
		got, err := answer(t, w, c.inv)
		if c.want == nil {
			if errdefs.ReasonOf(err) != errdefs.Fenced || errdefs.MayHaveRun(err) {
				t.Errorf("epoch %d of %s: %v, %v; want fenced, and that it didn't run", c.inv.Epoch, c.inv.Session, got, err)
			}
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("epoch %d of %s: %v %s", c.inv.Epoch, c.inv.Session, err, d)
		}
	}
}

func TestHooksAreDescribedAndCalledByName(t *testing.T) {
	t.Parallel()
	w := start(t, sessions)
	d := w.Description()
	for name, has := range map[string]bool{"session_open": false, "session_restore": true, "session_save": true, "session_close": false} {
		if slices.Contains(d.Capabilities, name) != has {
			t.Errorf("capabilities %v: %s should be there: %v", d.Capabilities, name, has)
		}
	}
	if len(d.Tools) != 2 {
		t.Errorf("%d tools; hooks are none", len(d.Tools))
	}
	saved, err := answer(t, w, host.Invocation{Tool: "snakepit.session.save", Session: "s"})
	if d := cmp.Diff(any([]byte("saved s")), saved); d != "" || err != nil {
		t.Errorf("save: %v %s", err, d)
	}
	one, err := values.Encode("one")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := values.Encode(map[string]any{"state": map[string][]byte{"k": one}, "saved": saved})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answer(t, w, host.Invocation{Tool: "snakepit.session.restore", Session: "s", Payload: payload}); err != nil {
		t.Error(err)
	}
	got, err := answer(t, w, host.Invocation{Tool: "about", Session: "s"})
	want := []any{"s", true, int64(0), []any{map[string]any{"k": "one"}, []byte("saved s")}}
	if d := cmp.Diff(any(want), got); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	if _, err := answer(t, w, host.Invocation{Tool: "snakepit.session.open", Session: "s"}); errdefs.ReasonOf(err) != errdefs.ToolNotFound {
		t.Errorf("a hook that the adapter hasn't: %v", err)
	}
}

// counting is a host that keeps one key of a state.
type counting struct {
	mu      sync.Mutex
	value   []byte
	version uint64
	rival   int // how often somebody else is faster
}

func (c *counting) ServeTool(_ context.Context, _ host.WorkerID, inv host.Invocation) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if inv.Tool == "snakepit.state.get" {
		if c.version == 0 {
			return values.Encode(map[string]any{})
		}
		return values.Encode(map[string]any{"n": []any{c.value, c.version}})
	}
	var in struct {
		Changes []struct {
			Key      string
			Value    []byte
			Expected *uint64
		}
	}
	if err := values.DecodeStrict(inv.Payload, &in); err != nil || inv.Tool != "snakepit.state.set" || len(in.Changes) != 1 {
		return nil, errdefs.New(errdefs.InvalidArguments, "%s: %v", inv.Tool, err)
	}
	if c.rival > 0 {
		c.rival--
		c.version++
		c.value = []byte{41}
	}
	if e := in.Changes[0].Expected; e == nil || *e != c.version {
		return nil, errdefs.New(errdefs.Conflict, "version %d", c.version)
	}
	c.value, c.version = in.Changes[0].Value, c.version+1
	return values.Encode(c.version)
}

func TestAPythonToolsStateIsWhatTheHostKeeps(t *testing.T) {
	t.Parallel()
	c := &counting{}
	w, err := launcher(t).Launch(t.Context(), spec(t, sessions), c)
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 3; want++ {
		if got, err := answer(t, w, host.Invocation{Tool: "count", Session: "s", Epoch: 1}); err != nil || got != want {
			t.Errorf("version %v, %v; want %d", got, err, want)
		}
	}
	c.rival = 1
	if _, err := answer(t, w, host.Invocation{Tool: "count", Session: "s", Epoch: 1}); errdefs.ReasonOf(err) != errdefs.Conflict {
		t.Errorf("a write that comes too late: %v", err)
	}
	if got, err := answer(t, w, host.Invocation{Tool: "count", Session: "s", Epoch: 1}); err != nil || got != int64(5) || c.value[0] != 42 {
		t.Errorf("version %v of %v, %v; want 5 of 42", got, c.value, err)
	}
}
