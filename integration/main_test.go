//go:build integration

package integration_test

import (
	"os"
	"testing"

	"github.com/snakepit-go/snakepit/integration/program"
)

// binary is the built program.
var binary string

func TestMain(m *testing.M) { os.Exit(program.Run(m, &binary)) }
