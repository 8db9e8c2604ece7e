package config

import (
	"fmt"
	"strings"
)

// Mistake is one setting that cannot be used.
type Mistake struct {
	Key     string // the setting, or the file or variable it should have been in
	From    string // the variable or flag that set it; "" for the file
	Problem string // what is wrong and how to mend it; never the value
}

// Mistakes is everything that is wrong with the settings.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	var b strings.Builder
	b.WriteString("the settings cannot be used:")
	for _, one := range m {
		from := ""
		if one.From != "" {
			from = " (set by " + one.From + ")"
		}
		fmt.Fprintf(&b, "\n  %s%s: %s", one.Key, from, one.Problem)
	}
	return b.String()
}

// meant suggests the name that was meant, if one is near.
func meant(name string, names []string) string {
	for _, n := range names {
		if strings.HasSuffix(n, "."+name) { // the group was left out
			return ": write " + n
		}
	}
	if best := Nearest(name, names); best != "" {
		return ": is " + best + " meant?"
	}
	return ": `heed config` prints them all"
}

// Nearest gives the name that is most like another, or "" when none is near.
func Nearest(name string, names []string) string {
	best, nearest := "", len(name)/3+2
	for _, n := range names {
		if d := distance(name, n); d < nearest {
			best, nearest = n, d
		}
	}
	return best
}

// distance is how many letters must change to make one word of the other
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
