//go:build integration && linux

package chaos_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/snakepit-go/snakepit/integration/program"
)

var (
	// binary is the built program.
	binary string

	seed   = flag.Uint64("seed", 0, "fixes the faults and their order; 0: a new one")
	faults = flag.Int("faults", 40, "how many faults")
	limit  = flag.Duration("for", time.Minute, "no new fault after this time; 0: never mind")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(program.Run(m, &binary))
}
