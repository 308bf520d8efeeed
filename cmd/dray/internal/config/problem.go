package config

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// maxProblems bounds what one Error lists; nobody reads more.
const maxProblems = 50

// A Problem is one thing wrong with a config file.
type Problem struct {
	Line, Column int    // from 1
	Text         string // what is wrong, with the field's path in front
	Hint         string // what to do; may be empty
}

// Error holds every problem of a file, sorted by place. It holds no secret.
type Error struct {
	File     string
	Problems []Problem
}

// Error returns one line for each problem: "file:line:column: problem; hint".
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxProblems {
			fmt.Fprintf(&b, "\n%s: and %d more problems", e.File, len(e.Problems)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s", e.File, p.Line, p.Column, p.Text)
		if p.Hint != "" {
			b.WriteString("; " + p.Hint)
		}
	}
	return b.String()
}

// sorted orders problems by place and drops repetitions.
func sorted(problems []Problem) []Problem {
	sort.SliceStable(problems, func(i, j int) bool {
		a, b := &problems[i], &problems[j]
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) < 0
	})
	return slices.Compact(problems)
}
