package host_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// stateful offers tools that reach their session's state: get; set, which sends its
// payload as it is; late, which sends it two seconds after it began; and forged, which
// says that it runs for another session.
func stateful(_ *host.Config, l *hosttest.Launcher) {
	l.Slots = 2
	set := func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
		return c.Host(ctx, "snakepit.state.set", c.Payload)
	}
	for name, run := range map[string]func(context.Context, *hosttest.Call) ([]byte, error){
		"set": set,
		"get": func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			return c.Host(ctx, "snakepit.state.get", []byte{0x80})
		},
		"late": func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			if _, err := takes(2*time.Second)(ctx, c); err != nil {
				return nil, err
			}
			return set(ctx, c)
		},
		"lateGet": func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			if _, err := takes(2*time.Second)(ctx, c); err != nil {
				return nil, err
			}
			return c.Host(ctx, "snakepit.state.get", nil)
		},
		"forged": func(ctx context.Context, c *hosttest.Call) ([]byte, error) {
			other := *c
			other.Session, other.ID = "victim", c.ID+"0"
			return other.Host(ctx, "snakepit.state.get", nil)
		},
	} {
		l.Tools = append(l.Tools, hosttest.Tool{Tool: host.Tool{Name: name}, Run: run})
	}
}

func packed(t *testing.T, all ...map[string]any) []byte {
	t.Helper()
	b, err := msgpack.Marshal(map[string]any{"changes": all})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *rig) wantStateOf(id host.SessionID, want map[string]string) map[string]uint64 {
	r.Helper()
	var raw map[string][]any
	if err := msgpack.Unmarshal(r.must(host.Request{Tool: "get", Session: id}), &raw); err != nil {
		r.Fatal(err)
	}
	got, versions := map[string]string{}, map[string]uint64{}
	for key, v := range raw {
		b, ok := v[0].([]byte)
		if !ok || len(v) != 2 {
			r.Fatalf("key %s has %v", key, v)
		}
		got[key] = string(b)
		versions[key], _ = v[1].(uint64)
	}
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("state (-want +got):\n%s", d)
	}
	return versions
}

func TestToolsReachTheStateOfTheirSession(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		set := func(id host.SessionID, all ...map[string]any) uint64 {
			r.Helper()
			var version uint64
			if err := msgpack.Unmarshal(r.must(host.Request{Tool: "set", Session: id, Payload: packed(r.T, all...)}), &version); err != nil {
				r.Fatal(err)
			}
			return version
		}
		r.wantStateOf("a", map[string]string{})
		version := set("a", map[string]any{"key": "x", "value": []byte("1"), "expected": 0}, map[string]any{"key": "y", "value": []byte{}})
		if got := r.wantStateOf("a", map[string]string{"x": "1", "y": ""}); got["x"] != version {
			r.Errorf("set at version %d, read at %v", version, got)
		}
		r.wantStateOf("b", map[string]string{})
		e := r.fails(host.Request{Tool: "set", Session: "a", Payload: packed(r.T, map[string]any{"key": "x", "value": []byte("2"), "expected": 0})}, errdefs.Conflict)
		if e.Message == "" {
			r.Error("no word on why")
		}
		set("a", map[string]any{"key": "y"}, map[string]any{"key": "x", "value": []byte("2"), "expected": version})
		r.wantStateOf("a", map[string]string{"x": "2"})
	})
}

func TestStateOutlivesTheWorker(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		r.must(host.Request{Tool: "set", Session: "a", Payload: packed(r.T, map[string]any{"key": "x", "value": []byte("1")})})
		for _, w := range r.launcher.Live() {
			w.Crash()
		}
		r.wantStateOf("a", map[string]string{"x": "1"})
	})
}

func TestStateIsOutOfReachWithoutASession(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		r.must(host.Request{Tool: "set", Session: "victim", Payload: packed(r.T, map[string]any{"key": "x", "value": []byte("1")})})
		for _, tool := range []string{"get", "set", "forged"} {
			r.fails(host.Request{Tool: tool, Payload: packed(r.T)}, errdefs.InvalidArguments)
		}
		r.fails(host.Request{Tool: "forged", Session: "mine"}, errdefs.InvalidArguments)
		r.fails(host.Request{Tool: "snakepit.state.get", Session: "victim"}, errdefs.InvalidArguments)
	})
}

func TestStateIsFencedOnceTheSessionHasMoved(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		payload := packed(r.T, map[string]any{"key": "x", "value": []byte("late")})
		home := r.open(host.Request{Tool: "echo", Session: "a", Concurrent: true})
		_, _ = home.Recv(r.Context())
		r.busyOn(home.Worker())
		r.busyOn(home.Worker())
		late := r.start(r.Context(), host.Request{Tool: "late", Session: "a", Payload: payload})
		lateGet := r.start(r.Context(), host.Request{Tool: "lateGet", Session: "a"})
		r.launcher.Worker(home.Worker()).Crash()
		r.wantStateOf("a", map[string]string{}) // which gives it a new home
		r.wantReason(<-late, errdefs.Fenced)
		r.wantReason(<-lateGet, errdefs.Fenced)
		r.wantStateOf("a", map[string]string{})
	})
}

func TestStateToolsRefuseWhatTheyCannotRead(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		for _, payload := range [][]byte{nil, {0xc1}, []byte("\x81\xa7changes\xa1x"), {0x80}, {0xdd, 0xff, 0xff, 0xff, 0xff}} {
			r.fails(host.Request{Tool: "set", Session: "a", Payload: payload}, errdefs.InvalidArguments)
		}
		huge := packed(r.T, map[string]any{"key": "x", "value": make([]byte, 600<<10)})
		r.fails(host.Request{Tool: "set", Session: "a", Payload: huge}, errdefs.PayloadTooLarge)
		r.fails(host.Request{Tool: "set", Session: "a", Payload: packed(r.T, map[string]any{"key": "x", "value": make([]byte, 5<<10)})}, errdefs.PayloadTooLarge)
	})
}

func TestStateToolsAreNotListed(t *testing.T) {
	inBubble(t, stateful, func(r *rig) {
		var listed []any
		if err := msgpack.Unmarshal(r.must(host.Request{Tool: "ask", Payload: []byte("snakepit.tools")}), &listed); err != nil || len(listed) != 0 {
			r.Errorf("listed %v, %v", listed, err)
		}
		for _, tool := range r.Tools("") {
			if tool.Pool == "" {
				r.Errorf("%s is listed", tool.Name)
			}
		}
	})
}
