package plugin_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
	"github.com/snakepit-go/snakepit/plugin"
	"github.com/snakepit-go/snakepit/plugin/ledger"
)

func TestLauncherKeepsTheReattachersContract(t *testing.T) {
	hosttest.TestReattacher(t, func(t *testing.T) hosttest.Handover {
		t.Helper()
		dir, err := os.MkdirTemp("", "sp") //nolint:usetesting // t.TempDir is too long for a socket
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		s := &succession{cfg: plugin.Config{Dir: dir, Instance: plugin.NewInstance(), OrphanGrace: time.Minute}, path: filepath.Join(t.TempDir(), "ledger.db")}
		first := s.open(t)
		t.Cleanup(func() { s.end(t) })
		return hosttest.Handover{Launcher: first, Spec: specFor(t, "../host/hosttest/testdata", "contract.py"), Next: func(t *testing.T) host.Launcher {
			t.Helper()
			if err := s.now.Leave(time.Minute); err != nil {
				t.Error(err)
			}
			s.end(t)
			return s.open(t)
		}}
	})
}

// succession is a row of launchers, one after the other, with one ledger.
type succession struct {
	cfg    plugin.Config
	path   string
	now    *plugin.Launcher
	cancel context.CancelFunc
	ended  chan error
}

func (s *succession) open(t *testing.T) *plugin.Launcher {
	t.Helper()
	l, err := ledger.Open(s.path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg.Ledger = l
	s.now = plugin.NewLauncher(s.cfg)
	if err := s.now.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.now.Run(ctx) }()
	return s.now
}

func (s *succession) end(t *testing.T) {
	t.Helper()
	s.cancel()
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	if err := s.cfg.Ledger.Close(); err != nil {
		t.Error(err)
	}
}
