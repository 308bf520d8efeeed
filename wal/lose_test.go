package wal

import "testing"

// Each byte lost is counted once, whatever comes behind it, before a kill and
// after it, and the next object tells of it.
func TestALossThatNoRecordFollowsIsCountedOnceAndSurvivesAKill(t *testing.T) {
	record := []byte("some words\n")
	for _, tt := range []struct {
		name string
		do   string // r: a record, l: 7 bytes are lost, s: sync, d: discard
	}{
		{"at the end", "rsls"},
		{"before anything", "ls"},
		{"told by the record behind it", "rslrs"},
		{"with a record that waits before it", "rlsrs"},
		{"twice, each made known", "rslslsrs"},
		{"twice, the second told by a record", "rslslrs"},
		{"twice in an object's life", "rlrlrs"},
		{"discarded before it is known", "rslrdrs"},
		{"discarded behind one that is known", "rslslrdrs"},
		{"discarded with nothing else", "rsldrs"},
	} {
		dir := t.TempDir()
		s := openStore(t, dir)
		st := openStream(t, s, "a", 64<<10)
		var records, lost, waiting int64
		for _, c := range tt.do {
			switch c {
			case 'r':
				check(t, st.Append(record, Mark{}))
				records, waiting = records+1, waiting+1
			case 'l':
				st.Lose(7)
				lost += 7
			case 's':
				check(t, st.Sync())
				waiting = 0
			case 'd':
				st.Discard()
				lost, records, waiting = lost+waiting*int64(len(record)), records-waiting, 0
			}
		}
		at := st.Progress()
		if at.Kept != at.Appended {
			t.Errorf("%s: kept up to %d, appended up to %d", tt.name, at.Kept, at.Appended)
		}
		counted := func(when string) {
			t.Helper()
			s.View(func(state *State) {
				if ss := state.Stream(st.ID()); ss.GapBytes != lost || records*int64(len(record))+lost != at.Appended {
					t.Errorf("%s, %s: %d bytes are counted of %d lost, %d records, %d offsets", tt.name, when, ss.GapBytes, lost, records, at.Appended)
				}
			})
		}
		counted("live")
		crash(s)
		s = openStore(t, dir)
		st = openStream(t, s, "a", 64<<10)
		if got := st.Progress(); got.Kept != at.Kept || got.Appended != at.Appended {
			t.Errorf("%s: behind a kill %d are kept of %d, before it %d", tt.name, got.Kept, got.Appended, at.Kept)
		}
		counted("behind a kill")
		check(t, st.Append(record, Mark{}))
		check(t, st.Sync())
		if got := read(t, s, st, at.Appended, at.Appended+int64(len(record))); string(got) != string(record) {
			t.Errorf("%s: read %q behind it", tt.name, got)
		}
		var told int64
		s.View(func(state *State) {
			for i := range state.Stream(st.ID()).Objects {
				told += state.Stream(st.ID()).Objects[i].Gap
			}
		})
		if told != lost {
			t.Errorf("%s: objects tell of %d lost bytes, want %d", tt.name, told, lost)
		}
		check(t, s.Close())
	}
}
