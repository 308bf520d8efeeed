package engine_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
)

// A narrow link breaks whenever it has carried so many bytes.
type narrow struct {
	transport.Destination
	line    chan struct{} // held by the request that is on it; a mutex would stop the bubble's clock
	mu      sync.Mutex
	carries int64
	left    int64
	sent    int64
	broken  engine.LinkCounters
}

const head = 1 << 10 // of a request and its reply

func newNarrow(to transport.Destination, carries int64) *narrow {
	return &narrow{Destination: to, carries: carries, left: carries, line: make(chan struct{}, 1)}
}

// Limits are those of S3, where they matter here.
func (n *narrow) Limits() transport.Limits {
	l := n.Destination.Limits()
	l.MinPart, l.PartSize, l.MaxParts = 5<<20, 8<<20, 10_000
	return l
}

func (n *narrow) link() engine.LinkCounters {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.broken
}

// pass takes a request over the link, in a second for each 100 kB.
func (n *narrow) pass(op, key string, body io.Reader, size int64) error {
	n.line <- struct{}{}
	defer func() { <-n.line }()
	bytes := min(size+head, n.left)
	n.left -= bytes
	n.sent += bytes
	<-time.After(time.Duration(bytes) * 10 * time.Microsecond)
	if n.left > 0 {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken.Broken++
	n.broken.BrokenBytes += n.carries
	n.left = n.carries
	if body != nil {
		if _, err := io.CopyN(io.Discard, body, max(bytes-head, 0)); err != nil {
			return err
		}
	}
	return &transport.Error{Op: op, Key: key, Kind: transport.Offline, Err: errors.New("the link broke")}
}

func (n *narrow) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	if err := n.pass("put", o.Key, b, b.Size()); err != nil {
		return transport.Receipt{}, err
	}
	return n.Destination.Put(ctx, o, b)
}

func (n *narrow) Create(ctx context.Context, o transport.Object) (string, error) {
	if err := n.pass("create", o.Key, nil, 0); err != nil {
		return "", err
	}
	return n.Destination.Create(ctx, o)
}

func (n *narrow) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	if err := n.pass("upload part", u.Object.Key, b, b.Size()); err != nil {
		return transport.PartReceipt{}, err
	}
	return n.Destination.UploadPart(ctx, u, p, b)
}

func (n *narrow) Abort(ctx context.Context, u transport.Upload) error {
	if err := n.pass("abort", u.Object.Key, nil, 0); err != nil {
		return err
	}
	return n.Destination.Abort(ctx, u)
}

// Objects that were sealed large, and one that is being sent in parts, get over
// links that carry only a little between two failures, whatever restarts come in
// between: in slices that tile the stream, and nothing is left behind.
func TestWhatWasSealedLargeGetsOverANarrowLink(t *testing.T) {
	for _, tt := range []struct {
		carries int64
		runs    []time.Duration // of the engine, each ended as by a restart; then one to the end
		most    float64         // bytes sent for each archived
	}{
		{64 << 10, []time.Duration{3 * time.Second, 10 * time.Second, 20 * time.Second}, 1.6},
		{256 << 10, []time.Duration{10 * time.Second}, 2.5}, // the lesson costs more, and there is little to be sent
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "archive")
			disk := newLocal(t, out)
			to := newNarrow(disk, tt.carries)
			want := numbered(50_000)
			source := &pipe{bytes.NewReader(want)}
			run := func(d time.Duration) {
				e, err := engine.New(engine.Config{
					StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true,
					Spool: engine.Spool{MaxBytes: 128 << 20, MinFree: -1, WhenFull: engine.Block},
					Streams: []engine.Stream{{Name: "log", Source: source, Framing: hal.Framing{Kind: "lines"},
						Object: engine.Object{MaxBytes: 1 << 20}, Destination: "disk"}},
					Destinations: []engine.Destination{{Name: "disk", To: to, Link: to.link}},
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				if err := e.Run(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for _, d := range tt.runs {
				run(d)
			}
			run(24 * time.Hour)
			if got := archive(t, out); !bytes.Equal(got, want) {
				t.Errorf("%d bytes between failures: the archive has %d bytes that differ from the %d read", tt.carries, len(got), len(want))
			}
			var receipts []engine.Receipt
			if err := engine.ReadReceipts(filepath.Join(dir, "state"), func(r engine.Receipt) error {
				receipts = append(receipts, r)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(receipts, func(a, b engine.Receipt) int { return cmp.Compare(a.Start, b.Start) })
			end := int64(0)
			for _, r := range receipts {
				if r.Start != end || want[r.End-1] != '\n' {
					t.Errorf("object [%d,%d): the one before it ended at %d; both must be ends of lines", r.Start, r.End, end)
				}
				end = r.End
			}
			ratio := float64(to.sent) / float64(len(want))
			t.Logf("%d bytes between failures: %d objects, %.2f bytes sent for each archived", tt.carries, len(receipts), ratio)
			if end != int64(len(want)) || ratio > tt.most {
				t.Errorf("%d bytes between failures: %d of %d bytes archived, %.2f bytes sent for each", tt.carries, end, len(want), ratio)
			}
		})
	}
}
