//go:build unix

package embed_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/snakepit-go/snakepit/cluster"
	"github.com/snakepit-go/snakepit/cluster/link"
	"github.com/snakepit-go/snakepit/host/embed"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// sealed is the configuration of a node under TLS.
func sealed(t *testing.T, data, certificates string, knobs ...string) embed.Config {
	t.Helper()
	cfg := config(t, append([]string{"cluster_listen=127.0.0.1:0", "tls_dir=" + certificates}, knobs...)...)
	cfg.DataDir, cfg.Workers = data, 1
	return cfg
}

func TestNodeJoinsUnderTLSForATokenAndStartsAgainWithout(t *testing.T) {
	t.Parallel()
	certificates, data, theirs := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "tls")
	authority, err := link.NewAuthority(certificates, "a test's cluster")
	if err != nil {
		t.Fatal(err)
	}
	one := start(t, sealed(t, t.TempDir(), certificates))
	token := link.NewToken(authority.Hash())
	joining := []string{"join=" + one.ClusterAddress(), "join_token=" + token.String()}
	if _, err := embed.Start(t.Context(), sealed(t, t.TempDir(), t.TempDir(), joining...)); errdefs.ReasonOf(err) != errdefs.Unauthenticated {
		t.Errorf("with a token that isn't known: %v", err)
	}
	if err := one.Cluster().AddToken(t.Context(), cluster.Token{Hash: token.SecretHash(), Uses: 1}); err != nil {
		t.Fatal(err)
	}
	two, err := embed.Start(t.Context(), sealed(t, data, theirs, joining...))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(two.Cluster().Overview().Members); n != 2 {
		t.Errorf("it sees %d members", n)
	}
	if _, err := os.Stat(filepath.Join(theirs, "ca-key.pem")); err == nil {
		t.Error("it has the authority's key")
	}
	id := two.Cluster().ID()
	if err := two.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := start(t, sealed(t, data, theirs, joining[0]))
	if again.Cluster().ID() != id {
		t.Errorf("it's %s, and was %s", again.Cluster().ID(), id)
	}
}
