package snakepit_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/values"
)

// loop is a Caller without a host: its tools are the functions offered to it, and
// a stream gives what its one tool returns, a list, item by item.
type loop struct {
	tools map[string]snakepit.HostTool
	seen  snakepit.CallOptions
}

func newLoop() *loop { return &loop{tools: map[string]snakepit.HostTool{}} }

func (l *loop) Call(ctx context.Context, tool string, in, out any, opts ...snakepit.CallOption) error {
	l.seen = snakepit.Apply(opts)
	args, err := snakepit.EncodeArgs(in)
	if err != nil {
		return err
	}
	t, ok := l.tools[tool]
	if !ok {
		return errdefs.New(errdefs.ToolNotFound, "no tool %s", tool)
	}
	result, err := t.Func(ctx, args)
	if err != nil {
		return err
	}
	return snakepit.DecodeResult(result, out)
}

func (l *loop) Stream(ctx context.Context, tool string, in any, opts ...snakepit.CallOption) iter.Seq2[snakepit.Chunk, error] {
	return func(yield func(snakepit.Chunk, error) bool) {
		var items []any
		if err := l.Call(ctx, tool, in, &items, opts...); err != nil {
			yield(snakepit.Chunk{}, err)
			return
		}
		for _, item := range items {
			raw, err := values.Encode(item)
			if !yield(snakepit.NewChunk(raw), err) {
				return
			}
		}
	}
}

func (l *loop) Offer(_ context.Context, tool snakepit.HostTool) error {
	l.tools[tool.Name] = tool
	return nil
}

func (*loop) Tools(context.Context) ([]snakepit.Tool, error) { return nil, nil }
func (*loop) Close() error                                   { return nil }

type item struct {
	SKU   string `json:"sku"`
	Count int    `json:"count"`
}

type order struct {
	Items []item    `json:"items"`
	Note  *string   `json:"note"`
	When  time.Time `json:"when,omitzero"`
}

func total(_ context.Context, in order) (int, error) {
	n := 0
	for _, i := range in.Items {
		n += i.Count
	}
	return n, nil
}

func TestHandledToolTakesTypedArguments(t *testing.T) {
	sp := newLoop()
	if err := snakepit.Handle(t.Context(), sp, "total", total, snakepit.Describe("Counts."), snakepit.Private()); err != nil {
		t.Fatal(err)
	}
	got, err := snakepit.Call[int](t.Context(), sp, "total", order{Items: []item{{"a", 2}, {"b", 3}}})
	if err != nil || got != 5 {
		t.Errorf("%d, %v", got, err)
	}
	if tool := sp.tools["total"]; tool.Description != "Counts." || !tool.Private {
		t.Errorf("%+v", tool)
	}
}

func TestHandledToolRefusesBadArgumentsWithThePath(t *testing.T) {
	sp := newLoop()
	if err := snakepit.Handle(t.Context(), sp, "total", total); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   map[string]any
		path string
	}{
		{map[string]any{}, "$.items"},
		{map[string]any{"items": []any{}, "extra": 1}, "$.extra"},
		{map[string]any{"items": []any{item{"a", 1}, map[string]any{"sku": "b", "count": 1.5}}}, "$.items[1].count"},
		{map[string]any{"items": []any{map[string]any{"sku": "b"}}}, "$.items[0].count"},
	} {
		err := sp.Call(t.Context(), "total", c.in, nil)
		var e *errdefs.Error
		if !errors.As(err, &e) || e.Reason != errdefs.InvalidArguments || e.Path != c.path {
			t.Errorf("%v: %v", c.in, err)
		}
	}
}

