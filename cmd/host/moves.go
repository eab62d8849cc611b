package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
	snakepitv1 "github.com/snakepit-go/snakepit/proto/snakepit/v1"
)

// clusterMover moves sessions between the nodes of a cluster.
type clusterMover interface {
	// MoveSession moves a session to the node of an id, and says which one had it.
	MoveSession(ctx context.Context, session, node string) (from string, err error)
	// Rebalance evens sessions out; step is told what is to be done, then what came of it.
	Rebalance(ctx context.Context, r *snakepitv1.ClusterRebalanceRequest, step func(*snakepitv1.ClusterRebalanceResponse)) error
}

// moveTimeout is how long a session's running calls may take to end before it moves.
const moveTimeout = 30 * time.Second

func (p *program) sessionsMoveCommand() *cobra.Command {
	timeout := moveTimeout
	cmd := p.command(&cobra.Command{
		Use:   "move SESSION NODE [--timeout D]",
		Short: "Move a session to another node of the cluster",
		Long: `Move a session to another node, with its state and what its adapter saves of it (on_session_save). Any node can be asked.
Calls of the session that run end first, those that come meanwhile wait and go on at the new node: none fails. Where a running call takes longer
than --timeout the session stays where it is.

NODE is a node's id, the beginning of one that no other has, or its name. It must be up, and have the session's pool and room. A session that was
opened with availability local never leaves its node. snakepit cluster rebalance moves as many as it takes to have them even.

It prints where the session was and is. With -o json: an object with session, from and to (names, or ids where two nodes have one
name), and moved: false where it was there already.`,
		Example: `  snakepit sessions move user-1 n3
  snakepit sessions move user-1 n3 --timeout 5m`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: p.completeMove,
	}, func(ctx context.Context, args []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error {
			return p.moveSession(ctx, h, args[0], args[1], timeout)
		})
	})
	cmd.Flags().Var(&seconds{&timeout}, "timeout", "wait at most `D` for its running calls to end (default 30s)")
	complete(cmd, "timeout", cobra.NoFileCompletions)
	return cmd
}

// takesSessions reports whether a node may get sessions.
func takesSessions(n members.Node) bool { return n.Member && n.Status == "up" }

func (p *program) moveSession(ctx context.Context, h clusterHost, session, word string, timeout time.Duration) error {
	c, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	to, err := nodeIn(c, word, takesSessions)
	if err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	from, err := h.MoveSession(bounded, session, to.ID)
	if err != nil {
		return asCancelled(ctx, unmoved(err, &c))
	}
	return p.printMoved(session, nodeName(&c, from), nodeName(&c, to.ID), from != to.ID)
}

func (p *program) printMoved(session, from, to string, moved bool) error {
	if p.json() {
		return printJSON(p.stdout, map[string]any{"session": session, "from": from, "to": to, "moved": moved})
	}
	var err error
	if moved {
		_, err = fmt.Fprintf(p.stdout, "moved session=%s from=%s to=%s\n", cell(session), cell(from), cell(to))
	} else {
		_, err = fmt.Fprintf(p.stdout, "already there session=%s node=%s\n", cell(session), cell(to))
	}
	return err
}

// nodeName is what people call the node of an id.
func nodeName(c *members.Cluster, id string) string {
	if n, known := c.Node(id); known {
		return c.Reference(n)
	}
	return id
}

// unmoved is why a session wasn't moved, with the names of nodes and what to do.
func unmoved(err error, c *members.Cluster) error {
	var e *errdefs.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Reason == errdefs.Unimplemented && strings.Contains(e.Message, "unknown method") {
		old := errdefs.New(errdefs.Unimplemented, "the host that was asked is older than this program, and doesn't move sessions on request")
		old.Hint = "upgrade it, or ask a newer one with --host: `snakepit cluster status` has their versions"
		return old
	}
	out := *e
	for _, n := range c.Nodes {
		if n.Name != "" && n.Name != n.ID {
			out.Message = strings.ReplaceAll(out.Message, fmt.Sprintf("node %q", n.ID), "node "+n.Name+" ("+n.ID+")")
			out.Message = strings.ReplaceAll(out.Message, "node "+n.ID, "node "+n.Name+" ("+n.ID+")")
		}
	}
	if out.Hint == "" {
		out.Hint = map[errdefs.Reason]string{
			errdefs.Deadline:        "calls of the session still run: they go on where they are; wait longer with --timeout",
			errdefs.HostUnreachable: "`snakepit cluster status` says who answers, `snakepit sessions` who has what",
		}[out.Reason]
	}
	return &out
}

// completeMove completes a session, then a node.
func (p *program) completeMove(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return p.completeNode(takesSessions)(cmd, args[1:], word)
	}
	var found []cobra.Completion
	p.onLive(cmd, func(ctx context.Context, e engine) error {
		list, err := e.Sessions(ctx, "")
		for _, s := range list {
			if strings.HasPrefix(s.ID, word) {
				found = append(found, cobra.CompletionWithDesc(s.ID, cell(s.Pool)))
			}
		}
		return err
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}
