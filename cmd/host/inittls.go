package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func (p *program) clusterInitTLSCommand() *cobra.Command {
	var dir, client string
	cmd := p.command(&cobra.Command{
		Use:   "init-tls [--dir DIR] [--client NAME]",
		Short: "Make the authority of a cluster's certificates, or a client's certificate",
		Long: `Make the authority that signs the certificates of a cluster's nodes, once, on one machine. It talks to no host, and
asks nothing. An authority that is there is never written over.

A node gets its certificate by itself when it starts: where the authority's key is, it's signed there; elsewhere it's
asked for with the token (snakepit cluster token), and renewed before it expires.

With --client a client's certificate is made, in a folder of its own, which is all that the client needs. It's good for
calls, and not for a node. The authority is made first where there's none.

With -o json: an object with dir, authority (whether it was made), files, and client_dir.`,
		Example: `  snakepit cluster init-tls --dir /etc/snakepit/tls
  snakepit cluster init-tls --dir /etc/snakepit/tls --client reports`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
	}, func(context.Context, []string) error {
		if client != "" && !clientName().MatchString(client) {
			return usagef("--client %q: want letters, digits, dots, dashes and underscores, 64 at most", clip(client))
		}
		return p.initTLS(dir, client)
	})
	cmd.Flags().StringVar(&dir, "dir", "", "the certificates are in `DIR` (default: tls in the data directory)")
	cmd.Flags().StringVar(&client, "client", "", "make a certificate for client `NAME`")
	complete(cmd, "dir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs))
	complete(cmd, "client", cobra.NoFileCompletions)
	return cmd
}

// clientName is what may name a client: its folder is called so, too.
func clientName() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`) }

// madeTLS is what init-tls has made.
type madeTLS struct {
	Dir       string   `json:"dir"`
	Authority bool     `json:"authority"`
	Files     []string `json:"files"`
	ClientDir string   `json:"client_dir,omitempty"`
}

func (p *program) initTLS(dir, client string) error {
	dir, err := p.tlsDir(dir)
	if err != nil {
		return err
	}
	made := madeTLS{Dir: dir, Files: []string{}}
	a, err := made.authority(client != "")
	if err != nil {
		return err
	}
	if client != "" {
		if err := made.client(a, client); err != nil {
			return err
		}
	}
	if p.json() {
		return printJSON(p.stdout, made)
	}
	_, err = fmt.Fprint(p.stdout, clean(made.text(client)))
	return err
}

func (p *program) tlsDir(named string) (string, error) {
	if named == "" {
		data, err := p.dataDir()
		return filepath.Join(data, "tls"), err
	}
	dir, err := filepath.Abs(named)
	if err != nil {
		return "", usagef("--dir %s: %w", clip(named), err)
	}
	return dir, nil
}

// authority makes one, or opens one that may be there.
func (m *madeTLS) authority(may bool) (*link.Authority, error) {
	a, err := link.NewAuthority(m.Dir, "snakepit cluster")
	if err == nil {
		m.Authority = true
		m.Files = append(m.Files, filepath.Join(m.Dir, "ca.pem"), filepath.Join(m.Dir, "ca-key.pem"))
		return a, nil
	}
	if errdefs.ReasonOf(err) == errdefs.Exists && may {
		return link.OpenAuthority(m.Dir)
	}
	if errdefs.ReasonOf(err) == errdefs.Exists {
		e := errdefs.New(errdefs.Exists, "%s has an authority already", m.Dir)
		e.Hint = "its cluster trusts that one alone; --client NAME makes a client's certificate, and another --dir another cluster's authority"
		return nil, e
	}
	return nil, err
}

func (m *madeTLS) client(a *link.Authority, name string) error {
	m.ClientDir = filepath.Join(m.Dir, "clients", name)
	files, err := a.IssueClient(m.ClientDir, name)
	m.Files = append(m.Files, files.Authority, files.Certificate, files.Key)
	return err
}

// text says what was made, and what is to be done with it.
func (m *madeTLS) text(client string) string {
	var b strings.Builder
	if m.Authority {
		fmt.Fprintf(&b, `Made the authority of a new cluster, in %[1]s:
  ca.pem      its certificate, which everybody may have
  ca-key.pem  its key: whoever has it can make nodes. Keep it on this machine, and a copy in a safe place

`, m.Dir)
	}
	if client != "" {
		fmt.Fprintf(&b, `Made the certificate of client %[1]s, in %[2]s:
  ca.pem  client.pem  client-key.pem

Next, bring that folder to the client, over a safe way: it's its tls_dir. Nobody else may read client-key.pem there.
`, client, m.ClientDir)
		return b.String()
	}
	fmt.Fprintf(&b, `Next:
  on this machine        snakepit serve … --cluster-listen THIS-HOST:7070 --tls-dir %[1]s
  for each other node    snakepit cluster token
  on its machine         snakepit serve … --cluster-listen ITS-HOST:7070 --tls-dir DIR --join THIS-HOST:7070 --join-token TOKEN
  for a client           snakepit cluster init-tls --dir %[1]s --client NAME

Nothing is copied from machine to machine but the token: each node makes its key itself, and gets its certificate for it.
`, m.Dir)
	return b.String()
}
