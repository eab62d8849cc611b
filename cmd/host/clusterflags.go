package main

import (
	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/host/config"
)

// clusterFlags are those that make a host one of a cluster's nodes. Each is a knob's.
type clusterFlags struct {
	listen, advertise, join, token, tlsDir string
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "cluster-listen", "", "be a node of a cluster, which other nodes and clients reach at `HOST:PORT`")
	flags.StringVar(&f.advertise, "cluster-advertise", "", "what others are told to dial instead: `HOST:PORT`")
	flags.StringVar(&f.join, "join", "", "become a node of the cluster that has members at `ADDR[,ADDR]`")
	flags.StringVar(&f.token, "join-token", "", "what shows that this host may join: `TOKEN`, from snakepit cluster token")
	flags.StringVar(&f.tlsDir, "tls-dir", "", "this node's certificate and key, and the authority's certificate, are in `DIR`")
	for _, name := range []string{"cluster-listen", "cluster-advertise", "join", "join-token"} {
		complete(cmd, name, cobra.NoFileCompletions)
	}
	complete(cmd, "tls-dir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
}

// knobs are the flags that were given, as knobs.
func (f *clusterFlags) knobs() []config.Flag {
	var all []config.Flag
	for _, k := range []struct{ flag, knob, value string }{
		{"--cluster-listen", "cluster_listen", f.listen},
		{"--cluster-advertise", "cluster_advertise", f.advertise},
		{"--join", "join", f.join},
		{"--join-token", "join_token", f.token},
		{"--tls-dir", "tls_dir", f.tlsDir},
	} {
		if k.value != "" {
			all = append(all, config.Flag{Name: k.flag, Pair: k.knob + "=" + k.value})
		}
	}
	return all
}

// pairs are the same, as --set takes them.
func (f *clusterFlags) pairs() (all []string) {
	for _, k := range f.knobs() {
		all = append(all, k.Pair)
	}
	return all
}
