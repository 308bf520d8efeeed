package wal

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// A cut can keep the later blocks of a batch and lose the earlier ones. What is
// behind the gap was never acknowledged unless something was appended behind it.
func TestJournalDoesNotReplayTheRestOfATornBatch(t *testing.T) {
	tests := []struct {
		name    string
		batches []int
		lost    int // index of the record whose bytes are zeros
		want    []int
		damaged bool
	}{
		{"second of the last batch", []int{1, 4}, 3, []int{1, 2}, false},
		{"first of the last batch", []int{1, 4}, 2, []int{1}, false},
		{"of the only batch", []int{4}, 2, []int{1}, false},
		{"of a batch that another followed", []int{1, 4, 1}, 3, []int{1, 2, 4, 5, 6}, true},
		{"in the last batch, and it is the last record", []int{1, 4}, 5, []int{1, 2, 3, 4}, false},
		{"before a last batch that is whole", []int{1, 1, 3}, 2, []int{1, 3, 4, 5}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "journal")
			b := &journalBook{m: map[string]string{}}
			j, _, err := openJournal(dir, journalSmall, b.replay, b.snapshot())
			check(t, err)
			n, ends := 0, []int64{0}
			for _, size := range tt.batches {
				var recs []string
				for range size {
					n++
					recs = append(recs, fmt.Sprintf("r%d=x", n))
					ends = append(ends, ends[n-1]+journalEntrySize(journalFrameSize+len(recs[len(recs)-1])))
				}
				b.tell(t, j, recs...)
			}
			check(t, j.Close())
			log := journalReadFile(t, journalSegment(dir, 1))
			clear(log[ends[tt.lost-1]:ends[tt.lost]])
			journalWriteFile(t, journalSegment(dir, 1), log)

			j, got, report := openJournalBook(t, dir, journalSmall)
			defer j.Close()
			var want []string
			for _, n := range tt.want {
				want = append(want, fmt.Sprintf("r%d=x", n))
			}
			if !slices.Equal(got.log, want) {
				t.Errorf("replayed %q, want %q", got.log, want)
			}
			if report.Damaged != tt.damaged {
				t.Errorf("damaged: got %v, want %v: %+v", report.Damaged, tt.damaged, report)
			}
		})
	}
}
