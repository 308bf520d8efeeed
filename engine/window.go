package engine

import (
	"slices"
	"time"
)

// A Window is a time of the day, in local time, at which a link may be used.
type Window struct {
	Days []time.Weekday // on which it opens; none: every day
	// From and To are times on the wall clock, as hours and minutes since midnight;
	// To is at most 24 h. A window whose To is not after its From ends on the next day.
	From, To time.Duration
}

// Windows are those of one link; with none it may always be used. What is on its
// way when a window ends is brought to its end.
type Windows []Window

const day = 24 * time.Hour

// open says whether now, in its own location, is within a window. If it is not,
// next is when the first one opens, as far as can be foretold: clocks are set, and
// what they say is asked again each minute. A time that is not known keeps no
// window shut, for it may never open it.
func (w Windows) open(now time.Time, known bool) (ok bool, next time.Time) {
	if len(w) == 0 || !known || w.at(now) {
		return true, time.Time{}
	}
	y, m, d := now.Date()
	for i := range 9 { // a window on one day of the week opens within eight
		for _, win := range w {
			// Where a clock is put forward over From, Date gives a time beyond it.
			from := time.Date(y, m, d+i, 0, int(win.From/time.Minute), 0, 0, now.Location())
			if from.After(now) && (next.IsZero() || from.Before(next)) && w.at(from) {
				next = from
			}
		}
		if !next.IsZero() {
			break
		}
	}
	return false, next
}

// at says whether t is within a window.
func (w Windows) at(t time.Time) bool {
	h, m, s := t.Clock()
	clock := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	today := t.Weekday()
	yesterday := (today + 6) % 7
	return slices.ContainsFunc(w, func(w Window) bool {
		switch {
		case w.From < w.To:
			return w.on(today) && w.From <= clock && clock < w.To
		case clock >= w.From:
			return w.on(today)
		}
		return clock < w.To && w.on(yesterday)
	})
}

func (w Window) on(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }

// check says what is wrong with a window, nothing if it is good.
func (w Window) check() string {
	switch {
	case w.From < 0 || w.From >= day || w.From%time.Minute != 0:
		return "from must be 00:00 to 23:59"
	case w.To < 0 || w.To > day || w.To%time.Minute != 0:
		return "to must be 00:00 to 24:00"
	}
	return ""
}
