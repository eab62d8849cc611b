package rpc

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// maxOffers is how many tools one client may offer.
	maxOffers = 1000
	// maxServing is how many calls to one client's tools may run at once.
	maxServing = 256
)

type serveStream = grpc.BidiStreamingServer[snakepitv1.ServeRequest, snakepitv1.ServeResponse]

// Serve implements snakepitv1.HostServer: the client's functions are host tools
// for as long as the stream lives. Its goroutine sends; another one reads.
func (a *api) Serve(ss serveStream) error {
	c := &client{
		out: make(chan *snakepitv1.ServeResponse), gone: ss.Context().Done(),
		waiting: map[uint64]chan *snakepitv1.ServeResult{},
	}
	defer c.withdraw()
	read := make(chan error, 1)
	a.readers.Go(func() { read <- c.run(ss, a.engine) })
	for {
		select {
		case r := <-c.out:
			if err := ss.Send(r); err != nil {
				return err
			}
		case err := <-read:
			return err
		case <-a.ending:
			return errdefs.New(errdefs.Draining, "the host is stopping")
		}
	}
}

// client is the far side of one Serve stream.
type client struct {
	out  chan *snakepitv1.ServeResponse // to the one goroutine that sends
	gone <-chan struct{}                // closed when the stream has ended

	mu      sync.Mutex // guards the fields below
	next    uint64
	waiting map[uint64]chan *snakepitv1.ServeResult
	removes []func() // take the offered tools back
	ended   bool     // they have been taken back
}

// run reads the stream until it ends.
func (c *client) run(ss serveStream, engine *host.Host) error {
	for {
		req, err := ss.Recv()
		if err != nil {
			return nil //nolint:nilerr // the client closed its side, or is gone: either way the serving is over
		}
		switch {
		case req.GetOffer() != nil:
			if err := c.offer(ss.Context(), engine, req.GetOffer()); err != nil {
				return err
			}
		case req.GetResult() != nil:
			c.answer(req.GetResult())
		}
	}
}

// offer makes one function a host tool, and says whether it worked.
func (c *client) offer(ctx context.Context, engine *host.Host, offer *snakepitv1.HostTool) error {
	name := offer.GetTool().GetName()
	if err := c.add(engine, offer); err != nil {
		refused := &snakepitv1.OfferRefused{Name: name, Error: errdefs.ToProto(err)}
		return c.send(ctx, &snakepitv1.ServeResponse{Kind: &snakepitv1.ServeResponse_Refused{Refused: refused}})
	}
	return c.send(ctx, &snakepitv1.ServeResponse{Kind: &snakepitv1.ServeResponse_Offered{Offered: name}})
}

func (c *client) add(engine *host.Host, offer *snakepitv1.HostTool) error {
	tool := toolOf(offer.GetTool())
	remove, err := engine.Offer(host.HostTool{
		Tool: tool, Exposed: offer.GetExposed(),
		Func: func(ctx context.Context, args []byte) ([]byte, error) { return c.call(ctx, tool.Name, args) },
	})
	if err != nil {
		return err
	}
	if !c.keep(remove) {
		remove()
		return errdefs.New(errdefs.RateLimited, "a client can offer %d tools, for as long as it's there", maxOffers)
	}
	return nil
}

// keep remembers how to take a tool back; it's false when it must be at once.
func (c *client) keep(remove func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || len(c.removes) >= maxOffers {
		return false
	}
	c.removes = append(c.removes, remove)
	return true
}

func (c *client) withdraw() {
	c.mu.Lock()
	removes := c.removes
	c.removes, c.ended = nil, true
	c.mu.Unlock()
	for _, remove := range removes {
		remove()
	}
}

// call runs one of the client's functions and waits for its answer.
func (c *client) call(ctx context.Context, tool string, args []byte) ([]byte, error) {
	id, answer, err := c.enter(tool)
	if err != nil {
		return nil, err
	}
	defer c.leave(id)
	req := &snakepitv1.ServeCall{Id: id, Tool: tool, Payload: args}
	if d, ok := ctx.Deadline(); ok {
		req.TimeoutUs = uint64(max(time.Until(d).Microseconds(), 1))
	}
	if err := c.send(ctx, &snakepitv1.ServeResponse{Kind: &snakepitv1.ServeResponse_Call{Call: req}}); err != nil {
		return nil, err
	}
	select {
	case r := <-answer:
		return resultOf(r)
	case <-ctx.Done():
		cancel := &snakepitv1.ServeResponse{Kind: &snakepitv1.ServeResponse_Cancel{Cancel: id}}
		detached, done := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer done()
		_ = c.send(detached, cancel) // fails only when the client is gone
		return nil, context.Cause(ctx)
	case <-c.gone:
		select {
		case r := <-answer: // it came just in time
			return resultOf(r)
		default:
		}
		e := errdefs.New(errdefs.OutcomeUnknown, "the client that offers the tool went away")
		e.MayHaveRun = true
		return nil, e
	}
}

func resultOf(r *snakepitv1.ServeResult) ([]byte, error) {
	if r.GetError() != nil {
		return nil, errdefs.FromProto(r.GetError())
	}
	return r.GetPayload(), nil
}

func (c *client) enter(tool string) (uint64, chan *snakepitv1.ServeResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) >= maxServing {
		return 0, nil, errdefs.New(errdefs.QueueFull, "the client that offers %s has %d calls under way", tool, maxServing)
	}
	c.next++
	answer := make(chan *snakepitv1.ServeResult, 1)
	c.waiting[c.next] = answer
	return c.next, answer, nil
}

func (c *client) leave(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// answer hands a result to who waits for it; a late one has nobody.
func (c *client) answer(r *snakepitv1.ServeResult) {
	c.mu.Lock()
	waiting := c.waiting[r.GetId()]
	delete(c.waiting, r.GetId())
	c.mu.Unlock()
	if waiting != nil {
		waiting <- r
	}
}

func (c *client) send(ctx context.Context, r *snakepitv1.ServeResponse) error {
	select {
	case c.out <- r:
		return nil
	case <-c.gone:
		return errdefs.New(errdefs.ToolNotFound, "the client that offers the tool is gone")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
