package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// byteAt is what a stream holds at an offset, so that any object can be checked alone.
func byteAt(stream string, off int64) byte {
	x := uint64(off)*0x9e3779b97f4a7c15 + uint64(stream[0])
	return byte(x >> 56)
}

// device drives an engine at random beside a model of what must become of it.
type device struct {
	t     *testing.T
	rand  *rand.Rand
	dir   string
	log   strings.Builder
	links []*unreliable
	full  engine.WhenFull
	e     *engine.Engine
	stop  func()
	at    map[string]int64
}

func (d *device) start() {
	d.t.Helper()
	c := engine.Config{StateDir: filepath.Join(d.dir, "state"), Device: "gw",
		Spool: engine.Spool{MaxBytes: 56 << 20, MinFree: -1, WhenFull: d.full}, Workers: 1 + d.rand.IntN(4),
		Log: slog.New(slog.NewTextHandler(&d.log, nil))}
	for i, to := range d.links {
		name := string(rune('a' + i))
		c.Destinations = append(c.Destinations, engine.Destination{Name: name, To: to})
		c.Streams = append(c.Streams, engine.Stream{Name: name, Destination: name,
			Sync:   engine.Sync{Interval: time.Second, Bytes: 256 << 10},
			Object: engine.Object{MaxBytes: 1 << (18 + d.rand.IntN(5)), MaxAge: time.Hour, PartSize: 1 << (16 + d.rand.IntN(4))}})
	}
	e, err := engine.New(c)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, s := range e.Status().Streams {
		if s.Appended > d.at[s.Name] || s.Kept != s.Appended {
			d.t.Fatalf("stream %s starts at %d, kept %d; %d were appended\n%s", s.Name, s.Appended, s.Kept, d.at[s.Name], d.log.String())
		}
		d.at[s.Name] = s.Appended
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	d.e = e
	d.stop = func() {
		cancel()
		<-done // a full spool may have no place for the last bytes
	}
}

func (d *device) append(stream string, n int) {
	d.t.Helper()
	rec := make([]byte, n)
	for i := range rec {
		rec[i] = byteAt(stream, d.at[stream]+int64(i))
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	switch err := d.e.Append(ctx, stream, rec); {
	case err == nil:
		d.at[stream] += int64(n)
	case !errors.Is(err, context.DeadlineExceeded):
		d.t.Fatal(err)
	}
}

// settle brings all links up and waits until everything is archived.
func (d *device) settle() {
	d.t.Helper()
	for _, l := range d.links {
		l.mu.Lock()
		l.rate = 0
		l.mu.Unlock()
	}
	deadline := time.Now().Add(24 * time.Hour)
	for {
		err := d.e.Flush(d.t.Context(), "")
		s := d.e.Status()
		left := s.Destinations[0].PendingBytes + s.Destinations[1].PendingBytes
		if err == nil && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("stands still: %v\n%+v\n%s", err, s, d.log.String())
		}
		time.Sleep(time.Second)
	}
}

// check proves that the archive and the counted gaps are all that was appended.
func (d *device) check() {
	d.t.Helper()
	status := map[string]engine.StreamStatus{}
	for _, s := range d.e.Status().Streams {
		status[s.Name] = s
	}
	d.stop()
	byStream := map[string][]engine.Receipt{}
	err := engine.ReadReceipts(filepath.Join(d.dir, "state"), func(r engine.Receipt) error {
		byStream[r.Stream] = append(byStream[r.Stream], r)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	for name, list := range byStream {
		sort.Slice(list, func(i, j int) bool { return list[i].Start < list[j].Start })
		var at, gaps int64
		for _, r := range list {
			if r.Start < at {
				d.t.Errorf("%s: receipt of [%d,%d) begins before %d, where the one before it ended", name, r.Start, r.End, at)
			}
			gaps += r.Start - at
			at = r.End
			if r.Dropped != "" {
				gaps += r.Size
				continue
			}
			b, err := os.ReadFile(filepath.Join(d.dir, "archive-"+r.Destination, r.Key))
			if err != nil || int64(len(b)) != r.Size || r.Size != r.End-r.Start {
				d.t.Errorf("%s: object [%d,%d) has %d bytes: %v", name, r.Start, r.End, len(b), err)
			}
			for i := range b {
				if b[i] != byteAt(name, r.Start+int64(i)) {
					d.t.Fatalf("%s: object [%d,%d) differs at its byte %d", name, r.Start, r.End, i)
				}
			}
		}
		gaps += d.at[name] - at
		if s := status[name]; gaps != s.GapBytes || s.Archived != d.at[name] {
			d.t.Errorf("%s: %d bytes of %d are in no object, %d are counted; archived is %d\n%s", name, gaps, d.at[name], s.GapBytes, s.Archived, d.log.String())
		}
	}
	for _, l := range d.links {
		for key := range l.creates {
			uploads, _, err := l.Destination.Find(context.Background(), key)
			if err != nil || len(uploads) != 0 {
				d.t.Errorf("%s: %d uploads left behind: %v", key, len(uploads), err)
			}
		}
	}
}

// Two streams, two links that fail, are down for long and come back, a spool
// that fills up, restarts with other sizes: at the end each byte is in one
// object, or counted.
func TestEachByteIsArchivedOnceOrCountedUnderEveryPolicy(t *testing.T) {
	for _, full := range []engine.WhenFull{engine.Block, engine.DropOldest, engine.DropNewest} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint(full, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &device{t: t, rand: rand.New(rand.NewPCG(seed, 3)), dir: t.TempDir(), full: full, at: map[string]int64{}}
					for _, name := range []string{"a", "b"} {
						d.links = append(d.links, &unreliable{Destination: newLocal(t, filepath.Join(d.dir, "archive-"+name)),
							rand: rand.New(rand.NewPCG(seed, 4)), creates: map[string]int{}})
					}
					d.start()
					for range 30 {
						name := string(rune('a' + d.rand.IntN(2)))
						switch d.rand.IntN(10) {
						case 0, 1, 2, 3, 4:
							for range d.rand.IntN(20) {
								d.append(name, 1+d.rand.IntN(200_000))
							}
						case 5:
							time.Sleep(time.Duration(d.rand.IntN(600)) * time.Second)
						case 6, 7:
							l := d.links[d.rand.IntN(2)]
							l.mu.Lock()
							l.rate = []float64{0, 0.3, 2}[d.rand.IntN(3)]
							l.mu.Unlock()
						case 8:
							if err := d.e.Flush(t.Context(), name); err != nil && !strings.Contains(err.Error(), "full") {
								t.Fatal(err)
							}
						case 9:
							d.stop()
							d.start()
						}
					}
					d.settle()
					d.check()
				})
			})
		}
	}
}
