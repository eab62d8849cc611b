package lanetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// Worker is the worker that the suite wants, in Go. Its zero value has the tools;
// it serves one lane after the other.
type Worker struct {
	sessions memory
}

// Accept opens the worker's side of a lane; cfg.Serve is replaced by the tools.
// Run is the caller's part.
func (w *Worker) Accept(ctx context.Context, carrier lane.Carrier, cfg lane.Config) (*lane.Lane, error) {
	var l *lane.Lane
	cfg.Serve = func(ctx context.Context, in *lane.Inbound) { w.serve(ctx, &output{in: in, lane: l}) }
	var err error
	l, err = lane.Accept(ctx, carrier, cfg)
	return l, err
}

type arg map[string]any

func (a arg) int(name string) int {
	switch n := a[name].(type) {
	case int64:
		return int(n)
	case uint64:
		return int(n) //nolint:gosec // a test's own numbers
	case int:
		return n
	}
	return 0
}

func (a arg) text(name string) string {
	s, _ := a[name].(string)
	return s
}

func (a arg) seconds() time.Duration {
	if f, ok := a["seconds"].(float64); ok {
		return time.Duration(f * float64(time.Second))
	}
	return time.Duration(a.int("seconds")) * time.Second
}

func (w *Worker) serve(ctx context.Context, out *output) {
	in := out.in
	if err := w.sessions.admit(in.Request()); err != nil {
		in.End(nil, err)
		return
	}
	run := w.tools()[in.Request().Tool]
	if run == nil {
		in.End(nil, errdefs.New(errdefs.ToolNotFound, "there is no tool %q", in.Request().Tool))
		return
	}
	var args arg
	if err := values.Decode(in.Request().Payload, (*map[string]any)(&args)); err != nil {
		in.End(nil, errdefs.Wrap(errdefs.InvalidArguments, err, "arguments"))
		return
	}
	result, err := run(ctx, out, args)
	if err != nil {
		in.End(nil, err)
		return
	}
	if out.chunks {
		result = out.list
	}
	if out.chunks && in.Request().Stream {
		in.End(nil, nil)
		return
	}
	raw, err := values.Encode(result)
	in.End(raw, err)
}

// output is where a tool's chunks go: to a caller that takes them, else into a list.
type output struct {
	in     *lane.Inbound
	lane   *lane.Lane
	chunks bool
	list   []any
}

func (o *output) yield(ctx context.Context, v any) error {
	o.chunks = true
	if !o.in.Request().Stream {
		o.list = append(o.list, v)
		return ctx.Err()
	}
	raw, err := values.Encode(v)
	if err != nil {
		return err
	}
	return o.in.Send(ctx, raw)
}

