//go:build unix

package plugin_test

import (
	"sync"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/snakepit-go/snakepit/host"
)

const sleeper = `
import os, time
from snakepit import tool

@tool
def sleep(seconds: float) -> list[float]:
    began = time.monotonic()
    time.sleep(seconds)
    return [began, time.monotonic()]

@tool
def threads() -> dict[str, int]:
    before = len(os.listdir("/proc/self/task"))
    import numpy as np
    a = np.ones((512, 512))
    for _ in range(3):
        a = a @ a / 512
    return {"more": len(os.listdir("/proc/self/task")) - before}
`

// try runs a tool, for its error.
func try(t *testing.T, w host.Worker, tool string, args map[string]any) error {
	t.Helper()
	_, err := run(t, w, tool, args)
	return err
}

// ask runs a tool and decodes its result.
func ask(t *testing.T, w host.Worker, tool string, args map[string]any, out any) {
	t.Helper()
	payload, err := run(t, w, tool, args)
	if err == nil {
		err = msgpack.Unmarshal(payload, out)
	}
	if err != nil {
		t.Errorf("%s: %v", tool, err)
	}
}

func run(t *testing.T, w host.Worker, tool string, args map[string]any) ([]byte, error) {
	t.Helper()
	payload, err := msgpack.Marshal(args)
	if err != nil {
		return nil, err
	}
	r, err := w.Start(t.Context(), host.Invocation{Tool: tool, Payload: payload, Deadline: time.Now().Add(patience)})
	if err != nil {
		return nil, err
	}
	m, err := r.Recv(t.Context())
	return m.Payload, err
}

func TestToolsOfOneProcessOverlapInItsSlots(t *testing.T) {
	t.Parallel()
	const slots = 8
	s := spec(t, sleeper)
	s.Settings.Slots = slots
	w, err := launcher(t).Launch(t.Context(), s, noTools{})
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Description().Slots; got != slots {
		t.Fatalf("the worker describes %d slots, want %d", got, slots)
	}
	spans := make([][2]float64, slots)
	var all sync.WaitGroup
	for i := range slots {
		all.Go(func() { ask(t, w, "sleep", map[string]any{"seconds": 1.0}, &spans[i]) })
	}
	all.Wait()
	lastBegin, firstEnd := spans[0][0], spans[0][1]
	for _, s := range spans {
		lastBegin, firstEnd = max(lastBegin, s[0]), min(firstEnd, s[1])
	}
	if lastBegin >= firstEnd {
		t.Errorf("they ran at %v: not all at once", spans)
	}
}

func TestNumericLibrariesStartNoThreadsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := spec(t, sleeper)
	s.Settings.Threads = 1
	w, err := launcher(t).Launch(t.Context(), s, noTools{})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]int
	ask(t, w, "threads", map[string]any{}, &got)
	if got["more"] != 0 {
		t.Errorf("numpy started %d threads", got["more"])
	}
}
