package members

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// works is the summary of a cluster that has a leader.
func (c *Cluster) works(v voting) string {
	all, up := c.members(), 0
	for _, n := range all {
		if n.Answers && n.serves() {
			up++
		}
	}
	if len(all) == 1 {
		return "one node, " + c.label(c.Leader) + ", by itself: nobody takes its sessions over"
	}
	return fmt.Sprintf("%d of %s up, %s leads; %s", up, nodes(len(all)), c.label(c.Leader), c.survives(v))
}

// survives says what may be lost without the others' stopping.
func (c *Cluster) survives(v voting) string {
	if n := v.spare(); n > 0 {
		return "it survives the loss of " + number(n)
	}
	if len(v.voters) == 1 {
		var others []string
		for _, n := range c.members() {
			if !n.Voter && n.Answers {
				others = append(others, n.Label())
			}
		}
		if len(others) > 0 {
			return "it survives the loss of " + list(others, "or") + ", not that of " + v.voters[0].Label() + ", which alone votes"
		}
	}
	return "it survives no further loss"
}

func (c *Cluster) noQuorum(v voting) string {
	text := fmt.Sprintf("NO QUORUM: %s; %s; sessionless calls go on. Do: start ", answer(v, c.label(c.Self)), c.stopped())
	var lost []string
	for _, n := range v.voters {
		if !n.Answers {
			lost = append(lost, n.Label()+" ("+n.Address+")")
		}
	}
	text += list(lost, "or") + ", or mend the network to it"
	if v.majority()-v.answering > 1 {
		text = strings.TrimSuffix(text, " to it") + fmt.Sprintf(": %d of them are needed", v.majority()-v.answering)
	}
	return text + ". If they are lost for good: `snakepit cluster recover`"
}

func (c *Cluster) noLeader(v voting) string {
	return fmt.Sprintf("NO LEADER: %s, and nobody leads them yet; %s; sessionless calls go on. Do: look again in two seconds; if it stays so, look at the network between them",
		answer(v, c.label(c.Self)), c.stopped())
}

// answer is "1 of 3 voters answers n1".
func answer(v voting, self string) string {
	if len(v.voters) == 1 && v.answering == 0 {
		return v.voters[0].Label() + ", which alone votes, doesn't answer " + self
	}
	verb := "answer"
	if v.answering == 1 {
		verb = "answers"
	}
	return fmt.Sprintf("%d of %s %s %s", v.answering, plural(len(v.voters), "voter"), verb, self)
}

// stopped says what became of the sessions of the node that tells.
func (c *Cluster) stopped() string {
	if c.Lease.Held {
		return "its sessions stop in " + span(c.Lease.Left)
	}
	return "sessions have stopped"
}

func nodes(n int) string { return plural(n, "node") }

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return strconv.Itoa(n) + " processes"
}

// number is a small number in words.
func number(n int) string {
	if words := []string{"none", "one", "two", "three"}; n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}

// list is "a, b or c".
func list(of []string, last string) string {
	switch n := len(of); n {
	case 0:
		return ""
	case 1:
		return of[0]
	default:
		return strings.Join(of[:n-1], ", ") + " " + last + " " + of[n-1]
	}
}

// span is a time with its unit, short.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}

// size is a number of bytes with its unit.
func size(n uint64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}
