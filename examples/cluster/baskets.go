package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/snakepit-go/snakepit"
)

// perNode is how many sessions each host opens.
const perNode = 2

// basket is one session.
type basket struct {
	session       string
	before, after *node // who owned it
	items         []string
	took          time.Duration // from the kill to the answer
	err           error         // why there was none
}

// fill opens sessions, each on the host that is asked first, and puts something into
// their baskets.
func (t *town) fill(ctx context.Context, w io.Writer) ([]*basket, error) {
	var all []*basket
	for i := range perNode * len(t.nodes) {
		n := t.nodes[i%len(t.nodes)]
		b := &basket{session: fmt.Sprint("s-", i+1)}
		var err error
		if b.items, err = add(ctx, n.api, b.session, "apples"); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	owners, err := t.owners(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		b.before = owners[b.session]
	}
	for _, n := range t.nodes {
		say(w, "  %s owns %s\n", n.name, strings.Join(owned(all, n), " and "))
	}
	say(w, "\nEach has a basket in its state, with apples in it.\n\n")
	return all, nil
}

// owned are the sessions of a node, before anything happened.
func owned(all []*basket, n *node) (sessions []string) {
	for _, b := range all {
		if b.before == n {
			sessions = append(sessions, b.session)
		}
	}
	return sessions
}

// add puts an item into a session's basket.
func add(ctx context.Context, api snakepit.Caller, session, item string) (items []string, err error) {
	err = api.Call(ctx, "add", map[string]any{"item": item}, &items, snakepit.Session(session), snakepit.Timeout(patience/2))
	return items, err
}

// owners says who owns which session.
func (t *town) owners(ctx context.Context) (map[string]*node, error) {
	sessions, err := t.all.Sessions(ctx, "")
	if err != nil {
		return nil, err
	}
	owners := map[string]*node{}
	for _, s := range sessions {
		owners[s.GetId()] = t.node(s.GetNode())
	}
	return owners, nil
}

// choose says which node is to be lost: the leader, or the last one that isn't.
func (t *town) choose(ctx context.Context, baskets []*basket) (*node, error) {
	leader, err := t.leader(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Backward(t.nodes) {
		if (n == leader) == t.options.leader && len(owned(baskets, n)) > 0 {
			return n, nil
		}
	}
	return nil, errors.New("no node can be lost that owns a session")
}

// fail kills a node and calls all sessions at once, through whoever answers.
func (t *town) fail(ctx context.Context, w io.Writer, victim *node, baskets []*basket) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	say(w, "  0.00 s  kill -9 of %s, process %d\n", victim.name, victim.pid)
	began := time.Now()
	victim.kill()
	answered := make(chan *basket)
	var calling sync.WaitGroup
	defer calling.Wait()
	for _, b := range baskets {
		calling.Go(func() {
			b.items, b.err = add(ctx, t.all, b.session, "bread")
			b.took = time.Since(began)
			answered <- b
		})
	}
	for range baskets {
		b := <-answered
		if b.err != nil {
			say(w, "%6.2f s  %s failed: %v\n", b.took.Seconds(), b.session, b.err)
			continue
		}
		say(w, "%6.2f s  %s answers: %s\n", b.took.Seconds(), b.session, strings.Join(b.items, ", "))
	}
	owners, err := t.owners(ctx)
	for _, b := range baskets {
		b.after = owners[b.session]
	}
	return err
}

// verdict sums up, and fails where a basket has lost something.
func verdict(w io.Writer, baskets []*basket) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	say(tw, "SESSION\tBEFORE\tAFTER\tANSWERED AFTER\tBASKET\n")
	var lost []string
	for _, b := range baskets {
		say(tw, "%s\t%s\t%s\t%.2f s\t%s\n", b.session, b.before.label(), b.after.label(), b.took.Seconds(), strings.Join(b.items, ", "))
		if !slices.Equal(b.items, []string{"apples", "bread"}) {
			lost = append(lost, b.session)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(lost) > 0 {
		return fmt.Errorf("not everything is in the baskets of %s", strings.Join(lost, ", "))
	}
	say(w, "\nNo basket has lost anything.\n")
	return nil
}

// label is a node's name.
func (n *node) label() string {
	if n == nil {
		return "-"
	}
	return n.name
}
