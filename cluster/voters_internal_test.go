package cluster

import (
	"slices"
	"strconv"
	"testing"
)

// TestEveryPlanLeadsToAnOddNumberOfVoters goes through all clusters of up to seven
// nodes: any of them may vote, be ready and be lost.
func TestEveryPlanLeadsToAnOddNumberOfVoters(t *testing.T) {
	t.Parallel()
	all := [][]seat{{{id: "0", voter: true, leader: true, ready: true}}}
	checkPlan(t, slices.Clone(all[0]))
	for id := range 6 {
		var larger [][]seat
		for _, seats := range all {
			for _, s := range []seat{{}, {ready: true}, {lost: true}, {voter: true}, {voter: true, ready: true}, {voter: true, lost: true}} {
				s.id = strconv.Itoa(id + 1)
				more := append(slices.Clone(seats), s)
				checkPlan(t, slices.Clone(more))
				larger = append(larger, more)
			}
		}
		all = larger
	}
}

func checkPlan(t *testing.T, seats []seat) {
	t.Helper()
	before := slices.Clone(seats)
	for range 10 {
		changes := plan(seats)
		if len(changes) == 0 {
			checkRest(t, before, seats)
			return
		}
		for _, c := range changes {
			checkChange(t, before, seats, c)
		}
	}
	t.Fatalf("%+v: it never comes to rest", before)
}

// checkChange makes one change, and makes sure that it does no harm.
func checkChange(t *testing.T, before []seat, seats []seat, c votes) {
	t.Helper()
	had := majority(seats)
	for i := range seats {
		if seats[i].id != c.id {
			continue
		}
		if c.promote && (seats[i].voter || !seats[i].ready) || !c.promote && (seats[i].leader || !seats[i].voter) {
			t.Fatalf("%+v: %+v for %+v", before, c, seats[i])
		}
		seats[i].voter = c.promote
	}
	if had && !majority(seats) {
		t.Fatalf("%+v: %+v takes the majority away", before, c)
	}
}

func checkRest(t *testing.T, before []seat, seats []seat) {
	t.Helper()
	voters, spare := divide(seats)
	n := len(voters)
	if n == 2 || n > wanted(len(seats)) && n > 1 || n < wanted(len(seats)) && (n%2 == 1 && len(spare) > 1 || n%2 == 0 && len(spare) > 0) {
		t.Fatalf("%+v: rests at %+v", before, seats)
	}
}

func majority(seats []seat) bool {
	voters, alive := 0, 0
	for _, s := range seats {
		if s.voter {
			voters++
			if s.ready {
				alive++
			}
		}
	}
	return alive > voters/2
}

func TestRemovalNeverBreaksTheMajority(t *testing.T) {
	t.Parallel()
	seats := []seat{{id: "a", voter: true, leader: true, ready: true}, {id: "b", voter: true, ready: true}, {id: "c", voter: true}, {id: "d"}}
	if err := mayRemove(seats, "c"); err != nil {
		t.Errorf("a dead voter of three: %v", err)
	}
	if err := mayRemove(seats, "d"); err != nil {
		t.Errorf("one that doesn't vote: %v", err)
	}
	if err := mayRemove(seats, "b"); err == nil {
		t.Error("without b, one of two voters would be alive")
	}
}
