package wal

import (
	"testing"
	"time"
)

// device is a state folder on a device whose clocks a test moves.
type device struct {
	*testing.T
	*Store
	dir    string
	boot   string
	clocks Moment
}

// The present, for a test: long behind the time before which no clock is believed.
var present = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// newDevice boots one that was never on before.
func newDevice(t *testing.T, clocks Moment) *device {
	d := &device{T: t, dir: t.TempDir(), clocks: clocks}
	d.start("boot 1", clocks)
	t.Cleanup(func() { check(t, d.Close()) })
	return d
}

// start opens the folder, in another boot or the same one.
func (d *device) start(boot string, clocks Moment) {
	d.Helper()
	if d.Store != nil {
		crash(d.Store)
	}
	d.boot, d.clocks = boot, clocks
	s, err := Open(Options{Dir: d.dir, SlotBytes: testSlot, MaxBytes: 64 * testSlot, Boot: boot,
		SaneAfter: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Now: func() Moment { return d.clocks }})
	check(d.T, err)
	d.Store = s
}

// pass lets time go by, and the wall clock with it.
func (d *device) pass(by time.Duration) {
	d.clocks.Boot += by
	d.clocks.Wall = d.clocks.Wall.Add(by)
}

// set steps the wall clock.
func (d *device) set(wall time.Time, trust Trust) {
	d.Helper()
	d.clocks.Wall, d.clocks.Trust = wall, trust
	_, err := d.Observe(d.clocks)
	check(d.T, err)
}

// object captures one, and returns its start.
func (d *device) object() int64 {
	d.Helper()
	st := openStream(d.T, d.Store, "a", 1<<20)
	at := st.Progress().Appended
	check(d.T, st.Append([]byte("x\n"), Mark{}))
	st.Seal()
	check(d.T, st.Sync())
	check(d.T, d.Commit()) // that it is sealed
	return at
}

// captured checks when the object at start was captured.
func (d *device) captured(start int64, want time.Time, estimated bool) {
	d.Helper()
	d.View(func(s *State) {
		o := s.Current("a").Object(start)
		if at, guess := s.Captured(o); !at.Equal(want) || guess != estimated {
			d.Errorf("object %d was captured at %v, estimated %v; want %v, %v", start, at, guess, want, estimated)
		}
	})
}

var year1970 = Moment{Boot: time.Minute, Wall: time.Unix(60, 0)}

func TestAnObjectCapturedBeforeTheClockWasKnownGetsItsTimeOnceItIs(t *testing.T) {
	d := newDevice(t, year1970)
	first := d.object()
	d.captured(first, time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC), true)
	d.pass(time.Hour)
	second := d.object()
	d.set(present, Synced)
	d.captured(first, present.Add(-time.Hour), false)
	d.captured(second, present, false)

	d.start("boot 1", d.clocks) // killed before anything else was written
	d.captured(first, present.Add(-time.Hour), false)
	d.captured(second, present, false)
}

func TestABootThatNeverLearnedItsTimeIsFiledUnderTheLastKnown(t *testing.T) {
	d := newDevice(t, Moment{Boot: time.Minute, Wall: present, Trust: Synced})
	known := d.object()
	d.pass(10 * time.Minute)
	d.object()
	for i := range 3 { // each is on for seven minutes, and off for nobody knows how long
		d.start([]string{"2", "3", "4"}[i], year1970)
		d.pass(6 * time.Minute)
		d.captured(d.object(), present.Add(10*time.Minute+time.Duration(i+1)*7*time.Minute), true)
	}
	d.captured(known, present, false)
	d.set(present.AddDate(0, 1, 0), Synced)
	d.captured(known, present, false)
	d.captured(6, present.Add(10*time.Minute+14*time.Minute), true) // it is too late for the boots before
	d.captured(8, present.AddDate(0, 1, 0), false)
}

