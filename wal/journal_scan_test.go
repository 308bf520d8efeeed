package wal

import (
	"bytes"
	"slices"
	"testing"
)

func journalScanBytes(t testing.TB, data []byte) (*journalScanner, [][]byte) {
	t.Helper()
	var recs [][]byte
	s := newJournalScanner(bytes.NewReader(data), 7, func(rec []byte) error {
		recs = append(recs, rec)
		return nil
	})
	if err := s.scanLog(); err != nil {
		t.Fatalf("scanLog of bytes in memory: %v", err)
	}
	return s, recs
}

// journalEntry is what tidwall/wal writes for one of our frames.
func journalEntry(generation, index uint64, payload string) []byte {
	frame := journalAppendFrame(nil, journalRecordMagic, generation, index, []byte(payload))
	entry := make([]byte, 0, len(frame)+2)
	for n := len(frame); ; n >>= 7 {
		if n < 0x80 {
			entry = append(entry, byte(n))
			break
		}
		entry = append(entry, byte(n)|0x80)
	}
	return append(entry, frame...)
}

func TestJournalScanTakesOnlyWhatProvesItself(t *testing.T) {
	large := string(bytes.Repeat([]byte("x"), journalMaxRecord))
	entry := func(index uint64, payload string) []byte { return journalEntry(7, index, payload) }
	tests := []struct {
		name   string
		data   []byte
		want   []string
		good   int
		broken bool
	}{
		{"nothing", nil, nil, 0, false},
		{"two", slices.Concat(entry(1, "a"), entry(2, "")), []string{"a", ""}, 59, false},
		{"largest", slices.Concat(entry(1, large), entry(2, large)), []string{large, large}, 2 * (31 + len(large)), false},
		{"not from 1", entry(2, "b"), []string{"b"}, 0, true},
		{"a hole", slices.Concat(entry(1, "a"), entry(3, "c")), []string{"a", "c"}, 30, true},
		{"stale bytes behind", slices.Concat(entry(1, "a"), entry(2, "b"), entry(1, "old"), entry(2, "old")), []string{"a", "b"}, 60, false},
		{"another generation", slices.Concat(entry(1, "a"), journalEntry(6, 2, "other")), []string{"a"}, 30, false},
		{"wrong uvarint", slices.Concat([]byte{9}, entry(1, "a")[1:]), []string{"a"}, 0, true},
		{"no uvarint", slices.Concat(entry(1, "a"), bytes.Repeat([]byte{0xff}, 12)), []string{"a"}, 30, false},
		{"behind 1 MiB of nothing", slices.Concat(entry(1, "a"), make([]byte, 1<<20), entry(2, large), entry(3, "c")), []string{"a", large, "c"}, 30, true},
		{"behind many magics", slices.Concat(entry(1, "a"), bytes.Repeat(journalRecordMagic, 50_000), entry(2, "b")), []string{"a", "b"}, 30, true},
		{"magic across the window", slices.Concat(make([]byte, journalMaxEntry-2), entry(1, large)), []string{large}, 0, true},
		{"an end mark", slices.Concat(entry(1, "a"), journalAppendFrame([]byte{32}, journalEndMagic, 7, 2, []byte("abcd"))), []string{"a"}, 30, false},
	}
	for _, test := range tests {
		s, recs := journalScanBytes(t, test.data)
		var got []string
		for _, rec := range recs {
			got = append(got, string(rec))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %.99q, want %.99q", test.name, got, test.want)
		}
		if s.good != int64(test.good) || s.broken != test.broken || s.off != int64(len(test.data)) {
			t.Errorf("%s: good %d, broken %t, passed %d; want %d, %t, %d", test.name, s.good, s.broken, s.off, test.good, test.broken, len(test.data))
		}
	}
}

func FuzzJournalLog(f *testing.F) {
	sound := slices.Concat(journalEntry(7, 1, "a"), journalEntry(7, 2, ""), journalEntry(7, 3, "ccc"))
	f.Add([]byte{})
	f.Add(sound)
	f.Add(sound[:50])
	f.Add(slices.Concat(sound[:40], sound[31:]))
	f.Add(slices.Concat(sound, make([]byte, 100), journalEntry(7, 9, "far")))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, recs := journalScanBytes(t, data)
		if s.good > int64(len(data)) || s.off != int64(len(data)) || s.records != len(recs) {
			t.Fatalf("good %d, passed %d of %d; %d records, counted %d", s.good, s.off, len(data), len(recs), s.records)
		}
		last := -1 // where the frame of the record before began
		for _, rec := range recs {
			at := bytes.Index(data[last+1:], journalRecordMagic)
			for ; at >= 0; at = bytes.Index(data[last+1:], journalRecordMagic) {
				last += 1 + at
				header, ok := journalParseFrame(data[last:], journalRecordMagic)
				if !ok {
					continue
				}
				if payload, ok := journalPayload(data[last:], header); ok && bytes.Equal(payload, rec) {
					break
				}
			}
			if at < 0 {
				t.Fatalf("record %q is not in the bytes, or not in that order", rec)
			}
		}
		again, prefix := journalScanBytes(t, data[:s.good])
		if again.good != s.good || again.broken || len(prefix) > len(recs) {
			t.Fatalf("the good %d bytes scan as good %d, broken %t", s.good, again.good, again.broken)
		}
		if !s.broken && len(prefix) != len(recs) {
			t.Fatalf("unbroken, but %d records of %d are in the good bytes", len(prefix), len(recs))
		}
	})
}

func FuzzJournalSnapshot(f *testing.F) {
	var sound bytes.Buffer
	b := &journalBook{m: map[string]string{"a": "1", "b": "2"}}
	if _, err := writeJournalSnapshot(&sound, 7, b.snapshot()); err != nil {
		f.Fatal(err)
	}
	f.Add(sound.Bytes())
	f.Add(sound.Bytes()[:40])
	f.Add(journalAppendHeader(nil, journalVersion+1, 7))
	f.Fuzz(func(t *testing.T, data []byte) {
		var recs [][]byte
		s := newJournalScanner(bytes.NewReader(data), 7, func(rec []byte) error {
			recs = append(recs, rec)
			return nil
		})
		version, whole, err := s.scanSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		if version > journalVersion && (whole || len(recs) != 0) {
			t.Fatal("a newer snapshot was looked into")
		}
		if !whole {
			return
		}
		// What is whole has one form only.
		var again bytes.Buffer
		if _, err := writeJournalSnapshot(&again, 7, slices.Values(recs)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.Bytes(), data) {
			t.Fatalf("whole, but not what its records are written as:\n%x\n%x", data, again.Bytes())
		}
	})
}
