package wal

import (
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// Trust says how far a wall clock can be believed. The values are part of the format.
type Trust uint8

// From no trust at all to the most.
const (
	Unknown   Trust = iota // the clock is before a time that has surely passed
	Plausible              // nothing speaks against it: a battery-backed clock, or one set by hand
	Told                   // a server whose certificate was good said so
	Synced                 // the kernel says that the clock is synchronised
)

// String returns the trust in a word.
func (t Trust) String() string {
	if t > Synced {
		return "?"
	}
	return [...]string{"unknown", "plausible", "told by a server", "synchronised"}[t]
}

// A Moment is what a device's clocks say at once. Boot is never stepped: it
// counts from the boot, suspension included. Wall can say anything.
type Moment struct {
	Boot  time.Duration
	Wall  time.Time
	Trust Trust // Unknown: Observe judges by Wall alone
}

// Now asks the kernel. Wall has a monotonic reading, as time.Now's.
func Now() Moment {
	var boot unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) // Linux has it since 2.6.39
	m := Moment{Boot: time.Duration(boot.Nano()), Wall: time.Now()}
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		m.Trust = Synced
	}
	return m
}

// boot is one boot of the device: where its boot clock stands in time. Order and
// identity never depend on it; it only says when bytes were captured.
//
// A boot whose clock was never known begins where the one before it was last
// seen. That is too early by the time for which the device was off.
type boot struct {
	run   uint32 // the first start-up in it
	trust Trust
	base  int64 // the wall clock at its beginning, nanoseconds since 1970
	seen  int64 // its boot clock was seen at least so far, in nanoseconds
}

// begin folds in that a start-up began, maybe in another boot than the last one.
func (s *State) begin(f Fact) {
	if f.Run <= s.Run && len(s.boots) > 0 {
		return // seen before
	}
	if len(s.boots) == 0 || f.ID == "" || f.ID != s.Boot {
		s.boots = append(s.boots, boot{run: f.Run, base: f.Time})
		s.estimate(len(s.boots) - 1)
	}
	s.Run, s.Boot, s.Stopped = f.Run, f.ID, false
}

// bootOf is the boot that a start-up belongs to, -1 if the journal lost it.
func (s *State) bootOf(run uint32) int {
	return sort.Search(len(s.boots), func(i int) bool { return s.boots[i].run > run }) - 1
}

// clock folds in how far a boot clock was seen, and what the wall clock said
// then. The most trusted word counts, and of two that are trusted alike the later.
func (s *State) clock(run uint32, mono, wall int64, trust Trust) {
	if trust >= Told {
		s.sure = max(s.sure, wall)
	}
	i := s.bootOf(run)
	if i < 0 {
		return
	}
	b := &s.boots[i]
	b.seen = max(b.seen, mono)
	if trust > Unknown && trust >= b.trust {
		b.trust, b.base = trust, wall-mono
	}
	s.estimate(i + 1)
}

// estimate makes the boots from the i-th on begin where the one before them was
// last seen, up to one that knows better.
func (s *State) estimate(i int) {
	for ; i > 0 && i < len(s.boots) && s.boots[i].trust == Unknown; i++ {
		s.boots[i].base = s.boots[i-1].base + s.boots[i-1].seen
	}
}

// Captured returns when the first byte of o was captured, and whether that is
// only an estimate. Until the key of o is fixed it gets better with what becomes
// known of the clock.
func (s *State) Captured(o *Object) (at time.Time, estimated bool) {
	if o.Fixed {
		return time.Unix(0, o.Time).UTC(), o.Estimated
	}
	i := s.bootOf(o.Run)
	if i < 0 {
		return time.Unix(0, o.Time).UTC(), true
	}
	return time.Unix(0, s.boots[i].base+o.Time).UTC(), s.boots[i].trust == Unknown
}

// MayLearn says that the time of o is an estimate that this boot can still better.
func (s *State) MayLearn(o *Object) bool {
	_, estimated := s.Captured(o)
	return estimated && !o.Fixed && s.bootOf(o.Run) == len(s.boots)-1
}

// Clock returns the time at a reading of this boot's clock, and how far to trust it.
func (s *State) Clock(boot time.Duration) (time.Time, Trust) {
	if len(s.boots) == 0 {
		return time.Unix(0, int64(boot)).UTC(), Unknown
	}
	b := s.boots[len(s.boots)-1]
	return time.Unix(0, b.base+int64(boot)).UTC(), b.trust
}

// needed returns the boots that an object still takes its time from, and the last.
func (s *State) needed() []boot {
	first := len(s.boots) - 1
	for _, st := range s.Streams {
		for i := range st.Objects {
			if o := &st.Objects[i]; !o.Fixed {
				first = min(first, s.bootOf(o.Run))
			}
		}
	}
	return s.boots[max(first, 0):]
}

// bootFacts puts the facts that rebuild what is known of time.
func (s *State) bootFacts(put func(Fact)) {
	boots := s.needed()
	for i, b := range boots {
		id := ""
		if i == len(boots)-1 {
			id = s.Boot
		}
		put(Fact{Kind: Started, Run: b.run, ID: id, Time: b.base})
		if b.trust > Unknown {
			put(Fact{Kind: Clock, Run: b.run, Time: b.base, N: int(b.trust)})
		}
		put(Fact{Kind: Clock, Run: b.run, Mono: b.seen})
	}
	if n := len(boots); n > 0 && boots[n-1].run != s.Run {
		put(Fact{Kind: Started, Run: s.Run, ID: s.Boot})
	}
	if s.sure > 0 {
		put(Fact{Kind: Clock, Time: s.sure, N: int(Told)})
	}
}

// stepped is how far the wall clock must have moved against the boot clock to
// count as set. A server's Date is exact to a second.
const stepped = 2 * time.Second

// Now returns what the clocks say.
func (s *Store) Now() Moment { return s.now() }

// Observe takes in what the clocks, or a server, say. What is news becomes
// durable before Observe returns nil; it then says whether it was any, and each
// object whose key is not fixed has its time from it.
//
// A clock that nobody vouches for is believed unless it stands before this
// program was written, or before a time that was vouched for. One that was
// vouched for in this boot is not given up for one that nobody vouches for: the
// boot clock goes on from there, however the wall clock is stepped meanwhile.
func (s *Store) Observe(m Moment) (news bool, err error) {
	f := Fact{Kind: Clock, Run: s.run, Mono: int64(m.Boot), Time: m.Wall.UnixNano(), N: int(m.Trust)}
	s.View(func(state *State) {
		if m.Trust == Unknown && f.Time >= max(s.saneAfter, state.sure) {
			f.N = int(Plausible)
		}
		now, trust := state.Clock(m.Boot)
		news = f.N > int(trust) || f.N > 0 && f.N == int(trust) && now.Sub(m.Wall).Abs() >= stepped
	})
	if !news {
		return false, nil
	}
	if err := s.Commit(f); err != nil {
		return false, err
	}
	s.wake()
	return true, nil
}
