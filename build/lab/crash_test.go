package main

import (
	"slices"
	"testing"

	"github.com/seed-7270d448/dray/engine"
)

func TestARunIsNamedSoThatItCanBeRepeated(t *testing.T) {
	for _, how := range crashVariants {
		want, err := newCrashPlan(crashScenes[0], remoteOps+7, 0, how, 42)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseCrashPlan(want.String())
		if err != nil || got.String() != want.String() || !slices.Equal(got.lives, want.lives) {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	for _, bad := range []string{"", "s3:1:cut", "s3:x:cut:1", "s3:1:melt:1", "mars:1:cut:1", "s3:1:cut:-1", "s3:1+x:twice:1"} {
		if p, err := parseCrashPlan(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, p)
		}
	}
}

func TestWhatWasDroppedIsNotAskedFor(t *testing.T) {
	drop := func(stream string, start, end int64) engine.Receipt {
		return engine.Receipt{Stream: stream, Epoch: "e", Start: start, End: end}
	}
	tests := []struct {
		name    string
		dropped []engine.Receipt
		want    []extent
	}{
		{"nothing", nil, []extent{{100, 200}}},
		{"elsewhere", []engine.Receipt{drop("s", 0, 100), drop("s", 200, 300), drop("other", 0, 300)}, []extent{{100, 200}}},
		{"the middle", []engine.Receipt{drop("s", 120, 150)}, []extent{{100, 120}, {150, 200}}},
		{"both ends", []engine.Receipt{drop("s", 50, 110), drop("s", 190, 300)}, []extent{{110, 190}}},
		{"all", []engine.Receipt{drop("s", 0, 150), drop("s", 150, 300)}, nil},
	}
	for _, tt := range tests {
		if got := without(extent{100, 200}, "e", "s", tt.dropped); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestEachFileOfTheStateHasItsClass(t *testing.T) {
	for path, want := range map[string]string{
		"/state": "state folder", "/state/spool": "spool folder", "/state/spool/00000001.slot": "slot",
		"/state/spool/00000001.slot.new": "new slot", "/state/journal": "journal folder",
		"/state/journal/00000002.new": "generation folder", "/state/journal/00000002/snapshot": "snapshot",
		"/state/journal/00000002/log": "log folder", "/state/journal/00000002/log/00000000000000000001": "journal log",
		"/state/journal/reserve.new": "reserve", "/state/receipts.jsonl": "receipts", "/state/receipts-00000001.jsonl": "receipts",
		"/state/lock": "other", "/": "root", "/archive/pipe": "archive", "/archive/pipe/e-0.log": "object", "/archive/.dray/uploads": "folder of uploads",
		"/archive/.dray/uploads/0-1": "upload", "/archive/.dray/uploads/0-1/data": "upload's data", "/archive/.dray/meta/0a": "folder of claims",
		"/archive/.dray/meta/0a/0b.json": "claim",
	} {
		if got := crashClass(path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
