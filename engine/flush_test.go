package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport/local"
	"github.com/seed-7270d448/dray/wal"
)

// A flush takes over what keep would have synced next. Meanwhile keep sees
// nothing that is due, so when the flush fails it must be told to look again.
func TestWhatAFailedFlushLeavesIsSyncedAgainWithoutIt(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "archive")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	to, err := local.New(local.Config{Path: out})
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{StateDir: filepath.Join(dir, "state"), Device: "gw", Spool: Spool{MaxBytes: 24 << 20, MinFree: -1},
		Streams:      []Stream{{Name: "log", Destination: "disk", Object: Object{MaxBytes: 8 << 20}}},
		Destinations: []Destination{{Name: "disk", To: to}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	st := e.streams[0]
	if err := st.append([]byte("a record"), wal.Mark{}); err != nil {
		t.Fatal(err)
	}
	<-st.kick // keep has seen it
	if err := os.RemoveAll(filepath.Join(dir, "state", "spool")); err != nil {
		t.Fatal(err)
	}
	if err := e.Flush(t.Context(), "log"); err == nil {
		t.Fatal("a flush without a spool succeeded")
	}
	if now := time.Now(); st.due(now).After(now.Add(st.cfg.Sync.Interval)) {
		t.Error("what the flush could not sync is not due")
	}
	select {
	case <-st.kick:
	default:
		t.Error("keep was not told")
	}
}
