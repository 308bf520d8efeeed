package wal

import (
	"bytes"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// TestSpoolModel drives a store with random appends, syncs, seals, frees,
// kills and clean stops, beside a model that is two byte slices a stream.
func TestSpoolModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		must(t, err)
		defer os.RemoveAll(dir)
		options := Options{Dir: dir, SlotBytes: testSlot, MaxBytes: 200 * testSlot}
		s, err := Open(options)
		must(t, err)
		names := []string{"a", "b"}
		part := map[string]int64{"a": 50_000, "b": 1 << 20}
		streams := map[string]*Stream{}
		model := map[string]*modelStream{"a": {}, "b": {}}
		start := func() {
			for _, name := range names {
				st, err := s.Stream(name)
				must(t, err)
				st.SetLayout(Layout{PartSize: part[name], Destination: "d"})
				streams[name] = st
			}
		}
		start()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "stream")
			st, m := streams[name], model[name]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3:
				rec := bytes.Repeat([]byte{byte(len(m.all))}, rapid.IntRange(1, testSlot/4).Draw(t, "size"))
				must(t, st.Append(rec, Mark{}))
				m.all = append(m.all, rec...)
			case 4, 5:
				must(t, st.Sync())
				m.kept = len(m.all)
			case 6:
				st.Seal()
			case 7:
				free := int64(-1)
				s.View(func(state *State) {
					if objects := state.Stream(st.ID()).Objects; len(objects) > 0 && objects[0].Sealed() {
						free, m.freed = objects[0].Start, objects[0].End
					}
				})
				if free >= 0 {
					must(t, s.Commit(Fact{Kind: Freed, Stream: st.ID(), Start: free}))
				}
			case 8:
				crash(s)
				s, err = Open(options)
				must(t, err)
				for _, m := range model {
					m.all = m.all[:m.kept]
				}
				start()
			case 9:
				must(t, s.Close())
				s, err = Open(options)
				must(t, err)
				for _, m := range model {
					m.all = m.all[:m.kept]
				}
				start()
			}
			for _, name := range names {
				if p := streams[name].Progress(); p.Kept != int64(model[name].kept) || p.Appended != int64(len(model[name].all)) {
					t.Fatalf("stream %s stands at %+v, want kept %d of %d", name, p, model[name].kept, len(model[name].all))
				}
			}
		}
		for _, name := range names {
			m, st := model[name], streams[name]
			sec, err := s.Section(st.ID(), m.freed, int64(m.kept))
			must(t, err)
			got, err := io.ReadAll(sec)
			must(t, err)
			if !bytes.Equal(got, m.all[m.freed:m.kept]) {
				t.Fatalf("stream %s: the bytes [%d,%d) read back differ", name, m.freed, m.kept)
			}
			must(t, sec.Close())
			s.View(func(state *State) { m.check(t, state, state.Stream(st.ID())) })
		}
		must(t, s.Close())
	})
}

type modelStream struct {
	all   []byte
	kept  int
	freed int64
}

// check proves that the live objects tile what is kept and not freed, and that
// each part's checksum is that of its bytes.
func (m *modelStream) check(t *rapid.T, state *State, st *StreamState) {
	at := m.freed
	for i := range st.Objects {
		o := &st.Objects[i]
		if o.Start != at {
			t.Fatalf("object %d begins at %d, its predecessor ended at %d", i, o.Start, at)
		}
		for n := 1; n <= o.NumParts(); n++ {
			p, from, to := state.Part(o, n)
			if want := crcOf(m.all[from:to]); p.CRC != want {
				t.Fatalf("object %d part %d [%d,%d): crc %08x, want %08x", i, n, from, to, p.CRC, want)
			}
		}
		if at = o.End; !o.Sealed() {
			at = int64(m.kept)
		}
	}
	if at != int64(m.kept) {
		t.Fatalf("objects end at %d, kept is %d", at, m.kept)
	}
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
