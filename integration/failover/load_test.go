//go:build integration && linux

package failover_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// loadVariable makes this program the load; it holds an order, as JSON.
const loadVariable = "SNAKEPIT_TEST_LOAD"

// order says whom to call, and how.
type order struct {
	Hosts    string        `json:"hosts"` // as for client.Dial
	TLS      string        `json:"tls"`   // the folder of the client's certificate
	Sessions int           `json:"sessions"`
	Prefix   string        `json:"prefix"` // of their names
	Pause    time.Duration `json:"pause"`  // between two calls of a session
	Timeout  time.Duration `json:"timeout"`
	Strict   bool          `json:"strict"`
	Callers  int           `json:"callers"` // over zero: so many call each session once, and that's all
	Bytes    int           `json:"bytes"`   // of state that each of these calls leaves
	Names    []string      `json:"names"`   // of these sessions, instead of Sessions and Prefix
}

// answer is one call as its caller saw it.
type answer struct {
	Session string         `json:"session"` // empty: a call that belongs to none
	N       int            `json:"n"`
	Begin   int64          `json:"begin"` // ns of CLOCK_BOOTTIME
	End     int64          `json:"end"`
	Result  added          `json:"result"`
	Reason  errdefs.Reason `json:"reason,omitempty"`
	MayRun  bool           `json:"may_run,omitempty"`
	Error   string         `json:"error,omitempty"`
}

// added is what the tool add gives.
type added struct {
	Before   int    `json:"before" msgpack:"before"`
	Asked    int    `json:"asked" msgpack:"asked"`
	Restored int    `json:"restored" msgpack:"restored"`
	Saved    int    `json:"saved" msgpack:"saved"`
	Node     string `json:"node" msgpack:"node"`
	PID      int    `json:"pid" msgpack:"pid"`
	Epoch    uint64 `json:"epoch" msgpack:"epoch"`
	Home     bool   `json:"home" msgpack:"home"`
}

func bootTime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // it's always there
	return ts.Nano()
}

// loadMain calls until its input ends, and prints each answer as a line of JSON.
func loadMain() int {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(loadVariable)), &o); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := dial(ctx, o)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = c.Close() }()
	var calling sync.WaitGroup
	out := &printer{out: bufio.NewWriter(os.Stdout)}
	if o.Callers > 0 {
		callEachOnce(ctx, c, o, out)
		return 0
	}
	for i := range o.Sessions {
		calling.Go(func() { callSession(ctx, c, o, fmt.Sprintf("%s-%d", o.Prefix, i), out) })
	}
	calling.Go(func() { callAnybody(ctx, c, o, out) })
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started us has had enough
	cancel()
	calling.Wait()
	return 0
}

func dial(ctx context.Context, o order) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if o.TLS == "" {
		return client.Dial(ctx, o.Hosts)
	}
	files, err := link.ClientTLS(link.ClientFiles(o.TLS))
	if err != nil {
		return nil, err
	}
	return client.Dial(ctx, o.Hosts, client.WithTLS(files))
}

// printer writes lines, whole.
type printer struct {
	mu  sync.Mutex
	out *bufio.Writer
}

func (p *printer) print(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.NewEncoder(p.out).Encode(a)
	_ = p.out.Flush() // nobody is left to tell
}

// callSession adds 1, 2, 3 and so on. What may have run is asked for again: a number
// that was there already is no harm.
func callSession(ctx context.Context, c *client.Client, o order, session string, out *printer) {
	opts := []snakepit.CallOption{snakepit.Session(session), snakepit.Timeout(o.Timeout)}
	if o.Strict {
		opts = append(opts, snakepit.Affinity("strict_queue"))
	}
	for n := 1; ctx.Err() == nil; {
		a := answer{Session: session, N: n, Begin: bootTime()}
		err := c.Call(ctx, "add", map[string]any{"n": n}, &a.Result, opts...)
		a.End = bootTime()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			n++
		} else {
			a.failed(err)
		}
		out.print(a)
		pause(ctx, o.Pause)
	}
}

// callEachOnce calls every session once, many at a time.
func callEachOnce(ctx context.Context, c *client.Client, o order, out *printer) {
	names := o.Names
	for i := range o.Sessions {
		names = append(names, fmt.Sprintf("%s-%d", o.Prefix, i))
	}
	var next atomic.Int64
	var calling sync.WaitGroup
	for range o.Callers {
		calling.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)); i = next.Add(1) - 1 {
				a := answer{Session: names[i], N: 1, Begin: bootTime()}
				err := c.Call(ctx, "keep", map[string]any{"size": o.Bytes}, &a.Result, snakepit.Session(a.Session), snakepit.Timeout(o.Timeout))
				if a.End = bootTime(); err != nil {
					a.failed(err)
				}
				out.print(a)
			}
		})
	}
	calling.Wait()
}

// callAnybody calls what belongs to no session: that must go on whatever the cluster does.
func callAnybody(ctx context.Context, c *client.Client, o order, out *printer) {
	for n := 1; ctx.Err() == nil; n++ {
		a := answer{N: n, Begin: bootTime()}
		err := c.Call(ctx, "echo", map[string]any{"n": n}, nil, snakepit.Timeout(o.Timeout))
		a.End = bootTime()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			a.failed(err)
		}
		out.print(a)
		pause(ctx, o.Pause)
	}
}

func (a *answer) failed(err error) {
	e := errdefs.Of(err)
	a.Reason, a.MayRun, a.Error = e.Reason, e.MayHaveRun, err.Error()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// load is a running load, and what it has seen.
type load struct {
	t    *testing.T
	stop func()

	mu      sync.Mutex // guards answers
	answers []answer
}

// startLoad begins to call from a namespace.
func startLoad(t *testing.T, l *lan, from string, o order) *load {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.command(from, self)
	cmd.Env = append(os.Environ(), loadVariable+"="+string(text))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &load{t: t}
	var reading sync.WaitGroup
	reading.Go(func() { w.read(stdout) })
	w.stop = sync.OnceFunc(func() {
		_ = stdin.Close()
		reading.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the load: %v: %s", err, stderr.String())
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *load) read(from io.Reader) {
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			w.t.Errorf("the load says %q: %v", lines.Text(), err)
			continue
		}
		w.mu.Lock()
		w.answers = append(w.answers, a)
		w.mu.Unlock()
	}
}

// seen is what the load has seen so far.
func (w *load) seen() []answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers[:len(w.answers):len(w.answers)]
}
