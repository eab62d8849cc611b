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

// failing says who is there of those that are needed, and what doesn't work.
func (c *Cluster) failing(v voting) string {
	text := fmt.Sprintf("%d of %s answer", v.answering, plural(len(v.voters), "voter"))
	switch {
	case len(v.voters) == 1 && v.answering == 0:
		text = v.voters[0].Label() + ", which alone votes, doesn't answer"
	case v.answering >= v.majority():
		text += ", and nobody leads them yet"
	case v.answering == 1:
		text += "s"
	}
	return text + "; " + c.stopped() + "; sessionless calls go on"
}

// bringBack says whose return would make it work again.
func (c *Cluster) bringBack(v voting) string {
	var lost []string
	for _, n := range v.voters {
		if !n.Answers {
			lost = append(lost, n.Label()+" ("+n.Address+")")
		}
	}
	network := "or mend the network to it"
	if needed := v.majority() - v.answering; needed > 1 {
		network = fmt.Sprintf("or mend the network: %d of them are needed", needed)
	}
	return fmt.Sprintf("start %s, %s. When they are lost for good: `snakepit cluster recover --help`", list(lost, "or"), network)
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
