package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

// maxUses is of one token: more nodes than that a cluster never has.
const maxUses = 64

func (p *program) clusterTokenCommand() *cobra.Command {
	var uses uint32
	var label string
	cmd := p.command(&cobra.Command{
		Use:   "token [--uses N]",
		Short: "Make a token with which a new node joins",
		Long: `Make a token with which a new node joins within a day, and print it alone. Whoever has it can become a member, and so
see and do everything: treat it as a password. It's shown this once.

With -o json: an object with token and uses.`,
		Example: `  token=$(snakepit cluster token)
  snakepit serve --adapter tools.py --cluster-listen 10.0.0.2:7070 --join 10.0.0.1:7070 --join-token "$token"`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		if uses < 1 || uses > maxUses {
			return usagef("--uses %d: want 1 to %d", uses, maxUses)
		}
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error { return p.clusterToken(ctx, h, uses, label) })
	})
	cmd.Flags().Uint32Var(&uses, "uses", 1, "`N` nodes may join with it (default 1)")
	cmd.Flags().StringVar(&label, "label", "", "what it's for, in words: `TEXT`")
	complete(cmd, "uses", cobra.NoFileCompletions)
	complete(cmd, "label", cobra.NoFileCompletions)
	return cmd
}

func (p *program) clusterToken(ctx context.Context, h clusterView, uses uint32, label string) error {
	token, err := h.NewToken(ctx, uses, label)
	if err != nil {
		return err
	}
	if p.json() {
		return printJSON(p.stdout, map[string]any{"token": token, "uses": uses})
	}
	_, err = fmt.Fprintln(p.stdout, clean(token))
	return err
}

func (p *program) clusterLeaveCommand() *cobra.Command {
	var force bool
	cmd := p.command(&cobra.Command{
		Use:   "leave [--force]",
		Short: "Let this node drain and leave the cluster, for good",
		Long: `Let the node that is asked leave the cluster, for good, and end its host: it gets no new sessions, its calls
end, its sessions move to others with their state and what their adapter saves, another node leads if it did, and then it's a member no more.
No call fails. It asks nothing, and goes on by itself once begun: Ctrl-C ends the watching alone. Sessions for which no other node has
room keep it, and it goes on serving; with --force they wait for room, with their replicated state alone.

The last node can't leave. To stop a node for a while stop its host (SIGTERM), and start it again: it stays a member.
A node that can't be reached is removed by another one: snakepit cluster remove.

With -o json: an object with node (its id), name and state ("left").`,
		Example:           `  snakepit cluster leave`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(ctx context.Context, _ []string) error {
		return p.withNode(ctx, func(ctx context.Context, h clusterHost) error { return p.clusterLeave(ctx, h, force) })
	})
	cmd.Flags().BoolVar(&force, "force", false, "leave though sessions are left that no other node has room for")
	return cmd
}

func (p *program) clusterLeave(ctx context.Context, h clusterHost, force bool) error {
	c, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	self, _ := c.Node(c.Self)
	began := time.Now()
	err = h.Leave(ctx, force, func(step string, sessions uint64) {
		if !p.json() {
			_, _ = fmt.Fprintf(p.stderr, "%6.2f s  %s\n", time.Since(began).Seconds(), stepText(step, sessions))
		}
	})
	if err != nil {
		return asCancelled(ctx, err)
	}
	if p.json() {
		return printJSON(p.stdout, map[string]string{"node": self.ID, "name": self.Name, "state": "left"})
	}
	_, err = fmt.Fprintf(p.stdout, "left node=%s id=%s\n", cell(self.Label()), cell(self.ID))
	return err
}

// stepText says what a node is doing that leaves; a step that this program doesn't know
// as it's called.
func stepText(step string, sessions uint64) string {
	left := fmt.Sprintf("%d sessions to go", sessions)
	if sessions == 1 {
		left = "1 session to go"
	}
	switch step {
	case "draining":
		return "gets no new sessions; " + left
	case "moving":
		return "moves its sessions to others; " + left
	case "leaving":
		return "gives up its membership"
	case "left":
		return "has left; its host ends"
	}
	return clean(step)
}
