package main

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/snakepit-go/snakepit"
	"github.com/snakepit-go/snakepit/host/client"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// liveHost is a host that runs elsewhere.
type liveHost struct{ *client.Client }

var (
	_ engine      = liveHost{}
	_ clusterHost = liveHost{}
	_ overrider   = liveHost{}
)

func dialHost(ctx context.Context, target string) (engine, error) {
	c, err := client.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	return liveHost{c}, nil
}

// Call implements engine.
func (h liveHost) Call(ctx context.Context, inv invocation) ([]byte, error) {
	payload, err := snakepit.EncodeArgs(inv.Args)
	if err != nil {
		return nil, err
	}
	return h.CallRaw(ctx, inv.Tool, client.Payload{Data: payload}, inv.options()...)
}

// Stream implements engine.
func (h liveHost) Stream(ctx context.Context, inv invocation) iter.Seq2[[]byte, error] {
	return rawChunks(h.Client.Stream(ctx, inv.Tool, inv.Args, inv.options()...))
}

// Status implements engine.
func (h liveHost) Status(ctx context.Context) (hostStatus, error) {
	st, err := h.Client.Status(ctx)
	if err != nil {
		return hostStatus{}, err
	}
	return statusFromWire(st), nil
}

// Workers implements engine.
func (h liveHost) Workers(ctx context.Context) ([]workerStatus, error) {
	list, err := h.Client.Workers(ctx, "")
	if err != nil {
		return nil, err
	}
	var out []workerStatus
	for _, w := range list {
		out = append(out, workerOf(workerFromWire(w)))
	}
	return out, nil
}

// Sessions implements engine.
func (h liveHost) Sessions(ctx context.Context, pool string) ([]sessionStatus, error) {
	list, err := h.Client.Sessions(ctx, pool)
	if err != nil {
		return nil, err
	}
	var out []sessionStatus
	for _, s := range list {
		out = append(out, sessionOf(sessionFromWire(s)))
	}
	return out, nil
}

// Reload implements engine.
func (h liveHost) Reload(ctx context.Context, pool string, step func(reloadStep)) error {
	return h.Client.Reload(ctx, pool, func(r *snakepitv1.ReloadResponse) {
		step(reloadStep{Pool: r.GetPool(), Total: int(r.GetTotal()), Replaced: int(r.GetReplaced()), Worker: r.GetWorker()})
	})
}

// unreachable says which host didn't answer, and what to do about it. Other
// errors stay as they are.
func unreachable(err error, target string) error {
	var e *errdefs.Error
	if target == "" || !errors.As(err, &e) || e.Reason != errdefs.HostUnreachable || e.Where != (errdefs.Where{}) {
		return err
	}
	gone := noHost("no host answers at %s: %s", target, lastPart(e.Message))
	gone.MayHaveRun = e.MayHaveRun
	if why := lastPart(e.Message); (why == "EOF" || why == "connection reset by peer") && !ofSocket(target) {
		gone.Hint = "a node under TLS hangs up on who shows no certificate: --set tls_dir=DIR, or SNAKEPIT_TLS_DIR, names a folder of `snakepit cluster init-tls --client`"
	}
	return gone
}

// lastPart is the root of a message that names each layer it came through.
func lastPart(message string) string {
	if i := strings.LastIndex(message, ": "); i >= 0 {
		message = message[i+2:]
	}
	return strings.TrimRight(message, `"`)
}
