//go:build linux

package proc

import (
	"fmt"
	"testing"
)

// statLine is a line as the kernel writes it, of a process with a name and a state.
func statLine(name, state string, threads int) string {
	return fmt.Sprintf("42 (%s) %s 7 8 9 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 %d 0 987654 1 2 3", name, state, threads)
}

func TestNamesMayHoldAnything(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sh", "a b", "(sd-pam)", "a) R 1 2 3", ") Z 0 (", "", "x\n)\t("} {
		got, err := parseStat(42, []byte(statLine(name, "S", 3)))
		want := Stat{ID: ID{PID: 42, Start: 987654}, PPID: 7, PGID: 8, Session: 9, State: 'S', Threads: 3}
		if err != nil || got != want {
			t.Errorf("of the name %q: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func TestAProcessIsDeadWhenItsLastThreadIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		state   string
		threads int
		dead    bool
	}{{"S", 1, false}, {"T", 1, false}, {"Z", 1, true}, {"Z", 0, true}, {"Z", 2, false}, {"X", 0, true}} {
		s, err := parseStat(42, []byte(statLine("sh", tc.state, tc.threads)))
		if err != nil || s.Dead() != tc.dead {
			t.Errorf("%s with %d threads: dead = %v, %v", tc.state, tc.threads, s.Dead(), err)
		}
	}
}

func TestALineThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"", ")", "42 (sh) S 7 8", statLine("sh", "SS", 1),
		"42 (sh) S seven 8 9 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 987654 1 2 3",
		"42 (sh) S 7 8 9 0 -1 4194560 1 0 0 0 3 4 0 0 20 0 1 0 never 1 2 3",
	} {
		if s, err := parseStat(42, []byte(line)); err == nil {
			t.Errorf("%q was read as %+v", line, s)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statLine("sh", "S", 1)))
	f.Add([]byte(statLine(") Z 0 (", "Z", 2)))
	f.Add([]byte(")))"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(42, line)
		if err != nil && s != (Stat{}) {
			t.Errorf("%+v beside the error %v", s, err)
		}
		if err == nil && (s.PID != 42 || s.State == 0) {
			t.Errorf("%+v", s)
		}
	})
}

func TestAPidfdOfWhoIsReapedHasNoStartTime(t *testing.T) {
	t.Parallel()
	// A descriptor that names another process than the one that has the pid by now.
	if id := identityBehind(-1, 1); id.Start != 0 {
		t.Errorf("identity %+v was taken from a stranger", id)
	}
}
