package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/embed"
)

func (p *program) clusterRestoreCommand() *cobra.Command {
	var past uint64
	cmd := p.command(&cobra.Command{
		Use:   "restore FILE [--past N]",
		Short: "Make a registry of a backup, in the data directory of a stopped host",
		Long: `Make the registry of a data directory anew, of a backup: a new cluster of one node, with the sessions and the state that the backup
has, which are given to the nodes that come. Others join it afterwards, with empty data directories. Its fencing tokens are above all of the
backup. Where the cluster had been restored or recovered after the backup was made, say with --past which generation it had
then (snakepit cluster status tells it), so that they're above those too.

The directory's own registry, if it has one, is set aside, not removed. A host that is running there is refused: stop it first. FILE may be
"-", for stdin.

With -o json: an object with data_dir, node and cluster (the new ids), from (the id of the cluster that was backed up), generation, sessions,
gone (empty), and set_aside (a path; empty: there was nothing).`,
		Example: `  snakepit cluster restore /var/backups/snakepit-2026-11-25 --data-dir /var/lib/snakepit`,
		Args:    cobra.ExactArgs(1),
	}, func(_ context.Context, args []string) error { return p.clusterRestore(args[0], past) })
	cmd.Flags().Uint64Var(&past, "past", 0, "epochs exceed those of generation `N` too: the cluster had it later than the backup")
	complete(cmd, "past", cobra.NoFileCompletions)
	return cmd
}

func (p *program) clusterRestore(name string, past uint64) error {
	dir, err := p.stoppedDir("restore")
	if err != nil {
		return err
	}
	in := p.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return &usageError{err}
		}
		defer func() { _ = f.Close() }() // it was only read
		in = f
	}
	r, err := p.offline.Restore(dir, in, past)
	if err != nil {
		return err
	}
	return p.printOffline("restored", r)
}

func (p *program) clusterRecoverCommand() *cobra.Command {
	var yes bool
	cmd := p.command(&cobra.Command{
		Use:   "recover --yes",
		Short: "Go on with this node alone, after the majority was lost for good",
		Long: `Make of the registry in a data directory a cluster of one node, after so many nodes were lost for good that the rest have no
majority. Its sessions and their state are those that this node had; what others acknowledged and hadn't sent here yet is lost.
Without --yes it only says what it would do.

  1. Be certain that the other nodes are off and stay off: one that comes back would be a second cluster with the same sessions.
  2. Where several nodes are left, choose the one that has most: the greatest "last" in snakepit cluster status -o json.
  3. Stop its host, run this, start it again: snakepit serve as before, without --join.
  4. Give the others empty data directories, and let them join: snakepit cluster token, snakepit serve --join.

Fencing tokens go on above all that this node knows of. The others have left, for this cluster, and it has a new id: one that comes back
is refused. A host that is running on the directory is, too.

With -o json: an object with data_dir, node, cluster (its new id), from (the one that it had), generation, sessions, gone (the ids of the
others) and set_aside (empty).`,
		Example: `  snakepit cluster recover --data-dir /var/lib/snakepit
  snakepit cluster recover --data-dir /var/lib/snakepit --yes`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error { return p.clusterRecover(yes) })
	cmd.Flags().BoolVar(&yes, "yes", false, "do it: the other nodes are off, and stay off")
	return cmd
}

func (p *program) clusterRecover(yes bool) error {
	dir, err := p.stoppedDir("recover")
	if err != nil {
		return err
	}
	if !yes {
		return usagef("this would make a cluster of one node of the registry in %s, and give up all other nodes for good.\n"+
			"Whatever they acknowledged and this one doesn't have is lost, and one that comes back would be a second\n"+
			"cluster with the same sessions. If they are off and stay off, say --yes. `snakepit cluster recover --help` has the steps.", clean(dir))
	}
	r, err := p.offline.Recover(dir)
	if err != nil {
		return err
	}
	return p.printOffline("recovered", r)
}

// stoppedDir is the data directory that a command is about which talks to no host.
func (p *program) stoppedDir(command string) (string, error) {
	if p.opts.host != "" {
		return "", usagef("--host names a live host, but %s is about the data directory of a stopped one: --data-dir DIR", command)
	}
	return p.dataDir()
}

func (p *program) printOffline(done string, r embed.RegistryReport) error {
	if p.json() {
		return printJSON(p.stdout, r)
	}
	if r.SetAside != "" {
		_, _ = fmt.Fprintf(p.stderr, "snakepit: the registry that was there is kept as %s\n", clean(r.SetAside))
	}
	_, err := fmt.Fprintf(p.stdout, "%s data_dir=%s sessions=%d\n", done, cell(r.DataDir), r.Sessions)
	return err
}

// offline is what can be done to a registry while its host is stopped.
type offline interface {
	// Restore makes a data directory's registry anew, of a backup; its epochs exceed
	// those of the generation past.
	Restore(dataDir string, backup io.Reader, past uint64) (embed.RegistryReport, error)
	// Recover makes its registry that of a sole node.
	Recover(dataDir string) (embed.RegistryReport, error)
}

// offlineHosts are those of this machine.
type offlineHosts struct{}

// Restore implements offline.
func (offlineHosts) Restore(dataDir string, backup io.Reader, past uint64) (embed.RegistryReport, error) {
	return embed.Restore(dataDir, backup, past)
}

// Recover implements offline.
func (offlineHosts) Recover(dataDir string) (embed.RegistryReport, error) {
	return embed.Recover(dataDir)
}
