package engine_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

func TestDrainEndsAndSaysWhatHasNoDestinationAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		c := small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log)
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Append(t.Context(), "log", []byte("waits")); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		c.Drain = true
		c.Destinations = []engine.Destination{{Name: "other", To: c.Destinations[0].To}}
		c.Streams[0].Destination = "other"
		if e, err = engine.New(c); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		told := strings.Join(e.Status().Notes, "\n")
		if !strings.Contains(told, `there is no destination "disk" any more, for which 1 object of stream "log" with 5 bytes wait`) || !strings.Contains(log.String(), "there is no destination") {
			t.Errorf("status notes %q, log %s", told, log.String())
		}
		if err := e.Run(ctx); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), `"disk"`) {
			t.Errorf("drain: %v", err)
		}
	})
}

// A config may take a stream or a destination away while bytes wait: it is said
// of what, how much and where, whether an engine is at work or not, and nothing
// is written for it.
func TestCheckPendingSaysWhatAConfigLeavesBehind(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	c := small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log)
	other := c.Streams[0]
	other.Name = "gps"
	c.Streams = append(c.Streams, other)
	c.Spool.MaxBytes = 48 << 20
	if err := engine.CheckPending(c); err != nil {
		t.Errorf("without a state folder: %v", err)
	}
	e, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range []string{"one", "three"} {
		if err := errors.Join(e.Append(t.Context(), "log", []byte(rec)), e.Flush(t.Context(), "log")); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(e.Append(t.Context(), "gps", []byte("open")), e.Sync(t.Context(), "gps")); err != nil {
		t.Fatal(err)
	}
	streams, destinations := c, c
	streams.Streams = c.Streams[:1]
	destinations.Destinations = []engine.Destination{{Name: "other", To: c.Destinations[0].To}}
	for at := range 2 { // beside an engine, and after it
		before := folder(t, c.StateDir)
		if err := engine.CheckPending(c); err != nil {
			t.Errorf("of the same config: %v", err)
		}
		for _, tt := range []struct {
			cfg  engine.Config
			want []string
		}{
			{streams, []string{`streams: there is no stream "gps" any more, of which 1 object with 4 bytes wait for destination "disk" in ` + c.StateDir}},
			{destinations, []string{`destinations: there is no destination "disk" any more, for which 2 objects of stream "log" with 8 bytes wait in ` + c.StateDir,
				`destinations: there is no destination "disk" any more, for which 1 object of stream "gps" with 4 bytes wait in ` + c.StateDir}},
		} {
			err := engine.CheckPending(tt.cfg)
			if err == nil || strings.Count(err.Error(), "configure it again") != len(tt.want) {
				t.Errorf("%d: got %v, want %q", at, err, tt.want)
				continue
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%d: got %v, want %q", at, err, want)
				}
			}
		}
		if !maps.Equal(before, folder(t, c.StateDir)) {
			t.Error("the state folder is not as it was")
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// folder returns what is in the files of a folder, and when they were written.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		files[path] = fmt.Sprintf("%v %x", fi.ModTime(), sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A card that was put into other hardware goes on there: what waits keeps the keys
// that it would have had, and new bytes get those of a new epoch.
func TestACardInOtherHardwareBeginsANewEpochAndArchivesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		out := filepath.Join(dir, "archive")
		var log strings.Builder
		c := small(dir, newLocal(t, out), engine.Block, &log)
		work := func(machine string, records ...string) (epoch string) {
			t.Helper()
			defer engine.SetMachine(machine)()
			e, err := engine.New(c)
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range records {
				if err := errors.Join(e.Append(t.Context(), "log", []byte(rec)), e.Flush(t.Context(), "log")); err != nil {
					t.Fatal(err)
				}
			}
			if rec := "open " + machine; !c.Drain { // in an object that is not ended
				if err := errors.Join(e.Append(t.Context(), "log", []byte(rec)), e.Sync(t.Context(), "log")); err != nil {
					t.Fatal(err)
				}
			}
			s := e.Status()
			if told := strings.Contains(strings.Join(s.Notes, "\n"), "other hardware; new bytes go on under the new epoch "+s.Streams[0].Epoch); told != (machine == "second") {
				t.Errorf("%s: notes %q", machine, s.Notes)
			}
			if c.Drain {
				err = e.Run(t.Context())
			} else {
				err = e.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			return s.Streams[0].Epoch
		}
		old := work("first", "a", "b")
		card := filepath.Join(dir, "card")
		if err := os.CopyFS(card, os.DirFS(c.StateDir)); err != nil {
			t.Fatal(err)
		}
		c.Drain = true
		if again := work("first", "c"); again != old { // it goes on in the first device too, which adds to the open object
			t.Errorf("epoch %s became %s on the same hardware", old, again)
		}
		c.StateDir = card
		fresh := work("second", "d", "e")
		if fresh == old {
			t.Errorf("the epoch is %s still", old)
		}
		if !strings.Contains(log.String(), "made on other hardware") {
			t.Errorf("log: %s", log.String())
		}
		var receipts []engine.Receipt // of the second
		err := engine.ReadReceipts(card, func(r engine.Receipt) error {
			receipts = append(receipts, r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sort.Slice(receipts, func(i, j int) bool { return receipts[i].Start < receipts[j].Start })
		got := map[string]string{} // by epoch
		for _, r := range receipts {
			b, err := os.ReadFile(filepath.Join(out, r.Key))
			if err != nil || !strings.Contains(r.Key, r.Epoch) || r.InDoubt != "" {
				t.Errorf("%+v: %v", r, err)
			}
			if r.Epoch != old && r.Epoch != fresh && r.Follows == old {
				r.Epoch = "another" // the first took the key of the open object, with other bytes
			}
			got[r.Epoch] += string(b)
		}
		if want := map[string]string{old: "ab", "another": "open first", fresh: "de"}; !maps.Equal(got, want) {
			t.Errorf("archived %q, want %q", got, want)
		}
		audit, err := engine.AuditArchive(t.Context(), c.Destinations[0].To, engine.AuditSelection{})
		if err != nil || audit.Err() != nil || len(audit.Series) != 3 {
			t.Errorf("audit: %v, %v: %+v", err, audit.Err(), audit.Series)
		}
	})
}
