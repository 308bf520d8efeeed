package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/wal"
)

// A sync that failed leaves bytes that can be read and look clean, and are not
// on flash. A run that is killed then tells the next one nothing of it: that
// one must look at flash itself, since to sync them would do nothing.
func TestWhatAFailedSyncLeftInTheCacheIsNotBuiltOn(t *testing.T) {
	mnt := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mnt, "state")
	for point, through := 1, false; !through; point++ {
		for seed := range uint64(4) { // of what the failed sync leaves on flash
			var failed powerfs.Op
			syncs := 0
			disk := powerfs.New(powerfs.Options{Ordered: point%2 == 0, Seed: seed})
			disk.SetHook(func(op powerfs.Op) powerfs.Fault {
				switch {
				case failed.Path != "" && op.Kind.Changes():
					return powerfs.Fault{Stop: powerfs.Before}
				case op.Kind == powerfs.Sync:
					if syncs++; syncs == point {
						failed = op
						return powerfs.Fault{Err: syscall.EIO}
					}
				}
				return powerfs.Fault{}
			})
			m, err := disk.Mount(mnt)
			if err != nil {
				t.Fatal(err)
			}
			ended, err := killedAt(t, keeper(dir, 1), disk)
			if through = ended && failed.Path == ""; through && err != nil {
				t.Errorf("the first run: %v", err)
			}
			kept := keptBy(t, keeper(dir, 2))
			found := disk.Cut(powerfs.Worst)
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
			if m, err = found.Mount(mnt); err != nil {
				t.Fatal(err)
			}
			if again := keptBy(t, keeper(dir, 3)); again != kept+lineSize {
				t.Errorf("the sync of %s failed, then a kill, then a cut: %d bytes and one more line were kept, there are %d", failed.Path, kept, again)
			}
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A disk that cannot read past its cache after all, or has a bad block beside
// what is asked for, hides nothing of what is kept.
func TestWhatCanBeReadOnlyInPartOrFromTheCacheIsFound(t *testing.T) {
	for name, refuses := range map[string]func(op powerfs.Op) syscall.Errno{
		"no direct reads": func(op powerfs.Op) syscall.Errno {
			if op.Direct {
				return syscall.EINVAL
			}
			return 0
		},
		"a bad block": func(op powerfs.Op) syscall.Errno {
			if strings.HasSuffix(op.Path, ".slot") && op.Offset <= 32<<10 && op.Offset+int64(op.Size) > 32<<10 {
				return syscall.EIO
			}
			return 0
		},
	} {
		mnt := t.TempDir()
		dir := filepath.Join(mnt, "state")
		disk := powerfs.New(powerfs.Options{})
		disk.SetHook(func(op powerfs.Op) powerfs.Fault {
			if op.Kind == powerfs.Read {
				return powerfs.Fault{Err: refuses(op)}
			}
			return powerfs.Fault{}
		})
		m, err := disk.Mount(mnt)
		if err != nil {
			t.Fatal(err)
		}
		for n := 1; n <= 3; n++ {
			if kept := keptBy(t, keeper(dir, n)); kept != int64(n)*lineSize {
				t.Errorf("%s: run %d keeps %d bytes, want %d", name, n, kept, n*lineSize)
			}
		}
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}
}

// Flash has hiccups: what it says wrong once at start-up, and right when it is
// asked again, takes no kept byte and no receipt away.
func TestABitThatIsReadWrongOnceTakesNothingAway(t *testing.T) {
	for point, through := 1, false; !through; point++ {
		mnt := t.TempDir()
		dir := filepath.Join(mnt, "state")
		disk := powerfs.New(powerfs.Options{})
		m, err := disk.Mount(mnt)
		if err != nil {
			t.Fatal(err)
		}
		keptBy(t, keeper(dir, 1))
		var spoiled powerfs.Op
		reads := 0
		disk.SetHook(func(op powerfs.Op) powerfs.Fault {
			if op.Kind == powerfs.Read {
				if reads++; reads == point {
					spoiled = op
					return powerfs.Fault{Spoil: func(p []byte) {
						for i := 40; i < len(p); i += 512 {
							p[i] ^= 0x10
						}
					}}
				}
			}
			return powerfs.Fault{}
		})
		second := keptBy(t, keeper(dir, 2))
		disk.SetHook(nil)
		through = spoiled.Path == ""
		receipts := 0
		err = wal.ReadReceipts(dir, func([]byte) error { receipts++; return nil })
		if third := keptBy(t, keeper(dir, 3)); err != nil || second != 2*lineSize || third != 3*lineSize || receipts != 2 {
			t.Errorf("read %d, of %s at %d, was wrong once: %d and %d bytes are kept, %d receipts (%v)", point, spoiled.Path, spoiled.Offset, second, third, receipts, err)
		}
		if err := m.Unmount(); err != nil {
			t.Fatal(err)
		}
	}
}

// A receipt that cannot be written keeps its object waiting, and its slot from
// being used again: it may use the journal's reserve.
func TestReceiptsAreWrittenOnAFullDisk(t *testing.T) {
	mnt := t.TempDir()
	disk := powerfs.New(powerfs.Options{})
	m, err := disk.Mount(mnt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	s, err := wal.Open(wal.Options{Dir: filepath.Join(mnt, "state"), SlotBytes: 64 << 10, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	full := false
	disk.SetHook(func(op powerfs.Op) powerfs.Fault {
		now := !full && op.Kind == powerfs.Write
		full = full || now
		return powerfs.Fault{Full: now}
	})
	for i := range 200 {
		if err := s.Receipt(fmt.Appendf(nil, `{"number":%d,"text":"%01000d"}`, i, i)); err != nil {
			t.Fatalf("receipt %d: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	lines := 0
	if err := wal.ReadReceipts(filepath.Join(mnt, "state"), func([]byte) error { lines++; return nil }); err != nil || lines != 200 {
		t.Errorf("%d receipts are there, %v; want 200", lines, err)
	}
}
