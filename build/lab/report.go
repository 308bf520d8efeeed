package main

import (
	"fmt"
	"io"
)

// A report is what an experiment found: figures, and promises that were broken.
type report struct {
	rows  [][2]string
	wrong []string
	count int // of wrong, also those that are not listed
}

// maxWrong bounds what is listed: one fault often shows a thousand times.
const maxWrong = 20

func (r *report) figure(name, format string, args ...any) {
	r.rows = append(r.rows, [2]string{name, fmt.Sprintf(format, args...)})
}

func (r *report) violation(format string, args ...any) {
	if r.count++; r.count <= maxWrong {
		r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
	}
}

func (r *report) broken() bool { return r.count > 0 }

func (r *report) print(w io.Writer) {
	width := 0
	for _, row := range r.rows {
		width = max(width, len(row[0]))
	}
	for _, row := range r.rows {
		fmt.Fprintf(w, "%-*s  %s\n", width, row[0], row[1])
	}
	for _, s := range r.wrong {
		fmt.Fprintln(w, "BROKEN:", s)
	}
	if more := r.count - len(r.wrong); more > 0 {
		fmt.Fprintf(w, "BROKEN: … and %d more\n", more)
	}
	if !r.broken() {
		fmt.Fprintln(w, "all promises kept")
	}
}
