package engine

import (
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// A tally is what was spent in the day or the month that it stands for. It
// belongs to a Meter, which guards it.
//
// The calendar says when a period ends; that clock may be wrong, and be set
// forward and back. So a new period starts from nothing only if the one before
// it has lasted, by a clock that nobody can set, nearly as long as a period does.
// Else what was spent is carried over: the same day under another date. Of the
// time in which the device was off only the calendar tells, as it stands at the
// next boot, and is believed.
type tally struct {
	name   string                // of its figure
	period func(time.Time) int64 // the number of the period that a time is in
	least  time.Duration         // that a period lasts
	most   time.Duration         // that a period lasts where no calendar is known
	limit  int64

	is    int64 // number of the period; 0: no calendar was ever known
	used  int64
	saved int64 // durable; never below used, so that a cut can only have it too high
	age   time.Duration
	at    stamp     // when age was true
	reset time.Time // when used was last set to nothing
	set   bool      // the calendar was set since the figure was saved
}

// A stamp is a moment by both clocks.
type stamp struct {
	wall time.Time     // as it is set
	boot time.Duration // since the boot, suspended or not
}

// believed says that the calendar is known.
func (s stamp) believed() bool { return !s.wall.Before(saneAfter) }

// turn brings the tally to now.
func (t *tally) turn(now stamp) {
	passed := max(now.boot-t.at.boot, 0)
	if off := now.wall.Sub(t.at.wall) - passed; off.Abs() > stepped+passed/1000 {
		t.set = true
	}
	t.age += passed
	t.at = now
	switch is := t.period(now.wall); {
	case !now.believed():
		if t.age >= t.most {
			t.begin(now)
		}
	case is != t.is:
		if t.is = is; t.age >= t.least {
			t.begin(now)
		}
	}
}

// stepped is how far the two clocks may come apart before one was set. That is
// saved at once, or else after a power cut it would count as time.
const stepped = 10 * time.Second

// begin begins a period. What is saved of the one before stays until the next
// figure is: less is used than that says.
func (t *tally) begin(now stamp) { t.used, t.saved, t.age, t.reset = 0, 0, 0, now.wall }

// figure is what is kept of the tally, with so much spent.
func (t *tally) figure(spent int64, boot string) wal.Fact {
	return wal.Fact{Kind: wal.Figure, Name: t.name, Start: t.is, End: int64(t.age / time.Second), Size: spent,
		Time: t.at.wall.UnixNano(), Mono: int64(t.at.boot), ID: boot}
}

// load takes over a figure from an earlier start-up.
func (t *tally) load(f wal.Fact, now stamp, boot string) {
	t.at = now
	if f.Kind != wal.Figure {
		return
	}
	t.is, t.used, t.saved, t.age = f.Start, f.Size, f.Size, time.Duration(f.End)*time.Second
	was := stamp{time.Unix(0, f.Time), time.Duration(f.Mono)}
	switch {
	case f.ID == boot && boot != "":
		t.age += max(now.boot-was.boot, 0)
	case was.believed() && now.believed():
		t.age += max(now.wall.Sub(was.wall), 0)
	default:
		t.age += now.boot
	}
}

// ends is when the period that now is in ends by the calendar, zero if that is not
// known.
func (t *tally) ends(now stamp) time.Time {
	if !now.believed() {
		return time.Time{}
	}
	y, m, d := now.wall.Date()
	for i := 1; i <= 31; i++ {
		if next := time.Date(y, m, d+i, 0, 0, 0, 0, now.wall.Location()); t.period(next) != t.period(now.wall) {
			return next
		}
	}
	return time.Time{}
}

// dayOf numbers the days of the calendar, in the time's own location.
func dayOf(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / int64(day/time.Second)
}

// monthOf numbers the months that begin on a day of 1 to 28.
func monthOf(first int) func(time.Time) int64 {
	return func(t time.Time) int64 {
		y, m, d := t.Date()
		n := int64(y)*12 + int64(m)
		if d < first {
			n--
		}
		return n
	}
}
