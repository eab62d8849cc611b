package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/snakepit-go/snakepit/host/client"
)

// town is the three hosts.
type town struct {
	options

	dir   string
	nodes []*node
	all   *client.Client // of all of them: it goes wherever one answers
}

// begin starts the hosts: the first one makes the cluster, the others join it.
func (t *town) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for i := range 3 {
		t.nodes = append(t.nodes, newNode(t.dir, fmt.Sprint("n", i+1)))
	}
	first := t.nodes[0]
	if err := first.start(ctx, t.options); err != nil {
		return err
	}
	token, err := first.api.NewClusterToken(ctx, 2, "the example")
	if err != nil {
		return err
	}
	if err := t.join(ctx, token); err != nil {
		return err
	}
	var addresses []string
	for _, n := range t.nodes {
		addresses = append(addresses, n.address)
	}
	if t.all, err = client.Dial(ctx, strings.Join(addresses, ",")); err != nil {
		return err
	}
	return t.settle(ctx)
}

// join starts all nodes but the first, beside each other.
func (t *town) join(ctx context.Context, token string) error {
	errs := make([]error, len(t.nodes))
	var starting sync.WaitGroup
	for i, n := range t.nodes[1:] {
		starting.Go(func() {
			errs[i] = n.start(ctx, t.options, "--join", t.nodes[0].address, "--join-token", token)
		})
	}
	starting.Wait()
	return errors.Join(errs...)
}

// settle waits until all three vote: a node joins without a vote, and gets one when it
// has caught up.
func (t *town) settle(ctx context.Context) error {
	for {
		c, err := t.all.ClusterStatus(ctx)
		if err != nil {
			return err
		}
		voters := 0
		for _, n := range c.GetNodes() {
			if n.GetVoter() && n.GetAnswers() {
				voters++
			}
		}
		if voters == len(t.nodes) {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// describe says how the cluster is, as `snakepit cluster status` does first.
func (t *town) describe(ctx context.Context, w io.Writer) error {
	c, err := t.all.ClusterStatus(ctx)
	if err != nil {
		return err
	}
	say(w, "\n%s.\n\n", c.GetSummary())
	return nil
}

// leader is the node that leads.
func (t *town) leader(ctx context.Context) (*node, error) {
	c, err := t.all.ClusterStatus(ctx)
	if err != nil {
		return nil, err
	}
	return t.node(c.GetLeader()), nil
}

// node finds one by its id; nil where it's none of them.
func (t *town) node(id string) *node {
	if i := slices.IndexFunc(t.nodes, func(n *node) bool { return n.id == id }); i >= 0 {
		return t.nodes[i]
	}
	return nil
}

// end ends all hosts at once: the last of a cluster waits for nobody.
func (t *town) end(ctx context.Context) error {
	if t.all != nil {
		_ = t.all.Close() // some of its hosts may be gone
	}
	errs := make([]error, len(t.nodes))
	var ending sync.WaitGroup
	for i, n := range t.nodes {
		ending.Go(func() { errs[i] = n.end(ctx, t.program) })
	}
	ending.Wait()
	return errors.Join(errs...)
}

// pause waits a moment.
func pause(ctx context.Context) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
