package cluster

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// chaosSessions is how many sessions have a history.
const chaosSessions = 5

func chaosSession(i int) host.SessionID { return host.SessionID(fmt.Sprint("s", i)) }

// op is what a client asked of a session's one key, or got.
type op struct {
	session host.SessionID
	kind    string // "put", "swap", "read"
	old     string // what a swap compared with
	value   string // what was written, or read; empty: nothing
	result  string // "ok", "conflict", "unknown"
}

// client opens sessions and changes their state, on any node, until ctx ends.
func (c *chaos) client(ctx context.Context, number int, dice *rand.Rand) {
	seen := map[host.SessionID]Value{}
	for i := 0; ctx.Err() == nil; i++ {
		rest(ctx, dice, 5, 65)
		n := c.running(c.names[dice.IntN(len(c.names))])
		if n == nil {
			continue
		}
		id, value := chaosSession(dice.IntN(chaosSessions)), fmt.Sprintf("%d-%d", number, i)
		switch dice.IntN(6) {
		case 0:
			c.openOn(ctx, n, host.SessionID(fmt.Sprintf("extra-%d-%d", number, i)))
			c.openOn(ctx, n, id)
		case 1, 2:
			c.write(ctx, number, n, op{session: id, kind: "put", value: value}, Change{Key: "k", Value: []byte(value)})
		case 3:
			old := seen[id]
			c.write(ctx, number, n, op{session: id, kind: "swap", old: string(old.Bytes), value: value},
				Change{Key: "k", Value: []byte(value), Compare: true, Expected: old.Version})
		default:
			if v, ok := c.read(ctx, number, n, id); ok {
				seen[id] = v
			}
		}
	}
}

func (c *chaos) openOn(ctx context.Context, n *Node, id host.SessionID) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	s, err := n.OpenSession(ctx, host.Session{ID: id, Pool: "ml"})
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked[id] = max(c.acked[id], s.Epoch)
}

// write has a history of what it came to. What surely wasn't written has none.
func (c *chaos) write(ctx context.Context, client int, n *Node, o op, change Change) {
	_, epoch, err := n.Owner(ctx, o.session)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	called := time.Now()
	_, err = n.SetState(ctx, o.session, epoch, change)
	r := errdefs.ReasonOf(err)
	switch {
	case err == nil:
		o.result = "ok"
	case r == errdefs.Conflict:
		o.result = "conflict"
	case r == errdefs.Fenced || r == errdefs.SessionNotFound || strings.Contains(err.Error(), "nothing was written"):
		return
	default:
		o.result = "unknown"
	}
	c.note(client, o, called)
}

func (c *chaos) read(ctx context.Context, client int, n *Node, id host.SessionID) (v Value, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	called := time.Now()
	if n.Consistent(ctx) != nil {
		return Value{}, false
	}
	values, err := n.State(ctx, id)
	if err != nil {
		return Value{}, false
	}
	c.note(client, op{session: id, kind: "read", value: string(values["k"].Bytes), result: "ok"}, called)
	return values["k"], true
}

func (c *chaos) note(client int, o op, called time.Time) {
	returned := time.Since(c.began).Nanoseconds()
	if o.result == "unknown" {
		returned = math.MaxInt64
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: client, Input: o, Output: o, Call: called.Sub(c.began).Nanoseconds(), Return: returned})
}

// register is a session's key: what was written last.
func register() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[host.SessionID][]porcupine.Operation{}
			for _, o := range history {
				id := asked(o.Input).session
				by[id] = append(by[id], o)
			}
			var all [][]porcupine.Operation
			for _, part := range by {
				all = append(all, part)
			}
			return all
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) { return step(fmt.Sprint(state), asked(input)) },
		DescribeOperation: func(input, _ any) string {
			o := asked(input)
			return fmt.Sprintf("%s %s %s->%s %s", o.session, o.kind, o.old, o.value, o.result)
		},
	}
}

func asked(input any) op {
	o, _ := input.(op)
	return o
}

func step(state string, o op) (possible bool, next any) {
	switch {
	case o.kind == "read":
		return state == o.value, state
	case o.kind == "put":
		return true, o.value
	case o.result == "ok":
		return state == o.old, o.value
	case o.result == "conflict":
		return state != o.old, state
	case state == o.old: // unknown
		return true, o.value
	}
	return true, state
}

// judge looks for an order in which what the clients saw could have happened.
func (c *chaos) judge(t *testing.T) {
	t.Helper()
	written := 0
	for _, o := range c.history {
		if in := asked(o.Input); in.kind != "read" && in.result == "ok" {
			written++
		}
	}
	if written < 20 {
		t.Errorf("only %d writes were acknowledged: this proves nothing", written)
	}
	result, info := porcupine.CheckOperationsVerbose(register(), c.history, time.Minute)
	if result == porcupine.Ok {
		return
	}
	t.Errorf("the history of %d operations is %s", len(c.history), result)
	if testing.Verbose() {
		c.tell(t)
	}
	path := fmt.Sprintf("%s/history-%s.html", t.ArtifactDir(), strings.ReplaceAll(t.Name(), "/", "-"))
	if err := porcupine.VisualizePath(register(), info, path); err == nil {
		t.Logf("it's in %s", path)
	}
}

// tell logs the history of each session that can't have happened.
func (c *chaos) tell(t *testing.T) {
	t.Helper()
	for _, part := range register().Partition(c.history) {
		if porcupine.CheckOperations(register(), part) {
			continue
		}
		for _, o := range part {
			t.Logf("%12d %12d client %d: %s", o.Call/1000, o.Return/1000, o.ClientId, register().DescribeOperation(o.Input, nil))
		}
	}
}
