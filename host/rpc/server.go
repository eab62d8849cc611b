package rpc

import (
	"context"
	"errors"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/config"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

const (
	// maxPayload is the largest arguments, chunk or result, in bytes.
	maxPayload = 256 << 20
	// maxMessage is that and what surrounds it.
	maxMessage = maxPayload + 1<<20
	// stopTimeout is how long running calls may still use the API after Serve's ctx ended.
	stopTimeout = 2 * time.Second
	// window is what may lie between a stream and its reader, in bytes.
	window = 1 << 20
)

// Config is what a server tells about its host.
type Config struct {
	Version string
	DataDir string
	Logger  hclog.Logger // nil: none
	// Upgrade lets a new process of the host take over, and returns its pid once
	// that one is ready to; nil: this host can't.
	Upgrade func(ctx context.Context) (pid int, err error)
	// ReloadConfig reads the host's configuration again; nil: it has none to read.
	ReloadConfig func(ctx context.Context) (config.Reload, error)
	// Overrides are the knobs that are set for all hosts; nil: none can be.
	Overrides PoolOverrides
	// Owner says where clients reach the node that owns a session; empty where that is
	// this one, or nobody knows. Nil: there's only one node.
	Owner func(session host.SessionID) (address string)
	// StopTimeout says how long running calls may still use the API once Serve's ctx
	// has ended; nil: 2 s.
	StopTimeout func() time.Duration
	// Cluster answers for the node that the host is; the zero value: it's none.
	Cluster Cluster
}

// Server serves one host.
type Server struct {
	api *api
}

// api is the service itself.
type api struct {
	snakepitv1.UnimplementedHostServer

	engine *host.Host
	cfg    Config
	calls  requests
	ending chan struct{} // closed when clients that serve tools are to go

	// readers are the goroutines that read streams beside their handlers. gRPC
	// ends a stream when its handler has returned, and not before: so Serve waits
	// for them, not the handlers.
	readers sync.WaitGroup
}

// NewServer returns a server for an engine; it starts nothing.
func NewServer(engine *host.Host, cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.StopTimeout == nil {
		cfg.StopTimeout = func() time.Duration { return stopTimeout }
	}
	return &Server{api: &api{engine: engine, cfg: cfg, ending: make(chan struct{})}}
}

// Serve takes connections from all listeners until ctx ends, or one of them does, then
// lets calls finish for StopTimeout, and closes them. It's called once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(4*window),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.api.unary), grpc.StreamInterceptor(s.api.stream),
		grpc.WaitForHandlers(true),
	)
	snakepitv1.RegisterHostServer(g, s.api)
	snakepitv1.RegisterClusterServer(g, &membership{engine: s.api.engine, cluster: s.api.cfg.Cluster})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var quiet []*quietListener
	for _, l := range listeners {
		quiet = append(quiet, newQuietListener(l))
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.api.stop(ctx, g, quiet)
	})()
	var serving errgroup.Group
	for _, l := range quiet {
		serving.Go(func() error {
			defer cancel() // the others end with it
			return g.Serve(l)
		})
	}
	err := serving.Wait()
	<-stopped
	g.Stop() // ends what a broken listener left
	s.api.readers.Wait()
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// stop ends the server within StopTimeout, politely if it can: nobody who comes or
// calls now is turned away, what runs may finish, and then the clients that serve
// tools are told to go.
func (a *api) stop(ctx context.Context, g *grpc.Server, listeners []*quietListener) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.StopTimeout())
	defer cancel()
	var hushing sync.WaitGroup
	for _, l := range listeners {
		hushing.Go(func() { l.quiet(ctx) })
	}
	hushing.Wait()
	defer context.AfterFunc(ctx, g.Stop)()
	var polite sync.WaitGroup
	polite.Go(g.GracefulStop)
	a.calls.wait(ctx)
	close(a.ending)
	polite.Wait()
}

// requests counts the requests under way, but for those that last as long as their client.
type requests struct {
	mu   sync.Mutex // guards the fields below
	n    int
	idle chan struct{} // closed when n gets to zero; nil: nobody waits
}

func (r *requests) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

func (r *requests) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n--
	if r.n == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}

// wait waits until none is under way, or ctx has ended.
func (r *requests) wait(ctx context.Context) {
	r.mu.Lock()
	if r.n == 0 {
		r.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	r.idle = idle
	r.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

func (a *api) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	a.calls.begin()
	defer a.calls.end()
	defer func() { err = a.outcome(info.FullMethod, recover(), err) }()
	return next(ctx, req)
}

func (a *api) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	if info.FullMethod != snakepitv1.Host_Serve_FullMethodName {
		a.calls.begin()
		defer a.calls.end()
	}
	defer func() { err = a.outcome(info.FullMethod, recover(), err) }()
	return next(srv, ss)
}

func (a *api) outcome(method string, panicked any, err error) error {
	return outcome(a.cfg.Logger, method, panicked, err)
}

// outcome is the one place where errors, and panics, become statuses.
func outcome(log hclog.Logger, method string, panicked any, err error) error {
	if panicked != nil {
		log.Error("a request panicked", "method", method, "panic", panicked, "stack", string(debug.Stack()))
		err = errdefs.New(errdefs.Internal, "internal error")
	}
	return errdefs.ToStatus(errdefs.FromStatus(err)) // some are gRPC's own, like its limit of a message's size
}
