package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

// spoil flips a bit of what the spool holds at the record.
func spoil(t *testing.T, state string, record []byte) {
	t.Helper()
	slots, err := filepath.Glob(filepath.Join(state, "spool", "*.slot"))
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		b, err := os.ReadFile(slot)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, record); at >= 0 {
			b[at] ^= 1
			if err := os.WriteFile(slot, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no slot holds %q", record)
}

// rotRecord is a record of 1,000 bytes that no other is equal to.
func rotRecord(i int) []byte {
	return append(bytes.Repeat([]byte{'.'}, 980), fmt.Appendf(nil, "%06d of the records\n", i)...)[:1000]
}

// Bytes that rot in an object that waits become a counted gap by themselves: what
// is before and behind them is archived, and a drain ends. Twelve records are a
// sync, so a frame; an object has 120, and a part 40.
func TestRotInAnObjectThatWaitsIsACountedGap(t *testing.T) {
	for _, c := range []struct {
		name     string
		partSize int64
		began    int   // parts stored when the bytes rot
		bad      []int // records
		lost     int64 // bytes
		pieces   int   // objects archived
	}{
		{"in the middle of a put", 1 << 20, 0, []int{60}, 12_000, 2},
		{"at its start", 1 << 20, 0, []int{0}, 12_000, 1},
		{"at its end", 1 << 20, 0, []int{119}, 12_000, 1},
		{"twice", 1 << 20, 0, []int{14, 100}, 24_000, 3},
		{"in two frames one behind the other", 1 << 20, 0, []int{24, 36}, 24_000, 2},
		{"all of it", 1 << 20, 0, []int{0, 12, 24, 36, 48, 60, 72, 84, 96, 108}, 120_000, 0},
		{"in the last part of an upload", 40_000, 1, []int{100}, 12_000, 2},
		{"in a part stored already", 40_000, 1, []int{5}, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rotWaits(t, c.partSize, c.began, c.bad, c.lost, c.pieces) })
		})
	}
}

