package host

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	"github.com/snakepit-go/snakepit/proto/names"
)

// HostTool is a Go function that can be called by name.
//
//nolint:revive // a Tool is what anybody offers; this one is the host's
type HostTool struct {
	Tool
	Exposed bool // workers may call it; else only Go callers can
	// Func runs it: arguments and result are msgpack. It's called from any number
	// of goroutines, and must return soon after ctx ends, which it does with the
	// call. Calls made with ctx are nested: they share its deadline. An
	// error that is none of ours reaches the caller as python_exception, with its
	// text and its Go type.
	Func func(ctx context.Context, args []byte) ([]byte, error)
}

const (
	maxHostTools   = 4096
	maxDescription = 4 << 10
	maxSchema      = 256 << 10
	// listTool is built in: it tells workers which host tools they may call.
	listTool = "snakepit.tools"
)

// hostTools are the functions that the host offers.
type hostTools struct {
	log     hclog.Logger
	running chan struct{} // bounds what workers run at once

	changed func()            // told when there are others than before; it doesn't block
	others  func() []NodeTool // what other nodes offer

	mu     sync.RWMutex // guards byName
	byName map[string]*HostTool
}

func newHostTools(limit int, log hclog.Logger) *hostTools {
	t := &hostTools{
		log: log, running: make(chan struct{}, limit), byName: map[string]*HostTool{},
		changed: func() {}, others: func() []NodeTool { return nil },
	}
	t.byName[listTool] = &HostTool{
		Tool:    Tool{Name: listTool, Description: "Lists the hosts' tools that can be called from here.", Idempotent: true},
		Exposed: true,
		Func:    t.list,
	}
	return t
}

// offer adds a tool until remove is called.
func (t *hostTools) offer(tool HostTool) (remove func(), err error) {
	if err := tool.validate(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[tool.Name] != nil {
		return nil, errdefs.New(errdefs.Exists, "a host tool %s is there already", tool.Name)
	}
	if len(t.byName) >= maxHostTools {
		return nil, errdefs.New(errdefs.RateLimited, "%d host tools are offered already", maxHostTools)
	}
	added := &tool
	t.byName[tool.Name] = added
	t.changed()
	return func() { t.remove(added) }, nil
}

func (t *HostTool) validate() error {
	if err := names.CheckTool(t.Name); err != nil {
		return err
	}
	switch {
	case t.Func == nil:
		return errdefs.New(errdefs.InvalidArguments, "host tool %s has no function", t.Name)
	case len(t.Description) > maxDescription || len(t.InputSchema)+len(t.OutputSchema) > maxSchema:
		return errdefs.New(errdefs.InvalidArguments, "host tool %s: description or schema too long", t.Name)
	}
	return nil
}

func (t *hostTools) remove(tool *HostTool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[tool.Name] == tool {
		delete(t.byName, tool.Name)
		t.changed()
	}
}

func (t *hostTools) find(name string) *HostTool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byName[name]
}

// all gives the tools that were offered, without the built-in one.
func (t *hostTools) all() []*HostTool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	tools := slices.Collect(maps.Values(t.byName))
	tools = slices.DeleteFunc(tools, func(x *HostTool) bool { return x.Name == listTool })
	slices.SortFunc(tools, func(a, b *HostTool) int { return strings.Compare(a.Name, b.Name) })
	return tools
}

func (t *hostTools) exposed() []*HostTool {
	return slices.DeleteFunc(t.all(), func(x *HostTool) bool { return !x.Exposed })
}

func namesOf(tools []*HostTool) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range tools {
			if !yield(t.Name) {
				return
			}
		}
	}
}

// serve runs an exposed tool for a worker. Too many at once are refused rather
// than queued: one that waits for another would wait for itself.
func (t *hostTools) serve(ctx context.Context, name string, args []byte) ([]byte, error) {
	if err := names.CheckTool(name); err != nil {
		return nil, err
	}
	tool := t.find(name)
	if tool == nil || !tool.Exposed {
		return nil, toolNotFound(name, "the host", namesOf(t.exposed()))
	}
	select {
	case t.running <- struct{}{}:
		defer func() { <-t.running }()
	default:
		return nil, errdefs.New(errdefs.QueueFull, "%d host tools run already", cap(t.running))
	}
	return t.run(ctx, tool, args)
}

// run calls the function. It's the one place that recovers: the function is the
// embedding program's, and a bug in it must fail one call, not every pool.
func (t *hostTools) run(ctx context.Context, tool *HostTool, args []byte) (result []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			t.log.Error("host tool panicked", "tool", tool.Name, "panic", r, "stack", string(debug.Stack()))
			err = errdefs.New(errdefs.Internal, "host tool %s panicked: %s", tool.Name, names.Cut(fmt.Sprint(r)))
		}
	}()
	result, err = tool.Func(ctx, args)
	return result, tool.failure(err)
}

// failure makes an error that is none of ours what an exception is in Python: the
// function is its author's as much as a tool is, and they want to see its text.
func (t *HostTool) failure(err error) error {
	if err == nil || errdefs.ReasonOf(err) != "" || errdefs.Of(err).Reason != errdefs.Internal {
		return err
	}
	e := errdefs.Wrap(errdefs.PythonException, err, "host tool %s", t.Name)
	e.Exception = &errdefs.Exception{Type: fmt.Sprintf("%T", err), Message: err.Error()}
	return e
}

// list is the built-in tool: a list of maps with name, description and input_schema.
func (t *hostTools) list(context.Context, []byte) ([]byte, error) {
	type entry struct {
		Name        string `msgpack:"name"`
		Description string `msgpack:"description"`
		InputSchema string `msgpack:"input_schema"`
	}
	entries := []entry{}
	for _, x := range t.callable() {
		entries = append(entries, entry{x.Name, x.Description, x.InputSchema})
	}
	var out bytes.Buffer
	err := msgpack.NewEncoder(&out).Encode(entries)
	return out.Bytes(), err
}
