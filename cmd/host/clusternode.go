package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) clusterRemoveCommand() *cobra.Command {
	return p.nodeCommand(&cobra.Command{
		Use:   "remove NODE",
		Short: "End another node's membership, for good",
		Long: `End the membership of a node that is lost, for good: its vote counts no more, others get its sessions, and its id never
comes back. One that is alive stops serving sessions first, and ends. It returns when that node surely serves none.

It's refused where too few voters would be left alive, and for the leader: hand over first, with snakepit cluster transfer. A node
that can still be reached better leaves by itself: snakepit cluster leave, there. What replaces the removed one
joins with an empty data directory.`,
		Example: `  snakepit cluster remove n3`,
	}, "removed", clusterHost.Remove, func(n members.Node) bool { return n.Member })
}

func (p *program) clusterForgetCommand() *cobra.Command {
	return p.nodeCommand(&cobra.Command{
		Use:   "forget NODE",
		Short: "Drop what is still known of a node that is no member any more",
		Long: `Drop the record of a node that has left or was removed, and of processes of its workers that nobody has seen end. It
says nothing to these processes: be certain that its machine is off, or that a host on it has ended them.`,
		Example: `  snakepit cluster forget n3`,
	}, "forgot", clusterHost.Forget, func(n members.Node) bool { return !n.Member })
}

// nodeCommand is a command that does something to one node, and says so. fits says
// which ones it can be about.
func (p *program) nodeCommand(cmd *cobra.Command, done string, do func(clusterHost, context.Context, string) error, fits func(members.Node) bool) *cobra.Command {
	cmd.Args = cobra.ExactArgs(1)
	cmd.ValidArgsFunction = p.completeNode(fits)
	return p.command(cmd, func(ctx context.Context, args []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error {
			n, err := namedNode(ctx, h, args[0], fits)
			if err != nil {
				return err
			}
			if err := do(h, ctx, n.ID); err != nil {
				return named(err, n)
			}
			if p.json() {
				return printJSON(p.stdout, map[string]string{"node": n.ID, "name": n.Name, "state": done})
			}
			_, err = fmt.Fprintf(p.stdout, "%s node=%s id=%s\n", done, cell(n.Label()), cell(n.ID))
			return err
		})
	})
}

func (p *program) clusterTransferCommand() *cobra.Command {
	return p.command(&cobra.Command{
		Use:   "transfer [NODE]",
		Short: "Let another node lead",
		Long: `Let another node lead: NODE, or any voter that has caught up. Sessions stay where they are, and writes wait for some
milliseconds. It prints who leads now. With -o json: an object with leader (its id) and name.`,
		Example: `  snakepit cluster transfer
  snakepit cluster transfer n2`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeNode(mayLead),
	}, func(ctx context.Context, args []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error { return p.transfer(ctx, h, args) })
	})
}

func mayLead(n members.Node) bool { return n.Voter && !n.Leader }

func (p *program) transfer(ctx context.Context, h clusterHost, args []string) error {
	var to members.Node
	if len(args) > 0 {
		var err error
		if to, err = namedNode(ctx, h, args[0], mayLead); err != nil {
			return err
		}
		if to.Leader {
			return p.printLeader(to)
		}
	}
	if err := h.Transfer(ctx, to.ID); err != nil {
		return named(err, to)
	}
	c, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	if n, ok := c.Node(c.Leader); ok {
		to = n
	}
	return p.printLeader(to)
}

func (p *program) printLeader(n members.Node) error {
	if p.json() {
		return printJSON(p.stdout, map[string]string{"leader": n.ID, "name": n.Name})
	}
	_, err := fmt.Fprintf(p.stdout, "leads node=%s id=%s\n", cell(n.Label()), cell(n.ID))
	return err
}

// namedNode finds the one that a word means: an id, a name, or the beginning of an
// id that no other has. Of several, those count that the command can be about.
func namedNode(ctx context.Context, h clusterView, word string, fits func(members.Node) bool) (members.Node, error) {
	c, err := h.Cluster(ctx)
	if err != nil {
		return members.Node{}, err
	}
	return nodeIn(c, word, fits)
}

func nodeIn(c members.Cluster, word string, fits func(members.Node) bool) (members.Node, error) {
	for _, means := range []func(members.Node) bool{
		func(n members.Node) bool { return n.ID == word },
		func(n members.Node) bool { return n.Name == word },
		func(n members.Node) bool { return word != "" && strings.HasPrefix(n.ID, word) },
	} {
		found := kept(c.Nodes, means)
		if usable := kept(found, fits); len(usable) > 0 {
			found = usable
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return members.Node{}, ambiguous(word, found)
		}
	}
	e := errdefs.New(errdefs.InvalidArguments, "no node is called %q, or has an id that begins so", clip(word))
	e.Hint = "`snakepit cluster status` lists them"
	return members.Node{}, e
}

func kept[T any](all []T, which func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !which(x) })
}

// named puts a node's name into an error that has its id alone.
func named(err error, n members.Node) error {
	var e *errdefs.Error
	if n.Name == "" || !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Message = strings.ReplaceAll(e.Message, strconv.Quote(n.ID), n.Name+" ("+n.ID+")")
	return &out
}

func ambiguous(word string, found []members.Node) error {
	var ids []string
	for _, n := range found {
		ids = append(ids, n.ID+" ("+n.Status+")")
	}
	e := errdefs.New(errdefs.InvalidArguments, "%q could be any of %s", clip(word), strings.Join(ids, ", "))
	e.Hint = "name it by its id"
	return e
}

// completeNode completes a command's only argument with the names of the nodes that fit.
func (p *program) completeNode(fits func(members.Node) bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		p.onLive(cmd, func(ctx context.Context, e engine) error {
			h, ok := e.(clusterView)
			if !ok {
				return nil
			}
			c, err := h.Cluster(ctx)
			for _, n := range c.Nodes {
				if fits(n) {
					names = append(names, nodeNames(c, n, word)...)
				}
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// nodeNames offers a node's name, unless another one has it too; then, and where an
// id is being typed, its id.
func nodeNames(c members.Cluster, n members.Node, word string) []cobra.Completion {
	same := 0
	for _, other := range c.Nodes {
		if other.Name == n.Name {
			same++
		}
	}
	about := cell(statusText(n) + " at " + n.Address)
	switch {
	case n.Name != "" && same == 1 && strings.HasPrefix(n.Name, word):
		return []cobra.Completion{cobra.CompletionWithDesc(n.Name, about)}
	case strings.HasPrefix(n.ID, word):
		return []cobra.Completion{cobra.CompletionWithDesc(n.ID, cell(n.Name+", "+about))}
	}
	return nil
}
