package main

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

func TestStatusFitsOneScreenAndAligns(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	s := engine.Status{
		Device: "gw-17", Version: "v1.2.0", Started: now.Add(-200 * time.Minute), Now: now, StateDir: "/var/lib/dray",
		Spool: engine.SpoolStatus{MaxBytes: 2 << 30, UsedBytes: 512 << 20, WrittenBytes: 700 << 20, Syncs: 12000},
		Streams: []engine.StreamStatus{
			{Name: "gps", Appended: 600 << 20, Kept: 600 << 20, Archived: 500 << 20, Gaps: 1, GapBytes: 96, Pending: 2, LastRead: now, SourceState: "reading", Destination: "archive"},
			{Name: "log", SourceState: "waiting: open /dev/ttyUSB9: no such file", Destination: "archive"},
		},
		Destinations: []engine.DestinationStatus{{Name: "archive", Link: "down", PendingBytes: 100 << 20, PendingObjects: 2, SentBytes: 500 << 20,
			LastError: "put x: no route to host", NextTry: now.Add(42 * time.Second), LastSuccess: now.Add(-5 * time.Minute)}},
		Notes: []string{"start-up: a clone"},
	}
	var got strings.Builder
	if err := writeStatus(&got, s, false); err != nil {
		t.Fatal(err)
	}
	want := `dray v1.2.0 on gw-17, up 3h 20m, state in /var/lib/dray
spool 512.0 MiB of 2.0 GiB (25 %); written 700.0 MiB in 12000 syncs
note: start-up: a clone

STREAM  READ       KEPT       ARCHIVED   PENDING    GAPS      LAST READ  TO       SOURCE
gps     600.0 MiB  600.0 MiB  500.0 MiB  2 objects  1 (96 B)  now        archive  reading
log     0 B        0 B        0 B        0 objects  0         never      archive  waiting: open /dev/ttyUSB9: no such file

DESTINATION  LINK  PENDING               SENT       LAST SUCCESS  NEXT TRY  LAST ERROR
archive      down  100.0 MiB, 2 objects  500.0 MiB  5m 0s ago     in 42s    put x: no route to host
`
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	for _, c := range []struct {
		clock engine.ClockStatus
		want  string
	}{
		{engine.ClockStatus{Trust: "unknown", Estimated: 1}, "clock not known: 1 object "},
		{engine.ClockStatus{Trust: "synchronised", Ahead: -3600}, "clock is -3600 s ahead of the time (synchronised)"},
	} {
		got.Reset()
		s.Clock = c.clock
		if err := writeStatus(&got, s, false); err != nil || !strings.Contains(got.String(), "\n"+c.want) {
			t.Errorf("no %q in\n%s%v", c.want, got.String(), err)
		}
	}
	got.Reset()
	if err := writeStatus(&got, s, true); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "archive      \x1b[33mdown\x1b[0m  100.0 MiB") {
		t.Errorf("in colour: got\n%q", got.String())
	}
}
