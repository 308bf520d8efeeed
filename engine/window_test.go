package engine

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a test machine need not have it

	"pgregory.net/rapid"
)

func clockTime(h, m int) time.Duration {
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
}

func TestWindowsAreLocalTimeAlsoWhenClocksChange(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	night := Windows{{From: clockTime(22, 0), To: clockTime(6, 0)}}
	weekend := Windows{{Days: []time.Weekday{time.Saturday, time.Sunday}, To: day}}
	friday := Windows{{Days: []time.Weekday{time.Friday}, From: clockTime(22, 0), To: clockTime(6, 0)}}
	gap := Windows{{From: clockTime(2, 15), To: clockTime(2, 45)}} // is not there on 28 March 2027
	tests := []struct {
		name string
		w    Windows
		now  string
		open bool
		next string
	}{
		{"none", nil, "2026-11-26T12:00:00+01:00", true, ""},
		{"by day", night, "2026-11-26T12:00:00+01:00", false, "2026-11-26T22:00:00+01:00"},
		{"at its beginning", night, "2026-11-26T22:00:00+01:00", true, ""},
		{"past midnight", night, "2026-11-27T05:59:59+01:00", true, ""},
		{"at its end", night, "2026-11-27T06:00:00+01:00", false, "2026-11-27T22:00:00+01:00"},
		{"the night in which clocks go forward", night, "2027-03-28T03:00:00+02:00", true, ""},
		{"and its end", night, "2027-03-28T06:00:00+02:00", false, "2027-03-28T22:00:00+02:00"},
		{"the night in which clocks go back", night, "2026-10-25T05:30:00+01:00", true, ""},
		{"two hours of one name", gap, "2026-10-25T02:30:00+02:00", true, ""},
		{"and the second of them", gap, "2026-10-25T02:30:00+01:00", true, ""},
		{"a window that is not there", gap, "2027-03-28T01:59:00+01:00", false, "2027-03-29T02:15:00+02:00"},
		{"whole days", weekend, "2026-11-27T23:59:00+01:00", false, "2026-11-28T00:00:00+01:00"},
		{"whole days, the last minute", weekend, "2026-11-29T23:59:59+01:00", true, ""},
		{"the night after its day", friday, "2026-11-28T05:00:00+01:00", true, ""},
		{"the night before its day", friday, "2026-11-27T05:00:00+01:00", false, "2026-11-27T22:00:00+01:00"},
		{"a week away", friday, "2026-11-28T06:00:00+01:00", false, "2026-12-04T22:00:00+01:00"},
		{"a clock that is not set", night, "1970-01-01T12:00:00+01:00", true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			open, next := tt.w.open(now.In(berlin), !strings.HasPrefix(tt.now, "1970"))
			got := ""
			if !next.IsZero() {
				got = next.Format(time.RFC3339)
			}
			if open != tt.open || got != tt.next {
				t.Errorf("got %v, %q; want %v, %q", open, got, tt.open, tt.next)
			}
		})
	}
}

// Whatever the windows, what open foretells is the first minute that is in one.
func TestTheNextOpeningIsTheFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Windows
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			win := Window{From: time.Duration(rapid.IntRange(0, 24*60-1).Draw(t, "from")) * time.Minute, To: time.Duration(rapid.IntRange(0, 24*60).Draw(t, "to")) * time.Minute}
			for range rapid.IntRange(0, 2).Draw(t, "days") {
				win.Days = append(win.Days, time.Weekday(rapid.IntRange(0, 6).Draw(t, "day")))
			}
			w = append(w, win)
		}
		now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 7*24*60).Draw(t, "now")) * time.Minute)
		open, next := w.open(now, true)
		want := now
		for !w.at(want) {
			want = want.Add(time.Minute)
		}
		if open != want.Equal(now) || !open && !next.Equal(want) {
			t.Fatalf("%+v at %v: got %v, %v; want %v", w, now, open, next, want)
		}
	})
}
