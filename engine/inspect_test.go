package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// That an object is let go is durable with the next fact that has to be. What a
// kill leaves before that has its receipt, and waits for nothing.
func TestWhatHasItsReceiptIsNotShownAsWaitingBehindAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		e, err := engine.New(small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log))
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		if err := e.Append(t.Context(), "log", []byte("some words\n")); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		killed := filepath.Join(dir, "killed")
		if err := os.CopyFS(killed, os.DirFS(filepath.Join(dir, "state"))); err != nil {
			t.Fatal(err)
		}
		stop()
		r, err := engine.Inspect(killed)
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Streams[0]; len(r.Objects) != 0 || r.Receipts != 1 || s.Waiting != 0 || s.Archived != s.Kept || s.Kept != 11 {
			t.Errorf("%d receipts, objects %+v, stream %+v", r.Receipts, r.Objects, s)
		}
	})
}

// A folder whose journal is gone is anything but good: its slots hold bytes that
// nobody speaks of.
func TestInspectSaysThatSlotsHaveNoJournal(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	e, err := engine.New(small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Append(t.Context(), "log", []byte("some words\n")), e.Sync(t.Context(), "log"), e.Close()); err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(dir, "state", "journal")
	if err := errors.Join(os.RemoveAll(journal), os.Mkdir(journal, 0o700)); err != nil {
		t.Fatal(err)
	}
	r, err := engine.Inspect(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := errors.Join(r.ReadAll(), r.WriteText(&out)); err != nil {
		t.Fatal(err)
	}
	if said := out.String(); strings.Contains(said, "good") || !strings.Contains(said, "its journal is gone") {
		t.Errorf("it says\n%s", said)
	}
}
