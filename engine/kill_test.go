package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/hal/file"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// childDir is set in the process that is to be killed.
const childDir = "DRAY_TEST_KILL_DIR"

func init() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	c, err := killConfig(dir)
	if err == nil {
		var e *engine.Engine
		if e, err = engine.New(c); err == nil {
			err = e.Run(context.Background())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// killConfig carries two files, whose places are kept with the bytes, into one
// folder. Each step is a dot on standard output, where the parent picks the
// moment to kill.
func killConfig(dir string) (engine.Config, error) {
	to, err := local.New(local.Config{Path: filepath.Join(dir, "archive")})
	c := engine.Config{
		StateDir: filepath.Join(dir, "state"), Device: "gw", Drain: true,
		Spool:        engine.Spool{MaxBytes: 56 << 20, MinFree: -1, WhenFull: engine.Block},
		Destinations: []engine.Destination{{Name: "disk", To: dotted{to}}},
	}
	for i, part := range []int64{64 << 10, 1 << 20} {
		name := string(rune('a' + i))
		src, err := file.New(file.Config{Type: "file", Path: filepath.Join(dir, name)})
		if err != nil {
			return c, err
		}
		c.Streams = append(c.Streams, engine.Stream{Name: name, Source: slowly{src}, Framing: hal.Framing{Kind: "lines"}, Destination: "disk",
			Sync: engine.Sync{Interval: 10 * time.Millisecond, Bytes: 64 << 10}, Object: engine.Object{MaxBytes: 300_000, PartSize: part}})
	}
	return c, err
}

func dot() { os.Stdout.Write([]byte{'.'}) }

// dotted is a destination that says before and behind each call that it works.
type dotted struct{ transport.Destination }

func (d dotted) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	dot()
	defer dot()
	return d.Destination.Put(ctx, o, b)
}

func (d dotted) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	dot()
	defer dot()
	return d.Destination.UploadPart(ctx, u, p, b)
}

func (d dotted) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	dot()
	defer dot()
	return d.Destination.Complete(ctx, u, parts)
}

// slowly is a source that gives little at a time.
type slowly struct{ hal.Source }

func (s slowly) Open(ctx context.Context, p hal.Position) (hal.Reader, error) {
	r, err := s.Source.Open(ctx, p)
	return slowReader{r}, err
}

type slowReader struct{ hal.Reader }

func (r slowReader) Read(p []byte) (int, hal.Mark, error) {
	dot()
	return r.Reader.Read(p[:min(len(p), 3001)])
}

func TestFilesArriveExactlyOnceHoweverOftenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "archive"), 0o755); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i := range 2 {
		b := numbered(60_000 + i)
		want = append(want, b...)
		if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	moment := rand.New(rand.NewPCG(7, 1))
	kills := 0
	for ended := false; !ended; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		dots := bufio.NewReaderSize(out, 16)
		left := moment.IntN(120)
		if kills == 40 {
			left = 1 << 30
		}
		for err = nil; err == nil && left > 0; left-- {
			_, err = dots.ReadByte()
		}
		if ended = err == io.EOF; !ended {
			kills++
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Wait(); ended && err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
	}
	if got := archive(t, filepath.Join(dir, "archive")); !bytes.Equal(got, want) {
		t.Errorf("the archive has %d bytes that differ from the %d in the files, after %d kills", len(got), len(want), kills)
	}
	left, err := os.ReadDir(filepath.Join(dir, "archive", ".dray", "uploads"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d uploads were left behind: %v", len(left), err)
	}
	var receipts []engine.Receipt
	err = engine.ReadReceipts(filepath.Join(dir, "state"), func(r engine.Receipt) error { receipts = append(receipts, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(receipts, func(i, j int) bool {
		a, b := receipts[i], receipts[j]
		return a.Stream < b.Stream || a.Stream == b.Stream && a.Start < b.Start
	})
	at := map[string]int64{}
	for _, r := range receipts {
		if r.Start != at[r.Stream] || r.Dropped != "" || r.Gap != 0 || r.GapUnknown {
			t.Errorf("receipt of %s [%d,%d), gap %d, unknown %v; the one before it ended at %d", r.Stream, r.Start, r.End, r.Gap, r.GapUnknown, at[r.Stream])
		}
		at[r.Stream] = r.End
	}
	t.Logf("%d kills, %d receipts", kills, len(receipts))
}
