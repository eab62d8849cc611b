package hosttest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snakepit-go/snakepit/host"
	"github.com/snakepit-go/snakepit/proto/errdefs"
)

// SessionsWithState is a registry that keeps a state for each session.
type SessionsWithState interface {
	host.Registry
	host.StateRegistry
}

// TestStateRegistry is the contract of host.StateRegistry. open gives an empty
// registry that holds at least a hundred sessions.
func TestStateRegistry(t *testing.T, open func(t *testing.T) SessionsWithState) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, SessionsWithState){
		"NewSessionHasAnEmptyState":           newSessionHasAnEmptyState,
		"WhatIsSetIsRead":                     whatIsSetIsRead,
		"VersionsGrow":                        versionsGrow,
		"DeletedKeyIsGone":                    deletedKeyIsGone,
		"KeyIsComparedBeforeItIsSet":          keyIsComparedBeforeItIsSet,
		"OneOfManyComparedChangesWins":        oneOfManyComparedChangesWins,
		"RefusedChangesChangeNothing":         refusedChangesChangeNothing,
		"OtherEpochIsFenced":                  otherEpochIsFenced,
		"StateOutlivesAMoveOfTheHome":         stateOutlivesAMoveOfTheHome,
		"StateIsBounded":                      stateIsBounded,
		"BadChangesAreRefused":                badChangesAreRefused,
		"StateOfNoSessionIsNotFound":          stateOfNoSessionIsNotFound,
		"StateEndsWithItsSession":             stateEndsWithItsSession,
		"StatesOfTwoSessionsHaveNothingToDo":  statesOfTwoSessionsHaveNothingToDo,
		"WhatIsReadAndSetBelongsToTheCallers": whatIsReadAndSetBelongsToTheCallers,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func setTo(key, value string) host.StateChange {
	return host.StateChange{Key: key, Value: []byte(value)}
}

func compared(c host.StateChange, expected uint64) host.StateChange {
	c.Compare, c.Expected = true, expected
	return c
}

func mustSet(t *testing.T, r SessionsWithState, s host.Session, changes ...host.StateChange) uint64 {
	t.Helper()
	version, err := r.SetState(t.Context(), s.ID, s.Epoch, changes...)
	if err != nil {
		t.Fatalf("SetState(%q): %v", s.ID, err)
	}
	return version
}

func wantState(t *testing.T, r SessionsWithState, id host.SessionID, want map[string]string) map[string]host.StateValue {
	t.Helper()
	state, err := r.State(t.Context(), id)
	if err != nil {
		t.Fatalf("State(%q): %v", id, err)
	}
	got := map[string]string{}
	for key, v := range state {
		got[key] = string(v.Bytes)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("state of %q (-want +got):\n%s", id, d)
	}
	return state
}

func newSessionHasAnEmptyState(t *testing.T, r SessionsWithState) {
	t.Helper()
	wantState(t, r, mustOpen(t, r, "a").ID, map[string]string{})
}

func whatIsSetIsRead(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	version := mustSet(t, r, s, setTo("x", "1"), setTo("empty", ""))
	state := wantState(t, r, "a", map[string]string{"x": "1", "empty": ""})
	if version == 0 || state["x"].Version != version || state["empty"].Version != version {
		t.Errorf("set at version %d, read %+v", version, state)
	}
}

func versionsGrow(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	first := mustSet(t, r, s, setTo("x", "1"), setTo("y", "1"))
	second := mustSet(t, r, s, setTo("x", "2"))
	state := wantState(t, r, "a", map[string]string{"x": "2", "y": "1"})
	if second <= first || state["x"].Version != second || state["y"].Version != first {
		t.Errorf("versions %d and %d, then %+v", first, second, state)
	}
	if again, err := r.Session(t.Context(), "a"); err != nil || again.Epoch != s.Epoch {
		t.Errorf("a change of the state made it %+v, %v; want the same epoch", again, err)
	}
}

func deletedKeyIsGone(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	mustSet(t, r, s, setTo("x", "1"), setTo("y", "1"))
	mustSet(t, r, s, host.StateChange{Key: "x", Delete: true}, host.StateChange{Key: "never", Delete: true})
	wantState(t, r, "a", map[string]string{"y": "1"})
}

func keyIsComparedBeforeItIsSet(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	first := mustSet(t, r, s, compared(setTo("x", "1"), 0))
	_, err := r.SetState(t.Context(), "a", s.Epoch, compared(setTo("x", "2"), 0))
	wantReason(t, err, errdefs.Conflict)
	second := mustSet(t, r, s, compared(setTo("x", "2"), first))
	_, err = r.SetState(t.Context(), "a", s.Epoch, compared(host.StateChange{Key: "x", Delete: true}, first))
	wantReason(t, err, errdefs.Conflict)
	mustSet(t, r, s, compared(host.StateChange{Key: "x", Delete: true}, second))
	wantState(t, r, "a", map[string]string{})
}

func oneOfManyComparedChangesWins(t *testing.T, r SessionsWithState) {
	t.Helper()
	const n = 16
	s := mustOpen(t, r, "a")
	won := make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, err := r.SetState(context.WithoutCancel(t.Context()), "a", s.Epoch, compared(setTo("x", fmt.Sprint(i)), 0))
			if won[i] = err == nil; err != nil {
				wantReason(t, err, errdefs.Conflict)
			}
		})
	}
	wg.Wait()
	winner := -1
	for i, did := range won {
		if did && winner >= 0 {
			t.Fatalf("%d and %d have both set it first", winner, i)
		}
		if did {
			winner = i
		}
	}
	wantState(t, r, "a", map[string]string{"x": fmt.Sprint(winner)})
}

