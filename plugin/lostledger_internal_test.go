//go:build linux

package plugin

import (
	"os"
	"testing"
)

func TestTornOrLostLedgerIsMadeAgainOfWhatLives(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(path string) error{
		"torn":    func(path string) error { return os.Truncate(path, 5000) },
		"rubbish": func(path string) error { return os.WriteFile(path, []byte("rubbish"), 0o600) },
		"lost":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, before := survivorOf(t)
			if err := harm(h.ledgerPath()); err != nil {
				t.Fatal(err)
			}
			l, _ := h.comeBack(t)
			records, err := l.cfg.Ledger.Records()
			if err != nil || len(records) != 1 || records[0].Process.Process != before {
				t.Fatalf("the ledger holds %+v (%v), want the survivor", records, err)
			}
			w := reattach(t, l, h)
			mustCall(t, w, "remember", "2")
			if l.cfg.Incarnation < 2 {
				t.Errorf("incarnation %d, want more than the last host's", l.cfg.Incarnation)
			}
		})
	}
}
