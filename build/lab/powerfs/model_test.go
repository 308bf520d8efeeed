package powerfs

import (
	"bytes"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// history is what a name or a file has been since the sync that covered it last.
type history struct {
	names    map[string][]string // by name: which files it stood for, oldest first; "" none
	contents map[string][][]byte // by file: its whole contents
}

// TestNothingIsFoundThatNeverWas does random things in one folder and checks,
// behind a cut, that each name stands for a file that it stood for since its
// last sync, and that each sector of the file was so since its last sync.
func TestNothingIsFoundThatNeverWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ordered := rapid.Bool().Draw(t, "ordered")
		d := New(Options{Ordered: ordered})
		h := history{map[string][]string{}, map[string][][]byte{}}
		ids := map[*node]string{}
		names := []string{"a", "b", "c"}
		name := rapid.SampledFrom(names)
		for _, n := range names {
			h.names[n] = []string{""}
		}
		now := func(n string) {
			h.names[n] = append(h.names[n], ids[d.root.entries[n]])
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				n := name.Draw(t, "name")
				if d.root.entries[n] != nil {
					return
				}
				f, err := d.make(d.root, n, syscall.S_IFREG|uint32(len(ids)+1))
				if err != nil {
					t.Fatal(err)
				}
				ids[f] = string(rune(len(ids) + 1))
				h.contents[ids[f]] = [][]byte{nil}
				now(n)
			},
			"write": func(t *rapid.T) {
				f := d.root.entries[name.Draw(t, "name")]
				if f == nil {
					return
				}
				off := rapid.IntRange(0, 2000).Draw(t, "off")
				p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(1, 1200).Draw(t, "size"))
				if _, err := d.write(f, int64(off), p, Fault{}); err != nil {
					t.Fatal(err)
				}
				h.contents[ids[f]] = append(h.contents[ids[f]], slices.Clone(f.data))
			},
			"truncate": func(t *rapid.T) {
				f := d.root.entries[name.Draw(t, "name")]
				if f == nil {
					return
				}
				if err := d.truncate(f, int64(rapid.IntRange(0, 3000).Draw(t, "size"))); err != nil {
					t.Fatal(err)
				}
				h.contents[ids[f]] = append(h.contents[ids[f]], slices.Clone(f.data))
			},
			"rename": func(t *rapid.T) {
				from, to := name.Draw(t, "from"), name.Draw(t, "to")
				if d.root.entries[from] == nil || from == to {
					return
				}
				if err := d.move(d.root, from, d.root, to); err != nil {
					t.Fatal(err)
				}
				now(from)
				now(to)
			},
			"remove": func(t *rapid.T) {
				n := name.Draw(t, "name")
				if d.root.entries[n] == nil {
					return
				}
				if err := d.remove(d.root, n, false); err != nil {
					t.Fatal(err)
				}
				now(n)
			},
			"sync": func(t *rapid.T) {
				f := d.root.entries[name.Draw(t, "name")]
				if f == nil {
					return
				}
				if err := d.sync(f, Fault{}); err != nil {
					t.Fatal(err)
				}
				h.contents[ids[f]] = [][]byte{slices.Clone(f.data)}
			},
			"sync folder": func(t *rapid.T) {
				if err := d.syncDir(d.root, Fault{}); err != nil {
					t.Fatal(err)
				}
				for _, n := range names {
					h.names[n] = []string{ids[d.root.entries[n]]}
				}
			},
		})
		found := d.Cut(rapid.Uint64().Draw(t, "seed"))
		seen := map[string]bool{}
		for _, n := range names {
			id := ""
			if f := found.root.entries[n]; f != nil {
				id = string(rune(f.mode & 0o777))
				h.checkContent(t, id, f.data)
			}
			if !slices.Contains(h.names[n], id) {
				t.Errorf("%s stands for %q; since the last sync it was %q", n, id, h.names[n])
			}
			if id != "" && seen[id] {
				t.Errorf("file %q has two names", id)
			}
			seen[id] = true
		}
	})
}

func (h *history) checkContent(t *rapid.T, id string, data []byte) {
	were := h.contents[id]
	if !slices.ContainsFunc(were, func(b []byte) bool { return len(b) == len(data) }) {
		t.Errorf("file %q has %d bytes, which it never had since its last sync", id, len(data))
	}
	durable := len(were[0])
	for from := 0; from < len(data); from += sector {
		part := data[from:min(from+sector, len(data))]
		ok := slices.ContainsFunc(were, func(b []byte) bool {
			whole := make([]byte, from+sector) // zeros behind its end
			copy(whole, b)
			return bytes.Equal(whole[from:from+len(part)], part)
		})
		// What a file grew over may be junk; where the durable part ends in the
		// middle of a sector, that part is as it was.
		if !ok && from+sector > durable && len(were) > 1 {
			kept := max(durable-from, 0)
			ok = slices.ContainsFunc(were, func(b []byte) bool {
				return len(b) >= from+min(kept, len(part)) && bytes.Equal(b[from:from+min(kept, len(part))], part[:min(kept, len(part))])
			})
		}
		if !ok {
			t.Errorf("file %q: the sector at %d was never so since its last sync", id, from)
		}
	}
}
