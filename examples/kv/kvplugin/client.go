package kvplugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/snakepit-go/snakepit/examples/kv/kvpb"
)

var errNoServer = errors.New("this program only hosts the plugin")

// Client is a plugin's store.
type Client struct {
	kv       kvpb.KVClient
	brokered kvpb.BrokeredClient
	broker   *plugin.GRPCBroker
}

// Put stores a value under a key that isn't empty.
func (c *Client) Put(ctx context.Context, key string, value []byte) error {
	if _, err := c.kv.Put(ctx, &kvpb.PutRequest{Key: key, Value: value}, unlimited()...); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

// Get returns a value; without one the error's status is NotFound.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	resp, err := c.kv.Get(ctx, &kvpb.GetRequest{Key: key}, unlimited()...)
	if err != nil {
		return nil, fmt.Errorf("get %q: %w", key, err)
	}
	return resp.GetValue(), nil
}

// Delete removes a value. One that isn't there is no error.
func (c *Client) Delete(ctx context.Context, key string) error {
	if _, err := c.kv.Delete(ctx, &kvpb.DeleteRequest{Key: key}); err != nil {
		return fmt.Errorf("delete %q: %w", key, err)
	}
	return nil
}

// Watch yields every change to keys with the prefix, until ctx ends or the loop
// is left. The first change has no key: from then on nothing is missed.
func (c *Client) Watch(ctx context.Context, prefix string) iter.Seq2[*kvpb.Change, error] {
	return func(yield func(*kvpb.Change, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.kv.Watch(ctx, &kvpb.WatchRequest{Prefix: prefix})
		for err == nil {
			var change *kvpb.Change
			if change, err = stream.Recv(); err == nil && !yield(change, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, fmt.Errorf("watch %q: %w", prefix, err))
		}
	}
}

// Merge stores what merge makes of the old value and the new one, and returns it.
// The plugin calls merge back, over a connection that the broker makes. Needs
// version 2.
func (c *Client) Merge(ctx context.Context, key string, value []byte, merge func(old, added []byte) []byte) ([]byte, error) {
	id := c.broker.NextId()
	stop := c.serve(id, &merger{merge: merge})
	defer stop()
	resp, err := c.brokered.Merge(ctx, &kvpb.MergeRequest{Key: key, Value: value, Merger: id})
	if err != nil {
		return nil, fmt.Errorf("merge %q: %w", key, err)
	}
	return resp.GetValue(), nil
}

// Snapshot returns the store as it is now, on a connection of its own. Close it.
// Needs version 2.
func (c *Client) Snapshot(ctx context.Context) (*Snapshot, error) {
	resp, err := c.brokered.Snapshot(ctx, &kvpb.SnapshotRequest{})
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	conn, err := c.broker.Dial(resp.GetStore())
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return &Snapshot{Client: &Client{kv: kvpb.NewKVClient(conn)}, conn: conn}, nil
}

// serve runs a merger for the plugin until stop is called, which waits for its end.
func (c *Client) serve(id uint32, service *merger) (stop func()) {
	var serving sync.WaitGroup
	started := make(chan *grpc.Server, 1)
	serving.Go(func() {
		defer close(started)
		c.broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
			server := grpc.NewServer(opts...)
			kvpb.RegisterMergerServer(server, service)
			started <- server
			return server
		})
	})
	return func() {
		if server := <-started; server != nil { // nil when it couldn't listen
			server.Stop()
		}
		serving.Wait()
	}
}

// Snapshot is a store that doesn't change.
type Snapshot struct {
	*Client
	conn *grpc.ClientConn
}

// Close ends the snapshot's connection.
func (s *Snapshot) Close() error { return s.conn.Close() }

// merger is what the host serves to the plugin.
type merger struct {
	kvpb.UnimplementedMergerServer
	merge func(old, added []byte) []byte
}

// Values merges.
func (m *merger) Values(_ context.Context, req *kvpb.ValuesRequest) (*kvpb.ValuesResponse, error) {
	return &kvpb.ValuesResponse{Merged: m.merge(req.GetOld(), req.GetNew())}, nil
}

// unlimited lets values be as large as gRPC can carry.
func unlimited() []grpc.CallOption {
	const most = 1<<31 - 1
	return []grpc.CallOption{grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)}
}
