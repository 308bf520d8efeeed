package engine_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// For the race detector, and against deadlocks: all methods from many
// goroutines, while the spool is full at times and Run ends.
func TestAllMethodsCanBeCalledTogetherUntilAndAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		to := &away{Destination: newLocal(t, filepath.Join(dir, "archive"))}
		c := small(dir, to, engine.DropOldest, &log)
		c.Streams[0].Object.MaxAge, c.Streams[0].Object.PartSize = 20*time.Second, 1<<20
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var callers sync.WaitGroup
		for i := range 3 {
			rec := make([]byte, 50_000+i)
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error { return e.Append(ctx, "log", rec) },
				func(ctx context.Context) error { return e.Sync(ctx, "log") },
				func(ctx context.Context) error { return e.Flush(ctx, "") },
				func(context.Context) error { e.Status(); return nil },
				func(context.Context) error { return e.Close() },
			} {
				callers.Go(func() {
					for range 200 {
						time.Sleep(time.Second)
						short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						_ = call(short) // it may be full, or over; it must come back
						cancel()
					}
				})
			}
		}
		if err := e.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		callers.Wait()
		if s := e.Status().Streams[0]; s.Appended != s.Kept {
			t.Errorf("kept %d of %d", s.Kept, s.Appended)
		}
	})
}
