package engine_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

func TestAnEngineThatHasEndedTakesNothingIn(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	c := small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log)
	for _, end := range []struct {
		name string
		end  func(*engine.Engine) error
	}{
		{"closed", (*engine.Engine).Close},
		{"run", func(e *engine.Engine) error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return e.Run(ctx)
		}},
	} {
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Append(t.Context(), "log", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := end.end(e); err != nil {
			t.Errorf("%s: %v", end.name, err)
		}
		// The next engine holds the folder: the old one must not touch it.
		next, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Append(t.Context(), "log", []byte("y")); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: append: %v", end.name, err)
		}
		if err := e.Sync(t.Context(), "log"); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: sync: %v", end.name, err)
		}
		if err := e.Flush(t.Context(), ""); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: flush: %v", end.name, err)
		}
		if err := e.Run(t.Context()); err == nil {
			t.Errorf("%s: it could be run again", end.name)
		}
		if got := e.Status().Streams[0].Name; got != "log" {
			t.Errorf("%s: status of %q", end.name, got)
		}
		if err := errors.Join(e.Close(), next.Close()); err != nil {
			t.Errorf("%s: %v", end.name, err)
		}
	}
}

func TestCloseIsRefusedWhileRunIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		e, err := engine.New(small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log))
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		synctest.Wait()
		if err := e.Close(); err == nil {
			t.Errorf("Close pulled the state folder from under Run")
		}
		stop()
	})
}

func TestEveryRecordThatAppendTookInIsKeptWhenRunReturns(t *testing.T) {
	for range 5 {
		dir := t.TempDir()
		var log strings.Builder
		c := small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log)
		c.Spool.MaxBytes = 1 << 30
		c.Streams[0].Object.PartSize = 1 << 20
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		taken, begun := int64(0), make(chan struct{}, 100)
		for range 4 {
			wg.Go(func() {
				for e.Append(t.Context(), "log", []byte("twelve bytes")) == nil {
					mu.Lock()
					taken += 12
					mu.Unlock()
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		stop := run(t, e)
		for range 50 {
			<-begun
		}
		stop()
		wg.Wait()
		e, err = engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Status().Streams[0].Kept; got != taken {
			t.Errorf("kept %d of %d bytes", got, taken)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Streams that have not enough bytes for a sync must not fill the memory that
// they share until the longest interval is over.
func TestManySlowStreamsDoNotWaitForEachOthersIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		c := small(dir, newLocal(t, filepath.Join(dir, "archive")), engine.Block, &log)
		c.Spool.MaxBytes = 120 << 20
		c.Streams[0].Object.PartSize = 1 << 20
		c.Streams[0].Sync = engine.Sync{Interval: time.Hour, Bytes: 1 << 20}
		for _, name := range []string{"b", "c", "d", "e"} {
			c.Streams = append(c.Streams, c.Streams[0])
			c.Streams[len(c.Streams)-1].Name = name
		}
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		begun := time.Now()
		rec := make([]byte, 1000)
		for range 900 {
			for _, s := range c.Streams {
				if err := e.Append(t.Context(), s.Name, rec); err != nil {
					t.Fatal(err)
				}
			}
		}
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("4.5 MB waited %v for memory", waited)
		}
		stop()
	})
}

func TestRunSaysWhatCouldNotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		to := &away{Destination: newLocal(t, filepath.Join(dir, "archive")), down: true}
		e, err := engine.New(small(dir, to, engine.Block, &log))
		if err != nil {
			t.Fatal(err)
		}
		rec := make([]byte, 1<<20)
		for i := 0; err == nil; i++ {
			if err = e.Append(t.Context(), "log", rec); err != nil {
				t.Fatal(err)
			}
			err = e.Sync(t.Context(), "log")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Run(ctx); err == nil {
			t.Errorf("Run returned nil, and a record was not kept")
		}
	})
}
