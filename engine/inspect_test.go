package engine_test

import (
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
