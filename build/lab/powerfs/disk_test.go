package powerfs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A script does things to a disk as the kernel would, and fails its test on an error.
type script struct {
	t testing.TB
	d *Disk
}

func (s script) node(at string) *node {
	s.t.Helper()
	n := s.d.root
	for _, name := range strings.FieldsFunc(at, func(r rune) bool { return r == '/' }) {
		if n = n.entries[name]; n == nil {
			s.t.Fatalf("%s is not there", at)
		}
	}
	return n
}

func (s script) split(at string) (*node, string) {
	i := strings.LastIndexByte(at, '/')
	return s.node(at[:i+1]), at[i+1:]
}

func (s script) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s script) mkdir(at string) {
	s.t.Helper()
	dir, name := s.split(at)
	_, err := s.d.make(dir, name, syscall.S_IFDIR|0o700)
	s.must(err)
}

func (s script) create(at string) {
	s.t.Helper()
	dir, name := s.split(at)
	_, err := s.d.make(dir, name, syscall.S_IFREG|0o600)
	s.must(err)
}

func (s script) write(at string, off int64, text string) {
	s.t.Helper()
	_, err := s.d.write(s.node(at), off, []byte(text), Fault{})
	s.must(err)
}

func (s script) rename(from, to string) {
	s.t.Helper()
	a, old := s.split(from)
	b, name := s.split(to)
	s.must(s.d.move(a, old, b, name))
}

func (s script) remove(at string) {
	s.t.Helper()
	dir, name := s.split(at)
	s.must(s.d.remove(dir, name, dir.entries[name].isDir()))
}

func (s script) sync(at string) {
	s.t.Helper()
	if n := s.node(at); n.isDir() {
		s.must(s.d.syncDir(n, Fault{}))
	} else {
		s.must(s.d.sync(n, Fault{}))
	}
}

// list returns the disk as "/a=text /b/", files with their contents.
func list(d *Disk) string {
	var out []string
	for _, f := range d.Files() {
		if f.Mode.IsDir() {
			out = append(out, f.Path+"/")
		} else {
			out = append(out, fmt.Sprintf("%s=%s", f.Path, f.Data))
		}
	}
	return strings.Join(out, " ")
}

