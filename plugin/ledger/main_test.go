package ledger_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is the whole program of a child that TestNoAcknowledgedWriteIsLost kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(crashLedger); path != "" {
		writeUntilKilled(path)
		os.Exit(1) // nobody killed it
	}
	goleak.VerifyTestMain(m)
}
