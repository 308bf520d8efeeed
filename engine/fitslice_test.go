package engine

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/wal"
)

func splits(f hal.Framing) splitter {
	if f.Kind == "" {
		return nil
	}
	return records(f)
}

func TestSlicesEndWithWholeRecords(t *testing.T) {
	lines := strings.Repeat("0123456789\n", 100)
	for _, tt := range []struct {
		name    string
		data    string
		framing hal.Framing
		limit   int64
		want    int64
	}{
		{"raw has no records", lines, hal.Framing{}, 100, 100},
		{"lines", lines, hal.Framing{Kind: "lines"}, 100, 99},
		{"lines that end at the limit", lines, hal.Framing{Kind: "lines"}, 110, 110},
		{"fixed", lines, hal.Framing{Kind: "fixed", Size: 7}, 100, 98},
		{"length", "\x03abc\x01d\x05efghi", hal.Framing{Kind: "length", Size: 1}, 7, 6},
		{"a first line that is longer", strings.Repeat("x", 150) + "\n" + lines, hal.Framing{Kind: "lines"}, 100, 151},
		{"one that is longer by far", strings.Repeat("x", 500) + "\n" + lines, hal.Framing{Kind: "lines"}, 100, 100},
		{"longer than a record may be", strings.Repeat("x", 150) + "\n" + lines, hal.Framing{Kind: "lines", Max: 50}, 100, 100},
		{"the last line has no newline", "abc\ndef", hal.Framing{Kind: "lines"}, 6, 4},
	} {
		if got := lastRecord(strings.NewReader(tt.data), splits(tt.framing), tt.limit); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestASliceEndsWithinTwiceItsLimitAndAtARecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		ends := map[int64]bool{}
		for range rapid.IntRange(1, 50).Draw(t, "lines") {
			b.WriteString(strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "length")) + "\n")
			ends[int64(b.Len())] = true
		}
		limit := rapid.Int64Range(1, 1000).Draw(t, "limit")
		got := lastRecord(bytes.NewReader(b.Bytes()), records(hal.Framing{Kind: "lines"}), limit)
		if got < 1 || got > 2*limit || got != limit && !ends[got] {
			t.Fatalf("%d of %d bytes, limit %d", got, b.Len(), limit)
		}
		if !ends[got] && bytes.IndexByte(b.Bytes(), '\n') < int(2*limit) {
			t.Fatalf("cut at %d, within a record that is short enough", got)
		}
	})
}

// What an object needs next when the link carries little.
func TestWhatDoesNotFitTheLinkIsSlicedUnlessItIsInDoubt(t *testing.T) {
	poor, fair := fit{carries: 64 * kib}, fit{carries: 30 * mib}
	create, put, complete := wal.Fact{Kind: wal.Intent, Op: wal.OpCreate, Key: "k"}, wal.Fact{Kind: wal.Intent, Op: wal.OpPut, Key: "k"}, wal.Fact{Kind: wal.Intent, Op: wal.OpComplete, Key: "k"}
	begun := wal.Fact{Kind: wal.Begun, ID: "u"}
	cut := func(n int) wal.Fact { return wal.Fact{Kind: wal.Cut, N: n} }
	stored := func(n int) wal.Fact { return wal.Fact{Kind: wal.Stored, N: n, ID: "e"} }
	seal := func(size int64) wal.Fact { return wal.Fact{Kind: wal.Sealed, End: size} }
	for _, tt := range []struct {
		name  string
		fit   fit
		facts []wal.Fact
		want  action
	}{
		{"nothing known", fit{}, []wal.Fact{seal(8 * mib)}, actPut},
		{"small enough", poor, []wal.Fact{seal(32 * kib)}, actPut},
		{"too large to put", poor, []wal.Fact{seal(33 * kib)}, actSlice},
		{"parts too large", poor, []wal.Fact{cut(1), cut(2), seal(16 * mib)}, actSlice},
		{"parts that get through", fair, []wal.Fact{cut(1), cut(2), seal(16 * mib)}, actCreate},
		{"a put that may have happened", poor, []wal.Fact{seal(mib), put}, actPut},
		{"a put that did not", poor, []wal.Fact{seal(mib), put, {Kind: wal.Intent}}, actSlice},
		{"begun", poor, []wal.Fact{cut(1), cut(2), create, begun, seal(16 * mib)}, actAbort},
		{"begun, perhaps", poor, []wal.Fact{cut(1), cut(2), create, seal(16 * mib)}, actAbort},
		{"begun, with a part stored", poor, []wal.Fact{cut(1), cut(2), create, begun, stored(1), seal(16 * mib)}, actAbort},
		{"begun, on a link that carries its parts", fair, []wal.Fact{cut(1), cut(2), create, begun, seal(16 * mib)}, actSend},
		{"aborted", poor, []wal.Fact{cut(1), cut(2), create, begun, seal(16 * mib), {Kind: wal.Reset}}, actSlice},
		{"all parts stored", poor, []wal.Fact{cut(1), create, begun, stored(1), seal(8 * mib)}, actComplete},
		{"completed, perhaps", poor, []wal.Fact{cut(1), create, begun, stored(1), seal(8 * mib), complete, {Kind: wal.Missing, N: 1}}, actSend},
		{"still open", poor, []wal.Fact{cut(1), create, begun}, actWait},
	} {
		store, err := wal.Open(wal.Options{Dir: t.TempDir(), MaxBytes: 32 * mib})
		if err != nil {
			t.Fatal(err)
		}
		facts := append([]wal.Fact{{Kind: wal.Made, Name: "s", Stream: 1}, {Kind: wal.Shaped, Size: 8 * mib}, {Kind: wal.Opened, Time: 1}}, tt.facts...)
		for i := range facts {
			facts[i].Stream = 1
		}
		if err := store.Commit(facts...); err != nil {
			t.Fatal(err)
		}
		store.View(func(s *wal.State) {
			if got := next(s, s.Stream(1).Object(0), s3Limits, tt.fit, func(int) bool { return false }, false, false); got.action != tt.want {
				t.Errorf("%s: %v, want %v", tt.name, got.action, tt.want)
			}
		})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