// outcomes does the same to many disks, cuts each with another seed, and
// returns what was found, without doubles.
func outcomes(t testing.TB, o Options, do func(script)) []string {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		s := script{t, New(o)}
		do(s)
		seen[list(s.d.Cut(seed))] = true
	}
	var all []string
	for s := range seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func TestACutLeavesWhatPOSIXLeaves(t *testing.T) {
	old := func(s script) {
		s.create("/a")
		s.write("/a", 0, "old")
		s.sync("/a")
		s.sync("/")
	}
	tests := []struct {
		name            string
		do              func(script)
		strict, ordered []string // all outcomes, sorted
	}{
		{"a file and its folder are synced", old, []string{"/a=old"}, []string{"/a=old"}},
		{"a new file without its folder", func(s script) {
			s.create("/a")
			s.write("/a", 0, "new")
			s.sync("/a")
		}, []string{"", "/a=new"}, []string{"/a=new"}},
		{"a name without its bytes", func(s script) {
			s.create("/a")
			s.write("/a", 0, "new")
			s.sync("/")
		}, []string{"/a=", "/a=\x00\x00\x00", "/a=new"}, []string{"/a=", "/a=\x00\x00\x00", "/a=new"}},
		{"written over", func(s script) {
			old(s)
			s.write("/a", 0, "one")
			s.write("/a", 0, "two")
		}, []string{"/a=old", "/a=one", "/a=two"}, []string{"/a=old", "/a=one", "/a=two"}},
		{"truncated", func(s script) {
			old(s)
			s.must(s.d.truncate(s.node("/a"), 1))
		}, []string{"/a=o", "/a=o\x00\x00", "/a=old"}, []string{"/a=o", "/a=o\x00\x00", "/a=old"}},
		{"renamed over", func(s script) {
			old(s)
			s.create("/b")
			s.write("/b", 0, "new")
			s.sync("/b")
			s.rename("/b", "/a")
		}, []string{"/a=new", "/a=old", "/a=old /b=new"}, []string{"/a=new", "/a=old /b=new"}},
		{"renamed over, and the folder is synced", func(s script) {
			old(s)
			s.create("/b")
			s.write("/b", 0, "new")
			s.sync("/b")
			s.rename("/b", "/a")
			s.sync("/")
		}, []string{"/a=new"}, []string{"/a=new"}},
		{"removed", func(s script) {
			old(s)
			s.remove("/a")
		}, []string{"", "/a=old"}, []string{"", "/a=old"}},
		{"two new folders", func(s script) {
			s.mkdir("/a")
			s.mkdir("/b")
		}, []string{"", "/a/", "/a/ /b/", "/b/"}, []string{"", "/a/", "/a/ /b/"}},
		{"a folder whose own name is not synced", func(s script) {
			s.mkdir("/d")
			s.create("/d/a")
			s.sync("/d/a")
			s.sync("/d")
		}, []string{"", "/d/ /d/a="}, []string{"/d/ /d/a="}},
		{"moved to another folder, and one of the two is synced", func(s script) {
			s.mkdir("/d")
			s.create("/a")
			s.sync("/")
			s.rename("/a", "/d/a")
			s.sync("/d")
		}, []string{"/d/ /d/a="}, []string{"/d/ /d/a="}},
		{"a sync takes the earlier changes of its names along", func(s script) {
			s.mkdir("/d")
			s.create("/a")
			s.rename("/a", "/d/a")
			s.sync("/d")
			s.sync("/")
		}, []string{"/d/ /d/a="}, []string{"/d/ /d/a="}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clean := func(all []string) (kept []string) { // without those that hold junk
				for _, s := range all {
					if !strings.ContainsFunc(s, func(r rune) bool { return r != 0 && (r < ' ' || r > '~') }) && (!strings.Contains(s, "=") || known(s)) {
						kept = append(kept, s)
					}
				}
				return kept
			}
			if got := clean(outcomes(t, Options{}, tt.do)); !slices.Equal(got, tt.strict) {
				t.Errorf("strict: got %q, want %q", got, tt.strict)
			}
			if got := clean(outcomes(t, Options{Ordered: true}, tt.do)); !slices.Equal(got, tt.ordered) {
				t.Errorf("ordered: got %q, want %q", got, tt.ordered)
			}
		})
	}
}

// known says that each content in a listing is one that was written, cut short
// or with zeros; others are the junk of blocks that were never written.
func known(s string) bool {
	for _, f := range strings.Fields(s) {
		if _, text, is := strings.Cut(f, "="); is && !slices.Contains([]string{"", "old", "new", "one", "two", "o", "o\x00\x00", "\x00\x00\x00"}, text) {
			return false
		}
	}
	return true
}

func TestSectorsSurviveEachForItself(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		s := script{t, New(Options{})}
		s.create("/a")
		s.write("/a", 0, strings.Repeat("-", 3*sector))
		s.sync("/a")
		s.sync("/")
		s.write("/a", 0, strings.Repeat("+", 3*sector))
		b := s.d.Cut(seed).Files()[0].Data
		var which string
		for i := range 3 {
			part := b[i*sector : (i+1)*sector]
			if n := bytes.Count(part, part[:1]); n != sector {
				t.Fatalf("seed %d: sector %d is torn within itself", seed, i)
			}
			which += string(part[:1])
		}
		seen[which] = true
	}
	if got, want := len(seen), 8; got != want {
		t.Errorf("got %d of the %d mixtures of three sectors: %v", got, want, seen)
	}
}

