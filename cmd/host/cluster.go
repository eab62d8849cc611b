package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/members"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// clusterView is a live host as somebody sees it who looks after a cluster.
type clusterView interface {
	// Cluster tells how the cluster is.
	Cluster(ctx context.Context) (members.Cluster, error)
	// NewToken makes a token with which so many nodes may join; label is for people.
	NewToken(ctx context.Context, uses uint32, label string) (string, error)
	// Backup writes the registry down.
	Backup(ctx context.Context, w io.Writer) error
}

// clusterChange changes who is a member, and who leads.
type clusterChange interface {
	// Leave has this node drain and leave; step is told how far it is. Sessions that
	// nobody has room for keep it, unless it's forced.
	Leave(ctx context.Context, force bool, step func(step string, sessions uint64)) error
	// Remove ends another node's membership.
	Remove(ctx context.Context, id string) error
	// Forget removes the record of a node that is no member any more.
	Forget(ctx context.Context, id string) error
	// Transfer makes another node lead; empty: any that can.
	Transfer(ctx context.Context, id string) error
}

// clusterHost is all of it. The hosts of other machines are; one in this process isn't.
type clusterHost interface {
	clusterView
	clusterChange
	clusterMover
}

func (p *program) clusterCommand() *cobra.Command {
	var cmd *cobra.Command
	cmd = p.command(&cobra.Command{
		Use:   "cluster",
		Short: "Look after several hosts that keep sessions together",
		Long: `Look after a cluster: hosts that keep sessions together, so that one takes over what another one that is gone had.
docs/cluster.md is its guide.

A command talks to one node, the live host of the data directory or of --host, whichever that is: what
only the leader can do is passed on to it. restore and recover talk to none: they're about a data directory
whose host is stopped.

NODE is a node's id, the beginning of one that no other has, or its name.`,
		Example: `  snakepit cluster status
  snakepit cluster token
  snakepit cluster backup /var/backups/snakepit`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(_ context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q for \"snakepit cluster\"\nSee `snakepit cluster --help`.", args[0])
		}
		printHelp(cmd, nil)
		return nil
	})
	cmd.AddCommand(p.clusterSubcommands()...)
	return cmd
}

// clusterSubcommands are all of them.
func (p *program) clusterSubcommands() []*cobra.Command {
	return []*cobra.Command{
		p.clusterStatusCommand(), p.clusterTokenCommand(), p.clusterLeaveCommand(), p.clusterRemoveCommand(),
		p.clusterTransferCommand(), p.clusterRebalanceCommand(), p.clusterForgetCommand(), p.clusterBackupCommand(), p.clusterRestoreCommand(), p.clusterRecoverCommand(),
		p.clusterInitTLSCommand(),
	}
}

// withNode runs f on the live host, as a node.
func (p *program) withNode(ctx context.Context, f func(ctx context.Context, h clusterHost) error) error {
	return withHostAs(ctx, p, "this host is no node of a cluster", f)
}

// withHostAs runs f on the live host, which may not be one that can do that.
func withHostAs[T any](ctx context.Context, p *program, cannot string, f func(ctx context.Context, h T) error) error {
	return p.withHost(ctx, func(ctx context.Context, e engine) error {
		h, ok := e.(T)
		if !ok {
			return errdefs.New(errdefs.Conflict, "%s", cannot)
		}
		return advised(f(ctx, h))
	})
}

// advised says what to do about what every command here may meet.
func advised(err error) error {
	hints := map[errdefs.Reason]string{
		errdefs.NoQuorum:       "`snakepit cluster status` says which nodes don't answer, and what to do",
		errdefs.OutcomeUnknown: "it may have been done: `snakepit cluster status` says how things are, and who answers",
		errdefs.NotLeader:      "another one is elected within seconds: try again; `snakepit cluster status` says who answers",
	}
	var e *errdefs.Error
	if !errors.As(err, &e) || e.Hint != "" || hints[e.Reason] == "" {
		return err
	}
	out := *e
	out.Hint = hints[e.Reason]
	return &out
}
