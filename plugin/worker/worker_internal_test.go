package worker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
	"github.com/snakepit-go/snakepit/proto/values"
)

type addArgs struct {
	A int `json:"a"`
	B int `json:"b,omitempty"`
}

func tools(more ...Tool) []Tool {
	return append([]Tool{
		Func("add", func(_ context.Context, _ *Call, in addArgs) (int, error) { return in.A + in.B, nil }, Describe("Adds."), Idempotent()),
		Generator("count", func(ctx context.Context, c *Call, in struct{ N int }) error {
			for i := range in.N {
				if err := c.Send(ctx, i); err != nil {
					return err
				}
			}
			return nil
		}),
		Func("panics", func(context.Context, *Call, struct{}) (any, error) {
			var m map[string]int
			m["a"] = 1 //nolint:staticcheck // that's what it's for
			return nil, nil
		}),
		Func("fails", func(context.Context, *Call, struct{}) (any, error) { return nil, errors.New("no license") }),
		Func("odd", func(context.Context, *Call, struct{}) (any, error) { return map[string]any{"f": func() {}}, nil }),
	}, more...)
}

// dial serves an adapter over gRPC alone, as any go-plugin host would reach it.
func dial(t *testing.T, a Adapter) snakepitv1.WorkerClient {
	t.Helper()
	s, err := newWorkerServer(&a)
	if err != nil {
		t.Fatal(err)
	}
	lis, server := bufconn.Listen(1<<20), newServer(nil)
	snakepitv1.RegisterWorkerServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(lis) })
	s.setUp(t.Context(), a.Setup)
	conn, err := grpc.NewClient("passthrough:worker", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return snakepitv1.NewWorkerClient(conn)
}

func call(t *testing.T, c snakepitv1.WorkerClient, tool string, args map[string]any) ([]byte, *errdefs.Error) {
	t.Helper()
	payload, err := values.Encode(args)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Call(t.Context(), &snakepitv1.WorkerCallRequest{Tool: tool, Payload: payload})
	if err != nil {
		return nil, errdefs.Of(errdefs.FromStatus(err))
	}
	return r.GetPayload(), nil
}