func TestWhatTheClockIsBelieved(t *testing.T) {
	hour, year := time.Hour, 365*24*time.Hour
	type set struct {
		by    time.Duration // from the right time
		trust Trust
	}
	for _, test := range []struct {
		name  string
		sets  []set
		want  time.Duration
		trust Trust
	}{
		{"never known", []set{{-40 * year, Unknown}}, 0, Unknown},
		{"a battery-backed clock that is right", []set{{0, Unknown}}, 0, Plausible},
		{"one that is a year ahead, and nobody knows better", []set{{year, Unknown}}, year, Plausible},
		{"one that is a year ahead, until the kernel knows", []set{{year, Unknown}, {0, Synced}}, 0, Synced},
		{"one that is a year ahead, until a server is heard", []set{{year, Unknown}, {0, Told}}, 0, Told},
		{"set by hand, then put right by hand", []set{{hour, Unknown}, {0, Unknown}}, 0, Plausible},
		{"stepped by hand once it was synchronised", []set{{0, Synced}, {-hour, Unknown}, {year, Unknown}}, 0, Synced},
		{"back to 1970 once it was synchronised", []set{{0, Synced}, {-50 * year, Unknown}}, 0, Synced},
		{"a server that lies once the kernel knows", []set{{0, Synced}, {year, Told}}, 0, Synced},
		{"a server that lies, until the kernel knows", []set{{year, Told}, {0, Synced}}, 0, Synced},
		{"synchronised to something wrong at first", []set{{hour, Synced}, {0, Synced}}, 0, Synced},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t, year1970)
			at := d.object()
			for _, set := range test.sets {
				d.set(present.Add(set.by), set.trust)
			}
			d.View(func(s *State) {
				_, trust := s.Clock(d.clocks.Boot)
				o := s.Current("a").Object(at)
				got, estimated := s.Captured(o)
				if want := present.Add(test.want); trust != test.trust || estimated != (trust == Unknown) || !estimated && !got.Equal(want) {
					t.Errorf("captured at %v with trust %q, want %v with %q", got, trust, want, test.trust)
				}
				if s.MayLearn(o) != (trust == Unknown) {
					t.Errorf("may learn: %v", s.MayLearn(o))
				}
			})
		})
	}
}

func TestAClockBeforeATimeThatHasSurelyPassedIsNotBelieved(t *testing.T) {
	d := newDevice(t, Moment{Boot: time.Minute, Wall: present, Trust: Synced})
	d.object()
	d.start("2", Moment{Boot: time.Minute, Wall: present.AddDate(0, -1, 0)})
	d.captured(d.object(), present.Add(time.Minute), true)
	d.set(present.AddDate(0, -1, 0), Synced) // but the kernel is
	d.captured(2, present.AddDate(0, -1, 0), false)
}

func TestAKeyOnceFixedKeepsItsTime(t *testing.T) {
	d := newDevice(t, year1970)
	at := d.object()
	guess := time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)
	check(t, d.Commit(Fact{Kind: Intent, Stream: 1, Start: at, Op: OpPut, Key: "k", Time: guess.UnixNano(), Flags: FlagEstimated}))
	d.set(present, Synced)
	d.captured(at, guess, true)
	d.start("boot 1", d.clocks)
	d.captured(at, guess, true)
}

func TestTheAgeOfAnOpenObjectGoesOnOverRestarts(t *testing.T) {
	for _, test := range []struct {
		name string
		boot string
		then Moment
		want time.Duration
	}{
		{"the same boot", "boot 1", Moment{Boot: 31 * time.Minute, Wall: present.AddDate(-1, 0, 0)}, 30 * time.Minute},
		{"another boot, both clocks known", "2", Moment{Boot: time.Minute, Wall: present.Add(5 * time.Hour), Trust: Synced}, 5 * time.Hour},
		{"another boot, clock unknown", "2", Moment{Boot: 3 * time.Minute, Wall: time.Unix(0, 0)}, 13 * time.Minute},
		{"another boot, clock gone back", "2", Moment{Boot: time.Minute, Wall: present.AddDate(0, 0, -1), Trust: Synced}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t, Moment{Boot: time.Minute, Wall: present, Trust: Synced})
			st := openStream(t, d.Store, "a", 1<<20)
			check(t, st.Append([]byte("x\n"), Mark{}))
			check(t, st.Sync())
			d.pass(10 * time.Minute)
			check(t, st.Append([]byte("y\n"), Mark{}))
			check(t, st.Sync())
			d.start(test.boot, test.then)
			got := time.Since(openStream(t, d.Store, "a", 1<<20).Progress().Opened)
			if got < test.want || got > test.want+time.Minute {
				t.Errorf("the object is %v old, want %v", got, test.want)
			}
		})
	}
}
