package policy

import "strings"

// around is how many equal lines stand around a difference.
const around = 2

// most bounds the lines that are compared with each other: beyond it the work
// would be their product, and nobody reads it.
const most = 4_000_000

// changed is the difference of two texts line by line, as patches write it: "-" is
// gone, "+" is new, " " stays and shows where. Nothing different is no lines.
func changed(before, after string) []string {
	a, b := split(before), split(after)
	// What is equal at both ends need not be compared.
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	if start == len(a) && start == len(b) {
		return nil
	}
	x, y := a[start:len(a)-end], b[start:len(b)-end]
	var edits []string
	for _, l := range a[:start] {
		edits = append(edits, " "+l)
	}
	edits = append(edits, edit(x, y)...)
	for _, l := range a[len(a)-end:] {
		edits = append(edits, " "+l)
	}
	return near(edits)
}

func split(text string) []string {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// edit turns x into y by the fewest lines, by the longest common subsequence.
func edit(x, y []string) []string {
	var edits []string
	if len(x)*len(y) > most {
		for _, l := range x {
			edits = append(edits, "-"+l)
		}
		for _, l := range y {
			edits = append(edits, "+"+l)
		}
		return edits
	}
	// common[i][j] is the length of what x[i:] and y[j:] have in common.
	common := make([][]int32, len(x)+1)
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			edits = append(edits, " "+x[i])
			i++
			j++
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			edits = append(edits, "-"+x[i])
			i++
		default:
			edits = append(edits, "+"+y[j])
			j++
		}
	}
	return edits
}

// near leaves out equal lines that are far from a difference. A line "…" stands
// where some are left out.
func near(edits []string) []string {
	keep := make([]bool, len(edits))
	for i, e := range edits {
		if e[0] == ' ' {
			continue
		}
		for k := max(0, i-around); k <= min(len(edits)-1, i+around); k++ {
			keep[k] = true
		}
	}
	var lines []string
	for i, e := range edits {
		switch {
		case keep[i]:
			lines = append(lines, e)
		case i > 0 && keep[i-1] || i == 0:
			lines = append(lines, "…")
		}
	}
	if len(lines) > 0 && lines[len(lines)-1] == "…" {
		lines = lines[:len(lines)-1]
	}
	return lines
}
