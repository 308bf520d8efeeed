package engine_test

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// What matters less gives way first, though it is newer; within one priority the
// oldest gives way.
func TestAFullSpoolDropsWhatMattersLeastFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var log strings.Builder
		to := &away{Destination: newLocal(t, filepath.Join(dir, "archive")), down: true}
		c := small(dir, to, engine.DropOldest, &log)
		c.Spool.MaxBytes, c.Streams[0].Object.PartSize = 80<<20, 1<<20
		for _, name := range []string{"alarm", "bulk"} {
			s := c.Streams[0]
			s.Name = name
			c.Streams = append(c.Streams, s)
		}
		c.Streams[1].Priority, c.Streams[2].Priority = engine.High, engine.Low
		e, err := engine.New(c)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, e)
		fill := func(stream string, n int) {
			t.Helper()
			for range n {
				if err := e.Append(t.Context(), stream, make([]byte, 900_000)); err != nil {
					t.Fatal(err)
				}
				for tries := 0; e.Flush(t.Context(), stream) != nil; tries++ {
					if tries > 10 {
						t.Fatalf("no room is made: %+v\n%s", e.Status().Spool, log.String())
					}
					time.Sleep(time.Second)
				}
			}
		}
		dropped := func() map[string]int64 {
			list := map[string]int64{}
			for _, s := range e.Status().Streams {
				list[s.Name] = s.GapBytes
			}
			return list
		}
		fill("alarm", 20) // oldest, and most precious
		fill("log", 20)
		fill("bulk", 40)
		if got := dropped(); got["alarm"] != 0 || got["log"] != 0 || got["bulk"] == 0 {
			t.Errorf("a full spool gave up %v; want none but of bulk\n%s", got, log.String())
		}
		fill("log", 40)
		if got := dropped(); got["alarm"] != 0 || got["log"] == 0 {
			t.Errorf("with no more of bulk to be had, it gave up %v; want none of alarm, and of log\n%s", got, log.String())
		}
		stop()
	})
}