func TestSchemaOfAHandledToolIsThatOfItsType(t *testing.T) {
	type inner struct {
		Left *inner `json:"left"`
	}
	type all struct {
		order
		Flag  bool            `json:"flag"`
		Rate  float32         `json:"rate"`
		Big   *big.Int        `json:"big"`
		Raw   []byte          `json:"raw"`
		For   time.Duration   `json:"for"`
		By    map[string]uint `json:"by"`
		Any   any             `json:"any"`
		Tree  inner           `json:"tree"`
		Price values.Decimal  `json:"price"`
		ID    values.UUID     `json:"id"`
		Skip  string          `json:"-"`
	}
	sp := newLoop()
	if err := snakepit.Handle(t.Context(), sp, "t", func(context.Context, all) (int, error) { return 0, nil }); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Properties map[string]map[string]any `json:"properties"`
		Required   []string                  `json:"required"`
		Additional bool                      `json:"additionalProperties"`
	}
	if err := json.Unmarshal([]byte(sp.tools["t"].InputSchema), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"by", "flag", "for", "id", "items", "price", "rate", "raw", "tree"}
	if diff := cmp.Diff(want, got.Required); diff != "" || got.Additional {
		t.Errorf("required (-want +got):\n%s", diff)
	}
	for name, kind := range map[string]any{
		"items": "array", "flag": "boolean", "rate": "number", "raw": "string", "for": "number", "by": "object", "tree": "object",
		"when": "string", "price": "string", "id": "string", "any": nil,
	} {
		if got.Properties[name]["type"] != kind {
			t.Errorf("%s: %v", name, got.Properties[name])
		}
	}
	if _, ok := got.Properties["Skip"]; ok || len(got.Properties) != 13 {
		t.Errorf("%v", got.Properties)
	}
}

func TestToolWithoutNamedArgumentsCannotBeHandled(t *testing.T) {
	err := snakepit.Handle(t.Context(), newLoop(), "t", func(context.Context, int) (int, error) { return 0, nil })
	if err == nil || !strings.Contains(err.Error(), "arguments are a int") {
		t.Errorf("%v", err)
	}
}

func TestOptionsSayWhatTheyAreNamedFor(t *testing.T) {
	sp := newLoop()
	_ = sp.Call(t.Context(), "", nil, nil, snakepit.Pool("p"), snakepit.Session("s"), snakepit.MustExist(), snakepit.Idempotent(),
		snakepit.Timeout(time.Second), snakepit.Metadata(map[string]string{"a": "b"}), snakepit.InputOf(1, 2), snakepit.OnProgress(func(snakepit.Progress) {}))
	o := sp.seen
	if o.Pool != "p" || o.Session != "s" || !o.MustExist || !o.Idempotent || o.Timeout != time.Second || o.Metadata["a"] != "b" || o.OnProgress == nil {
		t.Errorf("%+v", o)
	}
	var got []any
	for v, err := range o.Input {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
		if len(got) == 1 {
			continue
		}
		break
	}
	if diff := cmp.Diff([]any{1, 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestArgumentsAreAMap(t *testing.T) {
	for _, in := range []any{nil, map[string]any{"a": 1}, order{}, &order{}, map[string]int{}} {
		if _, err := snakepit.EncodeArgs(in); err != nil {
			t.Errorf("%v: %v", in, err)
		}
	}
	for _, in := range []any{1, "x", []int{1}, func() {}, time.Now(), map[string]any{"f": func() {}}} {
		if _, err := snakepit.EncodeArgs(in); errdefs.ReasonOf(err) != errdefs.InvalidArguments {
			t.Errorf("%T: %v", in, err)
		}
	}
}

func TestChunkHasThreeForms(t *testing.T) {
	c := snakepit.NewChunk([]byte{0x92, 1, 0xc0})
	var list []any
	text, err := c.JSON()
	if derr := c.Decode(&list); err != nil || derr != nil || len(list) != 2 || string(text) != "[1,null]" || len(c.Raw()) != 3 {
		t.Errorf("%v %s %v %v", list, text, err, derr)
	}
	var wrong map[string]int
	if err := c.Decode(&wrong); errdefs.ReasonOf(err) != errdefs.InvalidResult {
		t.Errorf("%v", err)
	}
}

func TestStreamStopsAtTheFirstErrorOfItsOwn(t *testing.T) {
	sp := newLoop()
	if err := snakepit.Handle(t.Context(), sp, "mixed", func(context.Context, struct{}) ([]any, error) {
		return []any{1, "two", 3}, nil
	}); err != nil {
		t.Fatal(err)
	}
	var got []int
	var last error
	for n, err := range snakepit.Stream[int](t.Context(), sp, "mixed", nil) {
		got, last = append(got, n), err
	}
	if len(got) != 2 || got[0] != 1 || errdefs.ReasonOf(last) != errdefs.InvalidResult {
		t.Errorf("%v, %v", got, last)
	}
}
