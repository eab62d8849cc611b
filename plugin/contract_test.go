//go:build unix

package plugin_test

import (
	"testing"

	"github.com/snakepit-go/snakepit/host/hosttest"
)

func TestLauncherKeepsTheContract(t *testing.T) {
	hosttest.TestLauncher(t, func(t *testing.T) hosttest.Contract {
		t.Helper()
		return hosttest.Contract{Launcher: launcher(t), Spec: specFor(t, "../host/hosttest/testdata", "contract.py")}
	})
}
