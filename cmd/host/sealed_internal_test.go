package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snakepit-go/snakepit/proto/errdefs"
)

func TestCertificatesAreForTheNetworkAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	dialled := errors.New("dialled without a certificate")
	p := &program{
		environ: func() []string { return []string{"SNAKEPIT_TLS_DIR=" + dir} },
		getenv:  func(string) string { return "" },
		dial:    func(context.Context, string) (engine, error) { return nil, dialled },
	}
	if _, err := p.reach(t.Context(), "/run/snakepit/api.sock"); !errors.Is(err, dialled) {
		t.Errorf("a socket: %v", err)
	}
	if _, err := p.reach(t.Context(), "127.0.0.1:1"); errors.Is(err, dialled) || err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("an address: %v", err)
	}
}

func TestNodeThatHangsUpMayWantACertificate(t *testing.T) {
	t.Parallel()
	for _, why := range []string{"EOF", "connection reset by peer"} {
		e := errdefs.New(errdefs.HostUnreachable, "connection error: %s", why)
		for target, want := range map[string]bool{"10.0.0.1:7070": true, "/run/api.sock": false} {
			if hint := errdefs.Of(unreachable(e, target)).Hint; strings.Contains(hint, "tls_dir") != want {
				t.Errorf("%s, %s: %q", target, why, hint)
			}
		}
	}
}
