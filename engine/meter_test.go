package engine

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/wal"
)

// A meterWorld is a device with budgets, its clocks, and its flash.
type meterWorld struct {
	budgets []Budget
	true    time.Duration // time, since the world began
	offset  time.Duration // of the calendar
	booted  time.Duration // when, in true time
	boots   int
	figures map[string]wal.Fact
	commits int
	meter   *Meter
}

var worldBegan = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newMeterWorld(b ...Budget) *meterWorld {
	w := &meterWorld{budgets: b, figures: map[string]wal.Fact{}}
	w.boot()
	return w
}

func (w *meterWorld) now() stamp { return stamp{worldBegan.Add(w.true + w.offset), w.true - w.booted} }

// boot starts the device as after a power cut: what is on flash is all there is.
func (w *meterWorld) boot() {
	w.booted = w.true
	w.boots++
	w.start()
}

// start starts the process.
func (w *meterWorld) start() {
	w.meter = NewMeter(w.budgets)
	w.meter.now, w.meter.boot = w.now, wal.EpochText(uint64(w.boots))
	w.meter.commit = func(facts ...wal.Fact) error {
		w.commits++
		for _, f := range facts {
			w.figures[f.Name] = f
		}
		return nil
	}
	for _, list := range w.meter.tallies {
		for _, t := range list {
			t.load(w.figures[t.name], w.now(), w.meter.boot)
		}
	}
}

// spend takes in pieces until no more is allowed, and says how much that was.
func (w *meterWorld) spend(t interface{ Fatal(...any) }, iface string, most, piece int64) (n int64) {
	for n+piece <= most {
		switch err := w.meter.Take(iface, piece); {
		case errors.Is(err, ErrOverBudget):
			return n
		case err != nil:
			t.Fatal(err)
		}
		n += piece
	}
	return n
}

const plenty = 1 << 40

func TestADaysBudgetEndsAtItsLimitAndBeginsAnewAtMidnight(t *testing.T) {
	w := newMeterWorld(Budget{Interface: "wwan*", Day: 50 << 20})
	w.true = day // past its first midnight
	for i := range 3 {
		if got := w.spend(t, "wwan0", plenty, 1<<10); got != 50<<20 {
			t.Errorf("day %d: %d bytes, want %d", i, got, 50<<20)
		}
		w.true += day - time.Minute
		if got := w.spend(t, "wwan0", 1<<20, 1<<10); i == 2 && got == 0 {
			t.Errorf("day %d: nothing after midnight", i)
		}
		w.true += time.Minute
		w.true += day
	}
	if got := w.spend(t, "eth0", 1<<30, 1<<20); got != 1<<30 {
		t.Errorf("another interface: %d bytes, want all", got)
	}
}

func TestAMonthBeginsOnItsDay(t *testing.T) {
	for _, tt := range []struct {
		at   time.Time
		want int64
	}{
		{time.Date(2026, 3, 4, 23, 59, 59, 0, time.UTC), 2026*12 + 2},
		{time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), 2026*12 + 3},
		{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 2025*12 + 12},
	} {
		if got := monthOf(5)(tt.at); got != tt.want {
			t.Errorf("%v: got %d, want %d", tt.at, got, tt.want)
		}
	}
}

func TestACutWastesAtMostWhatIsSavedAhead(t *testing.T) {
	const limit, piece = 50 << 20, 10_000
	w := newMeterWorld(Budget{Interface: "*", Day: limit})
	var used int64
	const cuts = 20
	for range cuts {
		used += w.spend(t, "wwan0", limit/40, piece)
		w.boot()
	}
	used += w.spend(t, "wwan0", plenty, piece)
	ahead := w.meter.tallies[0][0].ahead()
	if used > limit || used < limit-cuts*ahead-piece {
		t.Errorf("used %d of %d over %d cuts, want at most %d less", used, limit, cuts, cuts*ahead)
	}
	if most := int(limit/ahead) + cuts + 2; w.commits > most {
		t.Errorf("%d commits, want at most %d", w.commits, most)
	}
}

func TestARestartInOrderWastesNothing(t *testing.T) {
	const limit = 50 << 20
	w := newMeterWorld(Budget{Interface: "*", Day: limit})
	used := w.spend(t, "wwan0", 1<<20, 1<<10)
	if err := w.meter.close(); err != nil {
		t.Fatal(err)
	}
	w.start()
	if used += w.spend(t, "wwan0", plenty, 1<<10); used != limit {
		t.Errorf("used %d, want all of %d", used, limit)
	}
}

func TestWhatIsNotNeededComesBackButNotToAnotherDay(t *testing.T) {
	w := newMeterWorld(Budget{Interface: "*", Day: 1 << 20})
	w.true = day
	opened := w.now().wall
	if err := w.meter.Take("wwan0", 1<<20); err != nil {
		t.Fatal(err)
	}
	w.meter.Settle("wwan0", -1<<19, opened)
	if got := w.spend(t, "wwan0", plenty, 1<<10); got != 1<<19 {
		t.Errorf("after half came back: %d bytes", got)
	}
	w.true += day
	if err := w.meter.Take("wwan0", 1<<10); err != nil {
		t.Fatal(err)
	}
	w.meter.Settle("wwan0", -1<<19, opened)
	if got := w.spend(t, "wwan0", plenty, 1<<10); got != 1<<20-1<<10 {
		t.Errorf("on the next day: %d bytes", got)
	}
}

