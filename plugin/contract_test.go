//go:build unix

package plugin_test

import (
	"testing"

	"github.com/snakepit-go/snakepit/host/hosttest"
)

func TestLauncherKeepsTheContract(t *testing.T) {
	for name, fork := range map[string]bool{"executed": false, "forked": true} {
		t.Run(name, func(t *testing.T) {
			hosttest.TestLauncher(t, func(t *testing.T) hosttest.Contract {
				t.Helper()
				s := specFor(t, "../host/hosttest/testdata", "contract.py")
				s.Settings.Fork = fork
				return hosttest.Contract{Launcher: launcher(t), Spec: s}
			})
		})
	}
}
