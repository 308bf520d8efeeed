package engine_test

import (
	"context"
	"path/filepath"
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
		if err := e.Run(ctx); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), `"disk"`) {
			t.Errorf("drain: %v", err)
		}
	})
}
