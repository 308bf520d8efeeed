package wal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is appended, killed, torn, broken and opened again in any order: the
// journal holds what was acknowledged, and of what was not at most a prefix.
func TestJournalModel(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(root, fmt.Sprint(run))
		o := journalOptions{RollBytes: rapid.Int64Range(1, 2000).Draw(rt, "roll"), Reserve: -1}
		var j *journal
		var b *journalBook
		kept := map[string]string{}
		open := func() {
			b = &journalBook{m: map[string]string{}}
			var report journalReport
			var err error
			j, report, err = openJournal(dir, o, b.replay, b.snapshot())
			if err != nil {
				rt.Fatal(err)
			}
			if report.Damaged || len(report.Kept) != 0 {
				rt.Fatalf("report %+v", report)
			}
			if !maps.Equal(b.m, kept) {
				rt.Fatalf("opened with %v, want %v", b.m, kept)
			}
		}
		open()
		records := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) string {
			return rapid.StringMatching(`[a-e]=[0-9]{0,40}`).Draw(rt, "record")
		}), 1, 5)
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				recs := records.Draw(rt, "records")
				if err := j.Append(journalBytes(recs)...); err != nil {
					rt.Fatal(err)
				}
				for _, rec := range recs {
					if err := b.replay([]byte(rec)); err != nil {
						rt.Fatal(err)
					}
				}
				kept = maps.Clone(b.m)
			},
			"append fails": func(rt *rapid.T) {
				if j.log == nil {
					return
				}
				if err := j.log.Close(); err != nil {
					rt.Fatal(err)
				}
				// It may roll first, and then there is nothing to fail at.
				recs := records.Draw(rt, "records")
				if err := j.Append(journalBytes(recs)...); err == nil {
					for _, rec := range recs {
						if err := b.replay([]byte(rec)); err != nil {
							rt.Fatal(err)
						}
					}
					kept = maps.Clone(b.m)
				}
			},
			"kill": func(rt *rapid.T) {
				j.giveUp()
				open()
			},
			"close": func(rt *rapid.T) {
				if err := j.Close(); err != nil {
					rt.Fatal(err)
				}
				open()
			},
			"cut in an append": func(rt *rapid.T) {
				if j.log == nil {
					return // given up: its file has no more say
				}
				frame := journalEntry(j.number, j.index+1, records.Draw(rt, "records")[0])
				torn := frame[:rapid.IntRange(0, len(frame)-1).Draw(rt, "cut")]
				torn = append(torn, make([]byte, rapid.SampledFrom([]int{0, 1, 512}).Draw(rt, "zeros"))...)
				path := journalSegment(dir, j.number)
				j.giveUp()
				file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
				if err != nil {
					rt.Fatal(err)
				}
				if _, err := file.Write(torn); err != nil {
					rt.Fatal(err)
				}
				if err := file.Close(); err != nil {
					rt.Fatal(err)
				}
				open()
			},
			"cut in a roll": func(rt *rapid.T) {
				if _, err := buildJournalGeneration(dir, j.highest+1, b.snapshot()); err != nil {
					rt.Fatal(err)
				}
				if rapid.Bool().Draw(rt, "renamed") && j.log != nil {
					if err := commitJournalGeneration(dir, j.highest+1); err != nil {
						rt.Fatal(err)
					}
				}
				j.giveUp()
				open()
			},
		})
		if err := j.Close(); err != nil {
			rt.Fatal(err)
		}
	})
}
