package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Near returns the known name that a misspelled one most likely stands for, or
// nothing if none is near.
func Near(wrong string, known []string) string {
	best, least := "", max(2, len(wrong)/3)+1
	if len(wrong) > 64 {
		return "" // nobody misspells that; and the distance costs length times length
	}
	for _, k := range slices.Sorted(slices.Values(known)) {
		if len(k) > 64 || k == "" {
			continue
		}
		if d := distance(strings.ToLower(wrong), strings.ToLower(k)); d < least && d < max(len(k), len(wrong)) {
			best, least = k, d
		}
	}
	return best
}

// Unknown says that a name is unknown, and which valid one is nearest; with none
// near it lists them, unless they are many.
func Unknown(what, wrong string, known []string) string {
	s := fmt.Sprintf("unknown %s %q", what, wrong)
	known = slices.Compact(slices.Sorted(slices.Values(known)))
	switch near := Near(wrong, known); {
	case near != "":
		return s + fmt.Sprintf("; did you mean %q?", near)
	case len(known) == 0:
		return s + "; there is none"
	case len(known) <= 12:
		return s + " (known: " + strings.Join(known, ", ") + ")"
	}
	return s
}

// distance is the number of letters to insert, remove, replace or swap with a
// neighbour that turn one text into the other (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
