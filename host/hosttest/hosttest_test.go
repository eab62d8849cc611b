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

func TestFakeLauncherKeepsTheReattachersContract(t *testing.T) {
	t.Parallel()
	hosttest.TestReattacher(t, func(*testing.T) hosttest.Handover {
		l := &hosttest.Launcher{Tools: hosttest.ContractTools()}
		return hosttest.Handover{Launcher: l, Next: func(*testing.T) host.Launcher {
			next := &hosttest.Launcher{Tools: hosttest.ContractTools()}
			next.Inherit(l)
			l = next
			return next
		}}
	})
}
