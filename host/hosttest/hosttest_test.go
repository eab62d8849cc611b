package hosttest_test

import (
	"context"
	"testing"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/host/hosttest"
)

func TestFakeLauncherKeepsTheContract(t *testing.T) {
	t.Parallel()
	hosttest.TestLauncher(t, func(*testing.T) hosttest.Contract {
		l := &hosttest.Launcher{
			Tools:    hosttest.ContractTools(),
			OnLaunch: func(ctx context.Context, _ host.Spec, _ int) error { return ctx.Err() },
		}
		return hosttest.Contract{Launcher: l}
	})
}
