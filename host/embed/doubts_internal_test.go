package embed

import (
	"testing"

	"github.com/snakepit-go/snakepit/host"
)

// TestFrozenSurvivorGoesOnOnlyWhereAllOfItsSessionsAreThisStarts: it's amidst a call of one.
func TestFrozenSurvivorGoesOnOnlyWhereAllOfItsSessionsAreThisStarts(t *testing.T) {
	t.Parallel()
	self, last, other := host.Owner{Node: "me", Incarnation: 9}, host.Owner{Node: "me", Incarnation: 7}, host.Owner{Node: "other", Incarnation: 8}
	here, back, theirs := host.Session{ID: "here", Owner: self, Home: "w"}, host.Session{ID: "back", Owner: self}, host.Session{ID: "theirs", Owner: other}
	stale := host.Session{ID: "stale", Owner: last, Home: "w"}
	local := host.Session{ID: "local", Owner: last, Home: "w", Availability: host.AvailabilityLocal}
	elsewhere := host.Session{ID: "back", Owner: self, Home: "v"}
	lived := func(id host.SessionID) host.Left {
		return map[host.SessionID]host.Left{"back": {Owner: last, Home: "w"}, "theirs": {Owner: last, Home: "w"}}[id]
	}
	for _, c := range []struct {
		name     string
		sessions []host.Session
		want     verdict
	}{
		{"none", nil, condemned},
		{"one of another worker", []host.Session{{ID: "x", Owner: self, Home: "v"}}, condemned},
		{"this start's", []host.Session{here, back, local}, acquitted},
		{"the last start's", []host.Session{here, stale}, open},
		{"the last start's, and then this one's", []host.Session{stale, back}, open},
		{"one that never leaves", []host.Session{local}, acquitted},
		{"another node's", []host.Session{here, stale, theirs}, condemned},
		{"one that lives elsewhere by now", []host.Session{here, elsewhere}, condemned},
	} {
		if got := judged("w", self, c.sessions, lived); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