func TestWorkerDescribesItsTools(t *testing.T) {
	t.Setenv(slotsVariable, "8")
	r, err := dial(t, Adapter{Name: "sums", Slots: 2, Tools: tools()}).Describe(t.Context(), &snakepitv1.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r.GetAdapter() != "sums" || r.GetSlots() != 8 || r.GetRuntime() != "go" || len(r.GetTools()) != 5 {
		t.Errorf("%v", r)
	}
	add := r.GetTools()[0]
	if add.GetName() != "add" || add.GetDescription() != "Adds." || !add.GetIdempotent() || add.GetStream() || add.GetCancel() != "cooperative" ||
		!strings.Contains(add.GetInputSchema(), `"required":["a"]`) {
		t.Errorf("%v", add)
	}
	if count := r.GetTools()[1]; count.GetName() != "count" || !count.GetStream() {
		t.Errorf("%v", count)
	}
}

func TestAdapterThatCannotBeServedIsRefused(t *testing.T) {
	run := func(context.Context, *Call) (any, error) { return nil, nil }
	for want, a := range map[string]Adapter{
		"no tools":               {},
		"isn't 1 to 64 bytes":    {Tools: []Tool{{Name: "no spaces", Run: run}}},
		"two tools are named a":  {Tools: []Tool{{Name: "a", Run: run}, {Name: "a", Run: run}}},
		"tool a has no function": {Tools: []Tool{{Name: "a"}}},
		"isn't JSON":             {Tools: []Tool{{Name: "a", Run: run, InputSchema: "{"}}},
		"slots":                  {Slots: -1, Tools: tools()},
		"tool f: its arguments":  {Tools: []Tool{Func("f", func(context.Context, *Call, int) (int, error) { return 0, nil })}},
	} {
		if _, err := newWorkerServer(&a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	for _, odd := range []string{"0", "1025", "many"} {
		t.Setenv(slotsVariable, odd)
		if _, err := newWorkerServer(&Adapter{Tools: tools()}); err == nil || !strings.Contains(err.Error(), slotsVariable) {
			t.Errorf("%s=%s: %v", slotsVariable, odd, err)
		}
	}
}

func TestSetupThatFailsIsTheStartsFailure(t *testing.T) {
	c := dial(t, Adapter{Name: "sums", Tools: tools(), Setup: func(context.Context) error { return errors.New("no model") }})
	_, err := c.Describe(t.Context(), &snakepitv1.DescribeRequest{})
	if e := errdefs.FromStatus(err); errdefs.ReasonOf(e) != errdefs.StartFailed || !strings.Contains(e.Error(), "no model") {
		t.Errorf("%v", e)
	}
}

func TestHostWithoutALaneCanCall(t *testing.T) {
	c := dial(t, Adapter{Tools: tools()})
	got, e := call(t, c, "add", map[string]any{"a": 40, "b": 2})
	if want, _ := values.Encode(42); e != nil || !bytes.Equal(got, want) {
		t.Errorf("%x, %v", got, e)
	}
	r, err := c.Call(t.Context(), &snakepitv1.WorkerCallRequest{Tool: "count", Payload: []byte(`{"n": 3}`), ContentType: "application/json"})
	if err != nil || string(r.GetPayload()) != "[0,1,2]" {
		t.Errorf("%s, %v", r.GetPayload(), err)
	}
	stream, err := c.Stream(t.Context(), &snakepitv1.WorkerStreamRequest{Tool: "count", Payload: []byte(`{"n": 3}`), ContentType: "application/json"})
	if err != nil {
		t.Fatal(err)
	}
	var chunks []string
	for m, err := stream.Recv(); err == nil; m, err = stream.Recv() {
		chunks = append(chunks, string(m.GetPayload()))
	}
	if strings.Join(chunks, " ") != "0 1 2" {
		t.Errorf("%q", chunks)
	}
	_, err = c.Call(t.Context(), &snakepitv1.WorkerCallRequest{Tool: "add", ContentType: "text/plain"})
	if e := errdefs.FromStatus(err); errdefs.ReasonOf(e) != errdefs.InvalidArguments {
		t.Errorf("text: %v", e)
	}
}

func TestToolsFailuresSayWhatTheyAre(t *testing.T) {
	c := dial(t, Adapter{Tools: tools()})
	for tool, want := range map[string]struct {
		reason    errdefs.Reason
		exception string
		text      string
	}{
		"fails":   {errdefs.PythonException, "*errors.errorString", "no license"},
		"panics":  {errdefs.PythonException, "panic", "assignment to entry in nil map"},
		"odd":     {errdefs.InvalidResult, "", "can't be encoded"},
		"missing": {errdefs.ToolNotFound, "", `"missing"`},
	} {
		_, e := call(t, c, tool, map[string]any{})
		if e == nil || e.Reason != want.reason || !strings.Contains(e.Error(), want.text) {
			t.Errorf("%s: %v", tool, e)
			continue
		}
		if want.exception != "" && (e.Exception == nil || e.Exception.Type != want.exception) {
			t.Errorf("%s: %+v", tool, e.Exception)
		}
	}
	if _, e := call(t, c, "add", map[string]any{"a": 1, "c": 2}); e == nil || e.Reason != errdefs.InvalidArguments {
		t.Errorf("an argument that add doesn't have: %v", e)
	}
	if got, e := call(t, c, "add", map[string]any{"a": 1}); e != nil || len(got) == 0 {
		t.Errorf("after all that: %v", e)
	}
}

func TestDrainWaitsForWhatRunsAndAnotherHostReopens(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	c := dial(t, Adapter{Slots: 2, Tools: tools(Func("wait", func(ctx context.Context, _ *Call, _ struct{}) (bool, error) {
		close(began)
		select {
		case <-goOn:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}))})
	attach := func(host string, incarnation uint64) error {
		_, err := c.Attach(t.Context(), &snakepitv1.AttachRequest{Host: host, Incarnation: incarnation})
		return errdefs.FromStatus(err)
	}
	if err := attach("a", 3); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if _, e := call(t, c, "wait", map[string]any{}); e != nil {
			t.Error(e)
		}
	})
	<-began
	drained := make(chan error, 1)
	all.Go(func() {
		_, err := c.Drain(t.Context(), &snakepitv1.DrainRequest{})
		drained <- err
	})
	for { // until the drain has begun
		if _, e := call(t, c, "add", map[string]any{"a": 1}); e != nil && e.Reason == errdefs.Draining {
			break
		}
	}
	select {
	case err := <-drained:
		t.Fatalf("drained while a call runs: %v", err)
	default:
	}
	close(goOn)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	all.Wait()
	for _, c := range []struct {
		host        string
		incarnation uint64
		fenced      bool
	}{{"a", 2, true}, {"b", 3, true}, {"a", 3, false}, {"b", 4, false}} {
		if err := attach(c.host, c.incarnation); (errdefs.ReasonOf(err) == errdefs.Fenced) != c.fenced {
			t.Errorf("attach of %s, %d: %v", c.host, c.incarnation, err)
		}
	}
	if _, e := call(t, c, "add", map[string]any{"a": 1}); e != nil {
		t.Errorf("under another host: %v", e)
	}
}
