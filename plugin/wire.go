package plugin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/plugin/lane"
	"github.com/snakepit-go/snakepit/proto/names"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// Bounds of what a worker may say about itself.
const (
	maxTools       = 10_000
	maxDescription = 4 << 10
	maxSchema      = 256 << 10
	maxSlots       = 1024
	maxWord        = 256
)

// descriptionOf checks what a worker says about itself, and cuts what's too long.
func descriptionOf(r *snakepitv1.DescribeResponse) (host.Description, error) {
	if len(r.GetTools()) > maxTools {
		return host.Description{}, fmt.Errorf("%d tools, and %d are the most", len(r.GetTools()), maxTools)
	}
	d := host.Description{
		Adapter: clean(r.GetAdapter(), maxWord),
		SDK:     clean(r.GetSdkVersion(), maxWord),
		Runtime: clean(r.GetRuntime()+" "+r.GetRuntimeVersion(), maxWord),
		Slots:   int(min(max(r.GetSlots(), 1), maxSlots)),
	}
	for _, c := range r.GetCapabilities()[:min(len(r.GetCapabilities()), maxFields)] {
		d.Capabilities = append(d.Capabilities, clean(c, maxWord))
	}
	for _, t := range r.GetTools() {
		tool, err := toolOf(t)
		if err != nil {
			return d, err
		}
		d.Tools = append(d.Tools, tool)
	}
	return d, sortTools(d.Tools)
}

func toolOf(t *snakepitv1.Tool) (host.Tool, error) {
	if !names.Valid(t.GetName()) {
		return host.Tool{}, fmt.Errorf("tool name %q isn't 1 to 64 bytes of [A-Za-z0-9][A-Za-z0-9_.-]*", clean(t.GetName(), maxWord))
	}
	for _, schema := range []string{t.GetInputSchema(), t.GetOutputSchema()} {
		if schema != "" && (len(schema) > maxSchema || !json.Valid([]byte(schema))) {
			return host.Tool{}, fmt.Errorf("tool %s: its schema isn't JSON of at most %d bytes", t.GetName(), maxSchema)
		}
	}
	return host.Tool{
		Name:         t.GetName(),
		Description:  strings.ToValidUTF8(t.GetDescription()[:min(len(t.GetDescription()), maxDescription)], ""),
		InputSchema:  t.GetInputSchema(),
		OutputSchema: t.GetOutputSchema(),
		Stream:       t.GetStream(),
		InputStream:  clean(t.GetInputStream(), maxWord),
		Idempotent:   t.GetIdempotent(),
		Cancel:       clean(t.GetCancel(), maxKey),
	}, nil
}

func sortTools(tools []host.Tool) error {
	slices.SortFunc(tools, func(a, b host.Tool) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(tools); i++ {
		if tools[i].Name == tools[i-1].Name {
			return fmt.Errorf("two tools are called %s", tools[i].Name)
		}
	}
	return nil
}

const (
	// earlyAtMost and earlyShare are how much sooner than the host a worker finds that a
	// call's time is over: what the tool was doing is the better error, and has to
	// get here before the host gives up by itself.
	earlyAtMost = 50 * time.Millisecond
	earlyShare  = 20 // a twentieth of the time that's left
)

// early is how long before a call's deadline its worker is to stop it.
func early(left time.Duration) time.Duration {
	return max(min(earlyAtMost, left/earlyShare), 0)
}

func requestOf(inv host.Invocation, now time.Time) lane.Request {
	return lane.Request{
		Early: early(inv.Deadline.Sub(now)),
		ID:    inv.ID, Tool: inv.Tool, Session: string(inv.Session), Epoch: inv.Epoch, Away: inv.Away, Payload: inv.Payload,
		Deadline: inv.Deadline, Stream: inv.Stream, Input: inv.Input, Metadata: inv.Metadata,
	}
}

func invocationOf(r lane.Request) host.Invocation {
	return host.Invocation{
		ID: r.ID, Tool: r.Tool, Session: host.SessionID(r.Session), Payload: r.Payload,
		Deadline: r.Deadline, Stream: r.Stream, Input: r.Input, Metadata: r.Metadata,
	}
}

func messageOf(m lane.Message) host.Message {
	out := host.Message{Payload: m.Payload, Last: m.Last}
	if p := m.Progress; p != nil {
		out.Progress = &host.Progress{Done: p.Done, Total: p.Total, Message: p.Message}
	}
	return out
}
