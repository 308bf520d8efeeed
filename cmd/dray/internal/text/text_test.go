package text

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestBytesPicksTheUnitThatReadsBest(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 812: "812 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB",
		1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 5 << 30: "5.0 GiB", math.MaxInt64: "8.0 EiB", -2048: "-2.0 KiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestSpanShowsTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 850 * time.Millisecond: "850ms", 12 * time.Second: "12s", 200 * time.Second: "3m 20s",
		25*time.Hour + time.Minute: "1d 1h", -time.Minute: "-1m 0s",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v): got %q, want %q", d, got, want)
		}
	}
}

func TestATableAlignsAndCannotControlTheTerminal(t *testing.T) {
	var table Table
	table.Row("NAME", "LINK", "ERROR")
	table.Row("größe", "up", "")
	table.Row("b", "throttled", "evil\x1b[2J\nname")
	var got strings.Builder
	if err := table.Write(&got); err != nil {
		t.Fatal(err)
	}
	want := "NAME   LINK       ERROR\ngröße  up\nb      throttled  evil [2J name\n"
	if got.String() != want {
		t.Errorf("got\n%q\nwant\n%q", got.String(), want)
	}
}