func TestASyncThatFailedCoversNothingThenOrLater(t *testing.T) {
	got := outcomes(t, Options{}, func(s script) {
		s.create("/a")
		s.write("/a", 0, "old")
		s.sync("/a")
		s.sync("/")
		s.write("/a", 0, "new")
		if err := s.d.sync(s.node("/a"), Fault{Err: syscall.EIO}); err != syscall.EIO {
			t.Fatalf("got %v, want EIO", err)
		}
		if got := string(s.node("/a").data); got != "new" {
			t.Fatalf("processes see %q, want new", got)
		}
		s.sync("/a")
		s.d.rand.Uint64()
	})
	// The disk's own seed decides what the failed sync left: with seed 0 always the same.
	if len(got) != 1 {
		t.Errorf("got %q, want one outcome", got)
	}
	seen := map[string]bool{}
	for seed := range uint64(100) {
		for _, o := range outcomesOnce(t, Options{Seed: seed}) {
			seen[o] = true
		}
	}
	if !seen["/a=old"] || !seen["/a=new"] {
		t.Errorf("got %v, want old and new both", seen)
	}
}

func outcomesOnce(t *testing.T, o Options) []string {
	s := script{t, New(o)}
	s.create("/a")
	s.write("/a", 0, "old")
	s.sync("/a")
	s.sync("/")
	s.write("/a", 0, "new")
	_ = s.d.sync(s.node("/a"), Fault{Err: syscall.EIO})
	s.sync("/a")
	return []string{list(s.d.Cut(0))}
}

func TestWithTheWorstSeedOnlyWhatWasSyncedIsLeft(t *testing.T) {
	s := script{t, New(Options{})}
	s.create("/a")
	s.write("/a", 0, "old")
	s.sync("/a")
	s.sync("/")
	s.write("/a", 0, "new and longer")
	s.rename("/a", "/b")
	s.create("/c")
	if got, want := list(s.d.Cut(Worst)), "/a=old"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASkippedSyncCoversNothing(t *testing.T) {
	got := outcomes(t, Options{}, func(s script) {
		s.create("/a")
		s.must(s.d.syncDir(s.d.root, Fault{Skip: true}))
	})
	if want := []string{"", "/a="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheSameSeedLeavesTheSameDisk(t *testing.T) {
	do := func(seed uint64) string {
		s := script{t, New(Options{})}
		for i := range 20 {
			at := fmt.Sprintf("/%d", i)
			s.create(at)
			s.write(at, 0, strings.Repeat(at, 1000))
		}
		return list(s.d.Cut(seed))
	}
	for seed := range uint64(20) {
		if first, again := do(seed), do(seed); first != again {
			t.Errorf("seed %d: two cuts differ", seed)
		}
	}
}

func TestADiskThatOthersFillTakesOnlyWhatWasFreed(t *testing.T) {
	s := script{t, New(Options{})}
	s.create("/a")
	s.write("/a", 0, strings.Repeat("x", 900))
	s.d.SetHook(func(op Op) Fault { return Fault{Full: op.Kind == List} })
	if err := s.d.do(Op{Kind: List, Path: "/"}, func(Fault) error { return nil }); err != nil {
		t.Fatal(err)
	}
	s.create("/b")
	if _, err := s.d.write(s.node("/b"), 0, make([]byte, 1), Fault{}); err != syscall.ENOSPC {
		t.Errorf("got %v, want ENOSPC", err)
	}
	s.write("/a", 0, strings.Repeat("y", 900)) // it has its blocks
	s.remove("/a")
	s.write("/b", 0, strings.Repeat("x", 900))
	s.d.MakeRoom()
	s.write("/b", 900, strings.Repeat("x", 900))
}

func TestAFullDiskTakesNoMore(t *testing.T) {
	s := script{t, New(Options{Bytes: 1000})}
	s.create("/a")
	s.write("/a", 0, strings.Repeat("x", 900))
	s.create("/b")
	if _, err := s.d.write(s.node("/b"), 0, make([]byte, 101), Fault{}); err != syscall.ENOSPC {
		t.Errorf("got %v, want ENOSPC", err)
	}
	s.remove("/a")
	s.write("/b", 0, strings.Repeat("x", 1000))
}