func TestAReserveIsLeftToWhatIsUrgent(t *testing.T) {
	w := newMeterWorld(Budget{Interface: "*", Day: 1000 << 10, Reserve: 20})
	if err := w.meter.Take("wwan0", 700<<10); err != nil {
		t.Fatal(err)
	}
	w.meter.claim("wwan0", want{bytes: 50 << 10})
	for _, tt := range []struct {
		bytes      int64
		urgent, ok bool
	}{{40 << 10, false, true}, {60 << 10, false, false}, {60 << 10, true, true}, {260 << 10, true, false}} {
		if got := w.meter.room("wwan0", tt.bytes, tt.urgent); got != tt.ok {
			t.Errorf("%d bytes, urgent %v: got %v", tt.bytes, tt.urgent, got)
		}
	}
}

func TestABudgetThatIsUsedUpSaysUntilWhen(t *testing.T) {
	w := newMeterWorld(Budget{Interface: "wwan*", Day: 1 << 20, Month: 2 << 20, ResetDay: 5})
	now := w.meter.now().wall
	y, m, d := now.Date()
	tomorrow := time.Date(y, m, d+1, 0, 0, 0, 0, now.Location())
	for _, tt := range []struct {
		iface string
		bytes int64
		want  time.Time
	}{{"eth0", 4 << 20, time.Time{}}, {"wwan0", 1 << 20, time.Time{}}, {"wwan0", 3 << 19, tomorrow}, {"wwan0", 3 << 20, resetAfter(now, 5)}} {
		ok, until := w.meter.wait(tt.iface, tt.bytes, true)
		if ok != tt.want.IsZero() || !until.Equal(tt.want) {
			t.Errorf("%d bytes through %s: %v, until %v; want %v", tt.bytes, tt.iface, ok, until, tt.want)
		}
	}
}

// resetAfter returns the next midnight at which a month begins on a day.
func resetAfter(now time.Time, first int) time.Time {
	y, m, d := now.Date()
	if d >= first {
		m++
	}
	return time.Date(y, m, first, 0, 0, 0, 0, now.Location())
}

func TestAJournalThatFailsLetsNoByteThrough(t *testing.T) {
	w := newMeterWorld(Budget{Interface: "*", Day: 1 << 20})
	want := errors.New("flash is gone")
	w.meter.commit = func(...wal.Fact) error { return want }
	if err := w.meter.Take("wwan0", 1); !errors.Is(err, want) || errors.Is(err, ErrOverBudget) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// keep is what the engine does whenever it looks for work.
func keep(t *rapid.T, w *meterWorld) {
	if err := w.meter.keep(); err != nil {
		t.Fatal(err)
	}
}

// However the calendar is set and the power cut, a budget gives no more than one
// limit for each period that has really passed, and one for that in which it
// began; and it never stays shut.
func TestBudgetsHoldOverClockStepsAndCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const dayLimit, monthLimit, piece = 4 << 20, 40 << 20, 64 << 10
		w := newMeterWorld(Budget{Interface: "*", Day: dayLimit, Month: monthLimit, ResetDay: rapid.IntRange(1, 28).Draw(t, "reset")})
		var used int64
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"pass", "pass", "set", "unset", "cut", "restart"}).Draw(t, "what") {
			case "pass":
				w.true += time.Duration(rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "pass"))
			case "set":
				w.offset = time.Duration(rapid.Int64Range(-int64(400*day), int64(400*day)).Draw(t, "offset"))
				keep(t, w)
			case "unset":
				w.offset = -56*365*day - w.true
				keep(t, w)
			case "cut":
				w.boot()
			case "restart":
				if err := w.meter.close(); err != nil {
					t.Fatal(err)
				}
				w.start()
			}
			used += w.spend(t, "wwan0", int64(rapid.IntRange(0, dayLimit).Draw(t, "bytes")), piece)
			if most := (int64(w.true/(20*time.Hour)) + 1) * dayLimit; used > most {
				t.Fatalf("%d bytes in %v, want at most %d", used, w.true, most)
			}
			if most := (int64(w.true/(27*day)) + 1) * monthLimit; used > most {
				t.Fatalf("%d bytes in %v, want at most %d", used, w.true, most)
			}
		}
		w.true += 70 * day
		w.spend(t, "wwan0", piece, piece) // sees that time
		w.true += 2 * day
		if w.spend(t, "wwan0", piece, piece) == 0 {
			t.Fatalf("nothing goes any more: %+v", w.meter.tallies[0])
		}
	})
}

// SetClocks lets tests from outside rule the meter's clocks.
func (m *Meter) SetClocks(now func() (wall time.Time, boot time.Duration)) {
	m.now = func() stamp { wall, boot := now(); return stamp{wall, boot} }
	for _, list := range m.tallies {
		for _, t := range list {
			t.at = m.now()
		}
	}
}
