package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// What go-plugin's handshake is about: a host of another program starts nothing by mistake.
const (
	cookieKey       = "SNAKEPIT_PLUGIN"
	cookieValue     = "0d1c8c52-5a0f-4c39-9a83-6e5e0b7d1f54"
	protocolVersion = 1
	pluginName      = "worker"
)

const byHand = `This is a Snakepit worker: a host starts it and calls its tools. By hand, try

  snakepit call --adapter exec:%[1]s TOOL name=value   a call, on a host of its own
  snakepit serve --adapter exec:%[1]s                  a host, for many calls
`

// Main serves an adapter until a host ends the worker, and exits the process. It's
// all that a worker's main calls: with 0 in the end, with 1 when the adapter can't
// be served, which standard error was told.
//
// What is printed to os.Stdout and os.Stderr goes to the host's log, and so does
// what is written by [Logger].
func Main(a Adapter) {
	if os.Getenv(cookieKey) != cookieValue {
		fmt.Fprintf(os.Stderr, byHand, os.Args[0])
		os.Exit(1)
	}
	if err := serve(a, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Logger gives a logger whose lines keep their level and fields in the host's log.
func Logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true, Level: hclog.Trace})
}

// serve returns when a host has said so.
func serve(a Adapter, stderr *os.File) error {
	s, err := newWorkerServer(&a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel(errClosed)
	s.listen(ctx, &parts, func(err error) { _, _ = fmt.Fprintln(stderr, "worker:", err) })
	parent := os.Getppid() // now: who has read the handshake may be gone at once
	parts.Go(func() { watchParent(ctx, parent) })
	parts.Go(func() { s.setUp(ctx, a.Setup) })
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  goplugin.HandshakeConfig{MagicCookieKey: cookieKey, MagicCookieValue: cookieValue},
		VersionedPlugins: map[int]goplugin.PluginSet{protocolVersion: {pluginName: &workerPlugin{service: s}}},
		GRPCServer:       newServer,
		Logger:           hclog.New(&hclog.LoggerOptions{Output: stderr, JSONFormat: true, Level: hclog.Error}),
	})
	<-s.ready
	if a.Close != nil && s.failed == nil {
		a.Close()
	}
	return nil
}

// newServer takes messages of any size that a host allows; the lane and Call bound them.
func newServer(opts []grpc.ServerOption) *grpc.Server {
	const most = 1 << 30
	return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(most), grpc.MaxSendMsgSize(most))...)
}

func newWorkerServer(a *Adapter) (*workerServer, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	slots, err := a.slots()
	if err != nil {
		return nil, err
	}
	s := &workerServer{name: a.Name, tools: a.Tools, slots: slots, hooks: a.Hooks.capabilities(), ready: make(chan struct{})}
	s.calls = newDispatcher(append(slices.Clone(a.Tools), a.Hooks.tools()...), slots)
	if s.name == "" {
		s.name = filepath.Base(os.Args[0])
	}
	return s, nil
}

// setUp runs the adapter's own part; those who describe the worker wait for it.
func (s *workerServer) setUp(ctx context.Context, setup func(context.Context) error) {
	defer close(s.ready)
	if setup == nil {
		return
	}
	if err := setup(ctx); err != nil {
		var known *errdefs.Error
		if !errors.As(err, &known) {
			known = errdefs.New(errdefs.StartFailed, "adapter %s can't be set up: %v", s.name, err)
		}
		s.failed = known
	}
}

// listen opens the local carrier's socket in the folder that the host gave. Without
// one, or where that fails, there's the portable carrier.
func (s *workerServer) listen(ctx context.Context, parts *sync.WaitGroup, log func(error)) {
	dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR")
	if dir == "" {
		return
	}
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails
	path := filepath.Join(dir, "lane"+hex.EncodeToString(id[:]))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		log(err)
		return
	}
	s.address = path
	d := &door{listener: l, service: s, log: log}
	parts.Go(func() { d.run(ctx) })
}

// workerPlugin is what go-plugin serves.
type workerPlugin struct {
	goplugin.NetRPCUnsupportedPlugin

	service *workerServer
}

var _ goplugin.GRPCPlugin = (*workerPlugin)(nil)

// GRPCServer implements goplugin.GRPCPlugin.
func (p *workerPlugin) GRPCServer(_ *goplugin.GRPCBroker, server *grpc.Server) error {
	snakepitv1.RegisterWorkerServer(server, p.service)
	return nil
}

// GRPCClient implements goplugin.GRPCPlugin: a worker is no host.
func (*workerPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, syscall.ENOTSUP
}
