package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"
	"strings"
)

// lineSize is the length of each line in bytes, newline included.
const lineSize = 64

// makeLine returns line n: its number, then text that only this number has,
// so that a line made of two is known as such.
func makeLine(n int) []byte {
	h := fnv.New64a()
	fmt.Fprint(h, n)
	text := strings.Repeat(fmt.Sprintf("%016x", h.Sum64()), 4)
	return []byte(fmt.Sprintf("%010d %s\n", n, text)[:lineSize-1] + "\n")
}

// A run is the line numbers from first up to, not including, end.
type run struct{ first, end int }

// A lineCheck is fed the archive from its beginning and finds what is wrong
// with its lines.
type lineCheck struct {
	report  *report
	next    int   // the line that would follow the last one
	missing []run // in order
	lines   int
	twice   int
	torn    int

	rest []byte // the beginning of a line
	at   int64  // bytes checked, for messages
}

// Write takes the next bytes of the archive; it does not fail.
func (c *lineCheck) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			c.rest = append(c.rest, p...)
			break
		}
		c.rest = append(c.rest, p[:end]...)
		c.line(c.rest)
		c.at += int64(len(c.rest))
		c.rest, p = c.rest[:0], p[end:]
	}
	return n, nil
}

// finish ends the archive; written is how many lines there were to carry.
func (c *lineCheck) finish(written int) {
	if len(c.rest) > 0 {
		c.line(c.rest)
	}
	if c.next < written {
		c.missing = append(c.missing, run{c.next, written})
	}
}

func (c *lineCheck) line(b []byte) {
	n, err := strconv.Atoi(string(b[:min(10, len(b))]))
	if err != nil || n < 0 || !bytes.Equal(b, makeLine(n)) {
		c.torn++
		c.report.violation("at byte %d of the archive: torn or merged line %.80q", c.at, b)
		return
	}
	c.lines++
	switch {
	case n < c.next:
		c.twice++
		c.report.violation("at byte %d of the archive: line %d stands behind line %d", c.at, n, c.next-1)
		return
	case n > c.next:
		c.missing = append(c.missing, run{c.next, n})
	}
	c.next = n + 1
}

var _ io.Writer = (*lineCheck)(nil)
