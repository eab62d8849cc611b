package host

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestEventIsOneLineOfText: what isn't UTF-8 can't be sent, and would take the status
// of the whole host along for as long as it's remembered.
func TestEventIsOneLineOfText(t *testing.T) {
	t.Parallel()
	e := events{pool: "ml"}
	for _, detail := range []string{strings.Repeat("x", maxEventDetail-1) + "é", "ValueError: a\nb\x1b[2J", "\xff"} {
		e.emit(EventWorkerTainted, "w", "", detail)
	}
	for _, ev := range e.latest() {
		if len(ev.Detail) > maxEventDetail || !utf8.ValidString(ev.Detail) || strings.ContainsFunc(ev.Detail, unicode.IsControl) {
			t.Errorf("%q", ev.Detail)
		}
	}
	if got := e.latest()[1].Detail; !strings.HasPrefix(got, "ValueError: a b") {
		t.Errorf("%q", got)
	}
}
