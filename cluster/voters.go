package cluster

import "github.com/snakepit-go/snakepit/proto/errdefs"

// seat is a member as the leader sees it when it decides who votes.
type seat struct {
	id     string
	voter  bool
	leader bool
	ready  bool // alive, and has what the leader has
	lost   bool // down for so long that another may vote in its place
}

// votes is one change of who votes.
type votes struct {
	id      string
	promote bool
}

// wanted is how many of so many members vote: an odd number, since an even one
// needs more of them for a majority and survives the loss of no more.
func wanted(members int) int {
	switch {
	case members < 3:
		return 1
	case members < 5:
		return 3
	}
	return 5
}

// plan says what brings a cluster nearer to the right number of voters: changes to be made
// in a row, the second only if the first came true. It never makes a voter of one
// that isn't ready, and never rests at two.
func plan(seats []seat) []votes {
	voters, spare := divide(seats)
	want := wanted(len(seats))
	switch n := len(voters); {
	case n > want || n == 2 && len(spare) == 0:
		return demotion(voters)
	case n == want:
		return replacement(voters, spare)
	case n%2 == 0 && len(spare) > 0:
		return promotions(spare[:1])
	case n%2 == 1 && len(spare) > 1:
		return promotions(spare[:2])
	}
	return nil
}

// divide gives those who vote, and those who could.
func divide(seats []seat) (voters, spare []seat) {
	for _, s := range seats {
		switch {
		case s.voter:
			voters = append(voters, s)
		case s.ready:
			spare = append(spare, s)
		}
	}
	return voters, spare
}

func promotions(who []seat) []votes {
	var all []votes
	for _, s := range who {
		all = append(all, votes{s.id, true})
	}
	return all
}

// demotion takes the vote from one that isn't ready, if there is one, and never
// from the leader.
func demotion(voters []seat) []votes {
	var chosen string
	for _, s := range voters {
		if !s.leader && (chosen == "" || !s.ready) {
			chosen = s.id
		}
	}
	if chosen == "" {
		return nil
	}
	return []votes{{chosen, false}}
}

// replacement gives the vote of one that is lost to another.
func replacement(voters, spare []seat) []votes {
	if len(spare) == 0 {
		return nil
	}
	for _, s := range voters {
		if s.lost && !s.leader {
			return []votes{{spare[0].id, true}, {s.id, false}}
		}
	}
	return nil
}

// mayRemove refuses a removal after which those who are left and alive would be no
// majority of the voters.
func mayRemove(seats []seat, id string) error {
	voters, alive := 0, 0
	for _, s := range seats {
		if !s.voter || s.id == id {
			continue
		}
		voters++
		if s.ready || s.leader {
			alive++
		}
	}
	if alive > voters/2 {
		return nil
	}
	e := errdefs.New(errdefs.Conflict, "without node %q, %d of %d voters would be alive", id, alive, voters)
	e.Hint = "bring another one back first"
	return e
}