func refusedChangesChangeNothing(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	mustSet(t, r, s, setTo("x", "1"))
	_, err := r.SetState(t.Context(), "a", s.Epoch, setTo("y", "1"), compared(setTo("x", "2"), 0))
	wantReason(t, err, errdefs.Conflict)
	_, err = r.SetState(t.Context(), "a", s.Epoch, setTo("y", "1"), setTo("z", strings.Repeat("z", 4<<10+1)))
	wantReason(t, err, errdefs.PayloadTooLarge)
	wantState(t, r, "a", map[string]string{"x": "1"})
}

func otherEpochIsFenced(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	moved, err := r.BindSession(t.Context(), "a", "w2", s.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	for _, epoch := range []uint64{0, s.Epoch, moved.Epoch + 1} {
		_, err = r.SetState(t.Context(), "a", epoch, setTo("x", "1"))
		wantReason(t, err, errdefs.Fenced)
	}
	mustSet(t, r, moved, setTo("x", "2"))
	wantState(t, r, "a", map[string]string{"x": "2"})
}

func stateOutlivesAMoveOfTheHome(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	mustSet(t, r, s, setTo("x", "1"))
	if _, err := r.BindSession(t.Context(), "a", "w2", s.Epoch); err != nil {
		t.Fatal(err)
	}
	wantState(t, r, "a", map[string]string{"x": "1"})
}

func stateIsBounded(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	full := strings.Repeat("v", 4<<10)
	for i := range 15 {
		mustSet(t, r, s, setTo(fmt.Sprintf("big%02d", i), full))
	}
	_, err := r.SetState(t.Context(), "a", s.Epoch, setTo("big15", full)) // 64 KiB of values, and the keys
	wantReason(t, err, errdefs.PayloadTooLarge)
	for i := range 49 {
		mustSet(t, r, s, setTo(fmt.Sprintf("small%02d", i), ""))
	}
	_, err = r.SetState(t.Context(), "a", s.Epoch, setTo("65th", ""))
	wantReason(t, err, errdefs.PayloadTooLarge)
	mustSet(t, r, s, host.StateChange{Key: "small00", Delete: true}, setTo("65th", ""))
}

func badChangesAreRefused(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	many := make([]host.StateChange, 65)
	for i := range many {
		many[i] = host.StateChange{Key: fmt.Sprint(i), Delete: true}
	}
	for _, changes := range [][]host.StateChange{
		nil, many, {setTo("", "1")}, {setTo("\xff", "1")}, {setTo(strings.Repeat("k", 257), "1")}, {setTo("x", "1"), setTo("x", "2")},
	} {
		_, err := r.SetState(t.Context(), "a", s.Epoch, changes...)
		wantReason(t, err, errdefs.InvalidArguments)
	}
	wantState(t, r, "a", map[string]string{})
}

func stateOfNoSessionIsNotFound(t *testing.T, r SessionsWithState) {
	t.Helper()
	_, err := r.State(t.Context(), "a")
	wantReason(t, err, errdefs.SessionNotFound)
	_, err = r.SetState(t.Context(), "a", 1, setTo("x", "1"))
	wantReason(t, err, errdefs.SessionNotFound)
	s := mustOpen(t, r, "b")
	if err := r.CloseSession(t.Context(), "b", true); err != nil {
		t.Fatal(err)
	}
	_, err = r.State(t.Context(), "b")
	wantReason(t, err, errdefs.SessionExpired)
	_, err = r.SetState(t.Context(), "b", s.Epoch, setTo("x", "1"))
	wantReason(t, err, errdefs.SessionExpired)
}

func stateEndsWithItsSession(t *testing.T, r SessionsWithState) {
	t.Helper()
	mustSet(t, r, mustOpen(t, r, "a"), setTo("x", "1"))
	if err := r.CloseSession(t.Context(), "a", false); err != nil {
		t.Fatal(err)
	}
	wantState(t, r, mustOpen(t, r, "a").ID, map[string]string{})
}

func statesOfTwoSessionsHaveNothingToDo(t *testing.T, r SessionsWithState) {
	t.Helper()
	a, b := mustOpen(t, r, "a"), mustOpen(t, r, "b")
	mustSet(t, r, a, setTo("x", "a"))
	mustSet(t, r, b, setTo("x", "b"), setTo("y", "b"))
	wantState(t, r, "a", map[string]string{"x": "a"})
	wantState(t, r, "b", map[string]string{"x": "b", "y": "b"})
}

func whatIsReadAndSetBelongsToTheCallers(t *testing.T, r SessionsWithState) {
	t.Helper()
	s := mustOpen(t, r, "a")
	value := []byte("1")
	mustSet(t, r, s, host.StateChange{Key: "x", Value: value})
	value[0] = '2'
	state := wantState(t, r, "a", map[string]string{"x": "1"})
	delete(state, "x")
	wantState(t, r, "a", map[string]string{"x": "1"})
}
