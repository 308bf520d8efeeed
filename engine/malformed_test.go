package engine

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/haltest"
	"github.com/seed-7270d448/dray/transport/local"
)

// A wrong baud rate makes nothing but bytes that are no record: the operator is
// told, and not with every read.
func TestBytesThatAreNoRecordAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "archive")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		to, err := local.New(local.Config{Path: out})
		if err != nil {
			t.Fatal(err)
		}
		long := strings.Repeat("x", 50) + "\n"
		src := &haltest.Script{CanWait: true, Steps: []haltest.Step{
			haltest.Bytes(long), haltest.Bytes("a\n" + long), haltest.Pause(gapSpacing - time.Second), haltest.Bytes(long),
			haltest.Pause(2 * time.Second), haltest.Bytes(long), haltest.EOF()}}
		var told bytes.Buffer
		e, err := New(Config{StateDir: filepath.Join(t.TempDir(), "state"), Device: "gw", Spool: Spool{MaxBytes: 24 << 20, MinFree: -1},
			Streams:      []Stream{{Name: "s", Source: src, Framing: hal.Framing{Kind: "lines", Max: 20}, Destination: "disk", Object: Object{MaxBytes: 8 << 20}}},
			Destinations: []Destination{{Name: "disk", To: to}}, Log: slog.New(slog.NewTextHandler(&told, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.streams[0].capture(t.Context())
		if got := strings.Count(told.String(), "no record"); got != 2 {
			t.Errorf("it was said %d times, want 2:\n%s", got, &told)
		}
	})
}
