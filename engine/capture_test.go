package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/haltest"
	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/wal"
)

// cramped starts to capture src with the memory for unsynced bytes used up by
// others and nobody to make room, then stops it.
func cramped(t *testing.T, src *haltest.Script) *Engine {
	t.Helper()
	e := filled(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { e.streams[1].capture(ctx); close(done) }()
	synctest.Wait()
	cancel()
	<-done
	return e
}

// filled has 600 bytes of memory left for what is captured from src.
func filled(t *testing.T, src *haltest.Script) *Engine {
	t.Helper()
	out := filepath.Join(t.TempDir(), "archive")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	to, err := local.New(local.Config{Path: out})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{StateDir: filepath.Join(t.TempDir(), "state"), Device: "gw",
		Spool: Spool{MaxBytes: 48 << 20, MinFree: -1, WhenFull: DropOldest},
		Streams: []Stream{{Name: "hog", Destination: "disk", Object: Object{MaxBytes: 8 << 20}},
			{Name: "log", Source: src, Framing: hal.Framing{Kind: "lines"}, Destination: "disk", Object: Object{MaxBytes: 8 << 20}}},
		Destinations: []Destination{{Name: "disk", To: to}}})
	if err != nil {
		t.Fatal(err)
	}
	// The stream's own floor is used up first, then all that the others leave.
	if err := e.streams[1].append(append(make([]byte, 65_000), '\n'), wal.Mark{PosID: 1}); err != nil {
		t.Fatal(err)
	}
	for left := memoryBytes - 65_001 - 600; left > 0; left -= min(left, 100_000) {
		if err := e.streams[0].append(make([]byte, min(left, 100_000)), wal.Mark{}); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// lines are records of such lengths.
func lines(lengths ...int) string {
	var b strings.Builder
	for i, n := range lengths {
		fmt.Fprintf(&b, "%0*d\n", n-1, i)
	}
	return b.String()
}

func TestARecordThatWaitsAtShutdownIsNotPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := lines(100, 1000, 50, 60, 70)
		src := &haltest.Script{CanWait: true, Steps: []haltest.Step{haltest.Bytes(text + "half a li")}}
		e := cramped(t, src)
		defer e.Close()
		if got, want := e.streams[1].wal.Progress().Appended, int64(65_001+len(text)+len("half a li")); got != want {
			t.Errorf("%d of %d bytes read were taken in", got, want)
		}
	})
}

// gap returns what the journal counts as lost of the captured stream.
func gap(e *Engine) (gap int64) {
	e.store.View(func(s *wal.State) { gap = s.Stream(e.streams[1].wal.ID()).GapBytes })
	return gap
}

func TestALossBehindWhichTheSourceIsQuietIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := filled(t, &haltest.Script{Steps: []haltest.Step{haltest.Bytes(lines(100, 1000))}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{}, 2)
		go func() { e.streams[1].capture(ctx); done <- struct{}{} }()
		synctest.Wait() // the longer one is lost
		if err := e.streams[0].sync(ctx); err != nil {
			t.Fatal(err)
		}
		go func() { e.streams[1].keep(ctx); done <- struct{}{} }()
		time.Sleep(gapSpacing + 5*time.Second)
		synctest.Wait()
		if s := e.Status().Streams[1]; gap(e) != 1000 || s.GapBytes != 1000 || s.Gaps != 1 || s.Kept != s.Appended {
			t.Errorf("the journal counts %d bytes, want 1000; status %+v", gap(e), s)
		}
		cancel()
		<-done
		<-done
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestALossBehindWhichDrayIsStoppedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := cramped(t, &haltest.Script{Steps: []haltest.Step{haltest.Bytes(lines(100, 1000))}})
		if err := e.streams[1].wal.Sync(); err != nil { // as Run does it
			t.Fatal(err)
		}
		if got := gap(e); got != 1000 {
			t.Errorf("the journal counts %d bytes, want 1000", got)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAFollowedFileGoesOnWhereAShutdownLeftIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := lines(100, 1000, 50, 60, 70)
		src := &haltest.Script{CanWait: true, Seeks: true, Steps: []haltest.Step{haltest.Bytes(text + "half a li")}}
		e := cramped(t, src)
		defer e.Close()
		p := e.streams[1].wal.Progress()
		if taken := p.Appended - 65_001; p.PosOff != taken {
			t.Errorf("%d bytes of the file were taken in, the next run goes on at %d", taken, p.PosOff)
		}
	})
}

// Nothing in the bytes says where a record of fixed size begins, so a pipe that
// was taken for adrift would be so for ever.
func TestAPipeOfFixedRecordsIsReadOnAfterItsWriterLeftAndAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := filepath.Join(t.TempDir(), "state")
		begin := func(src *haltest.Script) *Engine {
			to, err := local.New(local.Config{Path: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			e, err := New(Config{StateDir: state, Device: "gw", Spool: Spool{MaxBytes: 24 << 20, MinFree: -1},
				Streams:      []Stream{{Name: "log", Source: src, Framing: hal.Framing{Kind: "fixed", Size: 4}, Destination: "disk", Object: Object{MaxBytes: 8 << 20}}},
				Destinations: []Destination{{Name: "disk", To: to}}})
			if err != nil {
				t.Fatal(err)
			}
			e.streams[0].capture(t.Context())
			if err := e.streams[0].wal.Sync(); err != nil {
				t.Fatal(err)
			}
			src.Done(t)
			return e
		}
		e := begin(&haltest.Script{CanWait: true, Steps: []haltest.Step{haltest.Bytes("aaaabb"), haltest.Unplug(os.ErrClosed), haltest.Bytes("ccccdddd"), haltest.EOF()}})
		if got := e.streams[0].wal.Progress().Appended; got != 12 {
			t.Errorf("%d bytes were taken in, want 12", got)
		}
		if err := e.Close(); err != nil { // not the end of a Run: as after a kill
			t.Fatal(err)
		}
		e = begin(&haltest.Script{CanWait: true, Steps: []haltest.Step{haltest.Bytes("eeeeffff"), haltest.EOF()}})
		if got := e.streams[0].wal.Progress().Appended; got != 20 {
			t.Errorf("after a kill: %d bytes were taken in, want 20", got)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
