package engine

import (
	"slices"
	"time"
)

const (
	gaugeKept  = 5        // failures and rates that are remembered
	gaugeLeast = 3        // failures before any size follows from them
	goodRun    = 64 << 20 // bytes without a failure after which the former ones are forgotten
	tellsSize  = leastObject / 2
	tellsRate  = 4 << 10
)

// A gauge learns how many bytes the link to one destination carries between two
// failures, and how fast. It remembers the last few of each, so that one odd
// value changes little, and forgets failures once the link carries well.
//
// It belongs to one goroutine and asks no clock: time is passed in.
type gauge struct {
	failures []int64 // what the last connections that broke had carried
	rates    []int64 // bytes a second
	run      int64   // bytes of bodies that were confirmed since the last failure
	seen     LinkCounters
	event    time.Time // when that failure was seen
}

// done takes note of a request that ran from began to now beside inFlight others, of
// whose body confirmed bytes arrived; c counts what crossed the link until now.
func (g *gauge) done(began, now time.Time, inFlight int, confirmed int64, c LinkCounters) {
	broken, carried := c.Broken-g.seen.Broken, c.BrokenBytes-g.seen.BrokenBytes
	g.seen = c
	// A connection that broke before it carried much tells of the service, and of
	// those that broke with another one only the first counts.
	if broken > 0 && carried/broken >= tellsSize && !began.Before(g.event) {
		g.failures = last(append(g.failures, carried/broken), gaugeKept)
		g.run, g.event = 0, now
	}
	if confirmed == 0 {
		return
	}
	if g.run += confirmed; g.run >= goodRun {
		g.failures = nil
	}
	if took := now.Sub(began); took > 0 && confirmed >= tellsRate {
		g.rates = last(append(g.rates, int64(float64(confirmed)/took.Seconds())*int64(max(inFlight, 1))), gaugeKept)
	}
}

// fit is what follows from all that is known.
func (g *gauge) fit() fit {
	var f fit
	if f.carries = g.lesson(); f.carries > 0 && g.run > 4*f.carries {
		f.carries = g.run / 2 // it is better than it was
	}
	if len(g.rates) >= gaugeLeast {
		f.rate = median(g.rates)
	}
	return f
}

// lesson is what the link carried as it failed; 0: not known.
func (g *gauge) lesson() int64 {
	if len(g.failures) < gaugeLeast {
		return 0
	}
	return median(g.failures)
}

// recall begins with what a run before this one had learnt.
func (g *gauge) recall(carries int64) {
	if carries > 0 {
		g.failures = slices.Repeat([]int64{carries}, gaugeLeast)
	}
}

func last[T any](s []T, n int) []T { return s[max(len(s)-n, 0):] }

func median(s []int64) int64 { return slices.Sorted(slices.Values(s))[(len(s)-1)/2] }
