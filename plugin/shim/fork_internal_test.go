//go:build linux

package shim

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestForkserverIsGivenTimeForEachWorkerAndNotForAll: who waits for its turn isn't kept by one that hangs.
func TestForkserverIsGivenTimeForEachWorkerAndNotForAll(t *testing.T) {
	t.Parallel()
	const within, turn = 50 * time.Millisecond, 300 * time.Millisecond
	for name, busy := range map[string]bool{"it makes others": true, "it makes none": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &birth{door: &door{}}
			theirs, err := b.openGate()
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			defer b.gate.Close()
			begun := time.Now()
			if last := begun.Add(turn); busy {
				b.door.last.Store(&last)
			}
			_, _, err = b.hear(make([]byte, 1), nil, within)
			took := time.Since(begun)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("hear = %v", err)
			}
			if want := within + turn; busy && took < want {
				t.Errorf("it gave up after %s, want %s", took, want)
			}
			if took < within {
				t.Errorf("it gave up after %s, want %s", took, within)
			}
		})
	}
}