func rotWaits(t *testing.T, partSize int64, began int, bad []int, lost int64, pieces int) {
	dir := t.TempDir()
	var log strings.Builder
	to := &partial{away: away{Destination: newLocal(t, filepath.Join(dir, "archive")), down: began == 0}, parts: began}
	c := small(dir, to, engine.Block, &log)
	c.Streams[0].Object.PartSize = partSize
	c.Workers = 1
	e, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, e)
	var want []byte
	add := func(from, n int) {
		t.Helper()
		for i := from; i < from+n; i++ {
			want = append(want, rotRecord(i)...)
			if err := e.Append(t.Context(), "log", rotRecord(i)); err != nil {
				t.Fatal(err)
			}
			if i%12 == 11 {
				if err := e.Sync(t.Context(), "log"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := e.Flush(t.Context(), "log"); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 120)
	add(120, 12)
	time.Sleep(time.Minute)
	synctest.Wait()
	stop()
	for _, i := range bad {
		spoil(t, c.StateDir, rotRecord(i))
	}

	to.down, to.parts = false, 1000
	c.Drain = true
	if e, err = engine.New(c); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if err := e.Run(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("drain: %v, %v\n%s", err, ctx.Err(), log.String())
	}
	s := e.Status().Streams[0]
	if s.GapBytes != lost || s.Archived != int64(len(want)) {
		t.Errorf("%d bytes of gaps, archived up to %d; want %d, %d\n%s", s.GapBytes, s.Archived, lost, len(want), log.String())
	}
	var archived, dropped int64
	at, objects := int64(0), 0
	byStart := map[int64]engine.Receipt{}
	if err := engine.ReadReceipts(c.StateDir, func(r engine.Receipt) error { byStart[r.Start] = r; return nil }); err != nil {
		t.Fatal(err)
	}
	gap := int64(0)
	for at < int64(len(want)) {
		r, ok := byStart[at]
		if !ok || r.End <= at {
			t.Fatalf("no receipt begins at %d: %+v", at, byStart)
		}
		if r.Dropped != "" {
			dropped += r.Size
			gap += r.Size
			if r.Dropped != "damaged on flash" {
				t.Errorf("[%d,%d) was dropped since: %s", r.Start, r.End, r.Dropped)
			}
		} else {
			b, err := os.ReadFile(filepath.Join(dir, "archive", r.Key))
			if err != nil || !bytes.Equal(b, want[r.Start:r.End]) {
				t.Errorf("object [%d,%d) has %d bytes that are wrong: %v", r.Start, r.End, len(b), err)
			}
			_, obj, err := to.Find(t.Context(), r.Key)
			if r.Start == 120_000 {
				gap = 0 // it was archived before the rot was proven
			}
			if err != nil || obj.Metadata["dray-gap"] != strconv.FormatInt(gap, 10) || r.Gap != gap {
				t.Errorf("object [%d,%d) tells a gap of %s, its receipt %d; want %d: %v", r.Start, r.End, obj.Metadata["dray-gap"], r.Gap, gap, err)
			}
			archived += r.Size
			gap = 0
			objects++
		}
		at = r.End
	}
	if dropped != lost || archived != int64(len(want))-lost || objects != pieces+1 {
		t.Errorf("%d bytes dropped, %d archived in %d objects; want %d, %d, %d", dropped, archived, objects, lost, int64(len(want))-lost, pieces+1)
	}
	if files := archive(t, filepath.Join(dir, "archive")); int64(len(files)) != archived {
		t.Errorf("the archive holds %d bytes, %d have a receipt", len(files), archived)
	}
}

// partial takes only so many parts, and no object.
type partial struct {
	away
	parts int
}

func (p *partial) UploadPart(ctx context.Context, u transport.Upload, part transport.Part, b transport.Body) (transport.PartReceipt, error) {
	if part.Number > p.parts {
		return transport.PartReceipt{}, &transport.Error{Op: "upload part", Kind: transport.Offline}
	}
	return p.Destination.UploadPart(ctx, u, part, b)
}

func (p *partial) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if p.parts < 1000 {
		return transport.Receipt{}, &transport.Error{Op: "put", Kind: transport.Offline}
	}
	return p.away.Put(ctx, o, b)
}

// A put in doubt is settled before anything is given up: it may have stored the
// bytes that flash has lost since.
func TestRotWaitsForAPutInDoubtToBeSettled(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				var log strings.Builder
				to := &mute{Destination: newLocal(t, filepath.Join(dir, "archive")), mute: true, stores: stored}
				c := small(dir, to, engine.Block, &log)
				c.Streams[0].Object.PartSize = 1 << 20
				e, err := engine.New(c)
				if err != nil {
					t.Fatal(err)
				}
				stop := run(t, e)
				for i := range 36 {
					if err := e.Append(t.Context(), "log", rotRecord(i)); err != nil {
						t.Fatal(err)
					}
					if i%12 == 11 {
						if err := e.Sync(t.Context(), "log"); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := e.Flush(t.Context(), "log"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				stop()
				spoil(t, c.StateDir, rotRecord(20))
				to.mute = false
				c.Drain = true
				if e, err = engine.New(c); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := e.Run(ctx); err != nil || ctx.Err() != nil {
					t.Fatalf("drain: %v, %v\n%s", err, ctx.Err(), log.String())
				}
				want := 24_000
				if stored {
					want = 36_000
				}
				got := archive(t, filepath.Join(dir, "archive"))
				if s := e.Status().Streams[0]; len(got) != want || s.GapBytes != int64(36_000-want) || s.Archived != 36_000 {
					t.Errorf("%d bytes archived, want %d; %+v\n%s", len(got), want, s, log.String())
				}
			})
		})
	}
}

// mute is a destination whose replies to Put are lost.
type mute struct {
	transport.Destination
	mute, stores bool
}

func (m *mute) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if !m.mute {
		return m.Destination.Put(ctx, o, b)
	}
	if m.stores {
		if _, err := m.Destination.Put(ctx, o, b); err != nil {
			return transport.Receipt{}, err
		}
	}
	return transport.Receipt{}, &transport.Error{Op: "put", Kind: transport.Offline, Unknown: true}
}

func (m *mute) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	if m.mute {
		return nil, nil, &transport.Error{Op: "find", Kind: transport.Offline}
	}
	return m.Destination.Find(ctx, key)
}