// each runs f for each of the caller's chunks.
func (o *output) each(ctx context.Context, f func(v any) error) error {
	for {
		raw, err := o.in.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var v any
		if err := values.Decode(raw, &v); err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
}

type workerTool func(ctx context.Context, out *output, a arg) (any, error)

func (w *Worker) tools() map[string]workerTool {
	return map[string]workerTool{
		"echo":    func(_ context.Context, _ *output, a arg) (any, error) { return a["value"], nil },
		"blob":    func(_ context.Context, _ *output, a arg) (any, error) { return blob(a.int("size")), nil },
		"sink":    sink,
		"count":   count,
		"blobs":   blobs,
		"sum":     sum,
		"upper":   upper,
		"lengths": lengths,
		"sleep":   func(ctx context.Context, _ *output, a arg) (any, error) { return pause(ctx, a.seconds()) },
		"stubborn": func(ctx context.Context, _ *output, a arg) (any, error) {
			return pause(context.WithoutCancel(ctx), a.seconds())
		},
		"spin":      spin,
		"fail":      fail,
		"call_back": callBack,
		"progress":  report,
		"about":     about,
		"keep":      keep,
		"hooks":     w.sessions.tell,

		"snakepit.session.open":    w.sessions.open,
		"snakepit.session.restore": w.sessions.restore,
		"snakepit.session.save":    w.sessions.save,
		"snakepit.session.close":   w.sessions.close,
	}
}

// blob is n bytes that show where they belong.
func blob(n int) []byte {
	b := make([]byte, n)
	for i := range min(n, 251) {
		b[i] = byte(i)
	}
	for done := 251; done < n; done *= 2 {
		copy(b[done:], b[:done])
	}
	return b
}

func sink(_ context.Context, _ *output, a arg) (any, error) {
	data, _ := a["data"].([]byte)
	return len(data), nil
}

func count(ctx context.Context, out *output, a arg) (any, error) {
	out.chunks = true
	for i := range a.int("n") {
		if err := out.yield(ctx, i); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func blobs(ctx context.Context, out *output, a arg) (any, error) {
	for range a.int("n") {
		if err := out.yield(ctx, blob(a.int("size"))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func sum(ctx context.Context, out *output, _ arg) (any, error) {
	total := 0
	err := out.each(ctx, func(v any) error {
		total += arg{"v": v}.int("v")
		return nil
	})
	return total, err
}

func upper(ctx context.Context, out *output, _ arg) (any, error) {
	out.chunks = true
	return nil, out.each(ctx, func(v any) error { return out.yield(ctx, strings.ToUpper(arg{"v": v}.text("v"))) })
}

func lengths(ctx context.Context, out *output, _ arg) (any, error) {
	out.chunks = true
	return nil, out.each(ctx, func(v any) error {
		data, _ := v.([]byte)
		return out.yield(ctx, len(data))
	})
}

func pause(ctx context.Context, d time.Duration) (any, error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return d.Seconds(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func spin(ctx context.Context, _ *output, _ arg) (any, error) {
	for ctx.Err() == nil {
		runtime.Gosched()
	}
	return nil, ctx.Err()
}

func fail(_ context.Context, _ *output, a arg) (any, error) {
	e := errdefs.New(errdefs.PythonException, "ValueError: %s", a.text("message"))
	e.Exception = &errdefs.Exception{
		Type: "ValueError", Bases: []string{"Exception", "BaseException"}, Message: a.text("message"), Notes: []string{"first", "second"},
	}
	return nil, e
}

func callBack(ctx context.Context, out *output, a arg) (any, error) {
	var result any
	err := out.ask(ctx, a.text("tool"), map[string]any{"value": a["value"]}, &result)
	return result, err
}

// ask calls a host tool.
func (o *output) ask(ctx context.Context, tool string, args map[string]any, result any) error {
	payload, err := values.Encode(args)
	if err != nil {
		return err
	}
	c, err := o.lane.Open(ctx, lane.Request{Tool: tool, Payload: payload, Parent: o.in.ID()})
	if err != nil {
		return err
	}
	m, err := c.Recv(ctx)
	if err != nil {
		return err
	}
	return values.Decode(m.Payload, result)
}

func report(_ context.Context, out *output, a arg) (any, error) {
	n := a.int("n")
	for i := 1; i <= n; i++ {
		out.in.Progress(lane.Progress{Done: float64(i), Total: float64(n), Message: fmt.Sprintf("step %d", i)})
	}
	return n, nil
}

func about(_ context.Context, out *output, _ arg) (any, error) {
	r := out.in.Request()
	metadata := map[string]any{}
	for k, v := range r.Metadata {
		metadata[k] = v
	}
	var remaining any
	if !r.Deadline.IsZero() {
		remaining = time.Until(r.Deadline).Seconds()
	}
	var epoch, home any
	if r.Session != "" {
		epoch, home = r.Epoch, !r.Away
	}
	return map[string]any{
		"tool": r.Tool, "call_id": r.ID, "session": r.Session, "metadata": metadata, "remaining": remaining, "epoch": epoch, "home": home,
	}, nil
}
