package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/wal"
)

// keepLine opens a state folder, makes line n and a receipt durable, and leaves the folder.
// It returns how many bytes of the stream are kept and no gap.
func keepLine(dir string, n int) (kept int64, err error) {
	s, err := wal.Open(wal.Options{Dir: dir, SlotBytes: 64 << 10, MaxBytes: 1 << 20})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	st, err := s.Stream("line")
	if err != nil {
		return 0, err
	}
	st.SetLayout(wal.Layout{PartSize: 1 << 20, Destination: "d"})
	if err := st.Append(makeLine(n), wal.Mark{}); err != nil {
		return 0, err
	}
	err = errors.Join(st.Sync(), s.Receipt(fmt.Appendf(nil, `{"line":%d}`, n)))
	kept = st.Progress().Kept
	s.View(func(state *wal.State) { kept -= state.Stream(st.ID()).GapBytes })
	return kept, err
}

// As a process of its own, the test program keeps a line and says what is kept.
func init() {
	dir, n, ok := strings.Cut(os.Getenv("LAB_KEEP_LINE"), "#")
	if !ok {
		return
	}
	number, err := strconv.Atoi(n)
	kept := int64(0)
	if err == nil {
		kept, err = keepLine(dir, number)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Print(kept)
	os.Exit(0)
}

// keeper is that process.
func keeper(dir string, n int) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("LAB_KEEP_LINE=%s#%d", dir, n))
	return cmd
}

// A killed run leaves names and bytes in the page cache that no sync has
// covered. The next one builds on them, so it must make them durable first.
func TestWhatAKilledRunLeftInTheCacheIsMadeDurableBeforeItIsBuiltOn(t *testing.T) {
	mnt := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mnt, "a", "state")
	for point, through := 1, false; !through; point++ {
		for _, seed := range []uint64{0, powerfs.Worst} {
			var at powerfs.Op
			changes := 0
			disk := powerfs.New(powerfs.Options{Ordered: seed == 0})
			disk.SetHook(func(op powerfs.Op) powerfs.Fault {
				if op.Kind.Changes() && crashClass(strings.TrimPrefix(op.Path, "/a")) != "reserve" {
					if changes++; changes == point {
						at = op
						return powerfs.Fault{Stop: powerfs.Before}
					}
				}
				return powerfs.Fault{}
			})
			m, err := disk.Mount(mnt)
			if err != nil {
				t.Fatal(err)
			}
			if through, err = killedAt(t, keeper(dir, 1), disk); err != nil {
				t.Errorf("the first run: %v", err)
			}
			kept := keptBy(t, keeper(dir, 2))
			found := disk.Cut(seed)
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
			if m, err = found.Mount(mnt); err != nil {
				t.Fatal(err)
			}
			if again := keptBy(t, keeper(dir, 3)); again != kept+lineSize {
				t.Errorf("killed before operation %d (%v %s), seed %d, then cut: %d bytes and one more line were kept, there are %d", point, at.Kind, at.Path, seed, kept, again)
			}
			if err := m.Unmount(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// killedAt runs cmd and kills it when the disk stops. It says whether it ended
// before that, and how.
func killedAt(t *testing.T, cmd *exec.Cmd, disk *powerfs.Disk) (through bool, err error) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		disk.SetHook(nil)
		return true, err
	case <-disk.Stopped():
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	disk.SetHook(nil)
	disk.Resume()
	<-ended // killed
	return false, nil
}

func keptBy(t *testing.T, cmd *exec.Cmd) int64 {
	t.Helper()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("a later run: %v: %s", err, said.String())
		return -1
	}
	kept, err := strconv.ParseInt(string(out), 10, 64)
	if err != nil {
		t.Error(err)
	}
	return kept
}
