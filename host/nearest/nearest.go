package nearest

import "iter"

const (
	maxLength     = 64   // of a name that is compared, in bytes
	maxCandidates = 4096 // that are looked at
)

// Name returns the candidate closest to name by edit distance, the first in
// order where several are alike, or nothing when all are further away than a
// third of the name's length (at least 1, at most 8). Its work is bounded
// whatever it's given: long names are never compared, and only the first 4,096
// candidates are looked at.
func Name(name string, candidates iter.Seq[string]) string {
	if len(name) == 0 || len(name) > maxLength {
		return ""
	}
	best, bound := "", min(max(len(name)/3, 1), 8)+1
	seen := 0
	for c := range candidates {
		if seen++; seen > maxCandidates {
			break
		}
		if d := distance(name, c, bound); d < bound || (d == bound && best != "" && c < best) {
			best, bound = c, d
		}
	}
	return best
}

// Hint is "did you mean X?" for the nearest name, or nothing.
func Hint(name string, candidates iter.Seq[string]) string {
	if n := Name(name, candidates); n != "" {
		return "did you mean " + n + "?"
	}
	return ""
}

// distance counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b; anything above bound is bound+1.
func distance(a, b string, bound int) int {
	if len(b) > maxLength || max(len(a)-len(b), len(b)-len(a)) > bound {
		return bound + 1
	}
	var rows [3][maxLength + 1]int
	before, prev, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(prev[j]+cost(a[i], b[j]), prev[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return min(prev[len(b)], bound+1)
}

func cost(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}
