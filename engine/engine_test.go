package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// pipe is a source fed by a test: a reader that ends.
type pipe struct{ r io.Reader }

func (p *pipe) Name() string { return "test pipe" }
func (p *pipe) Waits() bool  { return true }
func (p *pipe) Open(context.Context, hal.Position) (hal.Reader, error) {
	return pipeReader{p.r}, nil
}

type pipeReader struct{ r io.Reader }

func (r pipeReader) Read(p []byte) (int, hal.Mark, error) {
	n, err := r.r.Read(p)
	return n, hal.Mark{}, err
}
func (r pipeReader) Close() error { return nil }

func numbered(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "%09d the quick brown fox jumps over the lazy dog\n", i)
	}
	return b.Bytes()
}

// archive returns the objects below dir in key order, put end to end.
func archive(t *testing.T, dir string) []byte {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == ".dray" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(names)
	var all []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

func TestDrainArchivesEveryByteOnceAndInOrder(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "archive")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	to, err := local.New(local.Config{Path: out})
	if err != nil {
		t.Fatal(err)
	}
	want := numbered(200_000)
	var log strings.Builder
	e, err := engine.New(engine.Config{
		StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true,
		Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.Block},
		Streams: []engine.Stream{{Name: "log", Source: &pipe{bytes.NewReader(want)}, Framing: hal.Framing{Kind: "lines"},
			Object: engine.Object{MaxBytes: 3 << 20, PartSize: 1 << 20}, Destination: "disk"}},
		Destinations: []engine.Destination{{Name: "disk", To: to}},
		Log:          slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := archive(t, out); !bytes.Equal(got, want) {
		t.Errorf("the archive has %d bytes that differ from the %d read\n%s", len(got), len(want), log.String())
	}
	var receipts []engine.Receipt
	err = engine.ReadReceipts(filepath.Join(dir, "state"), func(r engine.Receipt) error {
		receipts = append(receipts, r)
		return nil
	})
	sort.Slice(receipts, func(i, j int) bool { return receipts[i].Start < receipts[j].Start })
	var at int64
	for _, r := range receipts {
		if r.Start != at || r.Size != r.End-r.Start {
			t.Errorf("receipt of [%d,%d), the one before it ended at %d", r.Start, r.End, at)
		}
		at = r.End
	}
	if err != nil || at != int64(len(want)) {
		t.Errorf("receipts end at %d, want %d: %v", at, len(want), err)
	}
}

// noting is a destination that found something out.
type noting struct{ transport.Destination }

func (noting) Notes() []string { return []string{"it is odd"} }

func TestStatusTellsWhatADestinationFoundOut(t *testing.T) {
	dir := t.TempDir()
	e, err := engine.New(engine.Config{StateDir: filepath.Join(dir, "state"), Device: "gw", Spool: engine.Spool{MaxBytes: 32 << 20, MinFree: -1},
		Streams:      []engine.Stream{{Name: "log", Destination: "disk", Object: engine.Object{MaxBytes: 1 << 20}}},
		Destinations: []engine.Destination{{Name: "disk", To: noting{newLocal(t, filepath.Join(dir, "archive"))}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for range 2 {
		if got := e.Status().Notes; len(got) != 1 || got[0] != "destination disk: it is odd" {
			t.Errorf("notes are %q", got)
		}
	}
}

func TestAStreamThatTheConfigDropsIsArchivedAllTheSame(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "archive")
	config := func(stream string) engine.Config {
		return engine.Config{StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true, Spool: engine.Spool{MaxBytes: 64 << 20, MinFree: -1},
			Streams:      []engine.Stream{{Name: stream, Destination: "disk", Object: engine.Object{MaxBytes: 1 << 20}}},
			Destinations: []engine.Destination{{Name: "disk", To: newLocal(t, out)}}}
	}
	e, err := engine.New(config("old"))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Append(t.Context(), "old", []byte("the last of it\n")); err != nil {
		t.Fatal(err)
	}
	if err := e.Sync(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil { // not sealed, and never run
		t.Fatal(err)
	}
	if e, err = engine.New(config("new")); err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := archive(t, out); string(got) != "the last of it\n" {
		t.Errorf("archived %q", got)
	}
}
