package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/hal"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// once is a destination whose answers cannot be had a second time.
type once struct{ transport.Destination }

func (o once) Limits() transport.Limits {
	l := o.Destination.Limits()
	l.Once = true
	return l
}

// A radio sends what a test gives it, and cannot wait.
type radio struct{ air chan []byte }

func (r radio) Name() string { return "radio" }
func (r radio) Waits() bool  { return false }
func (r radio) Open(ctx context.Context, _ hal.Position) (hal.Reader, error) {
	return &radioReader{r.air, make(chan struct{}), sync.Once{}}, nil
}

type radioReader struct {
	air    chan []byte
	closed chan struct{}
	once   sync.Once
}

func (r *radioReader) Read(p []byte) (int, hal.Mark, error) {
	select {
	case b := <-r.air:
		return copy(p, b), hal.Mark{Time: time.Now()}, nil
	case <-r.closed:
		return 0, hal.Mark{}, io.ErrClosedPipe
	}
}

func (r *radioReader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// A patient waits for what an engine is to come to.
type patient struct {
	t   *testing.T
	e   *engine.Engine
	log *bytes.Buffer
	mu  *sync.Mutex // guards log
}

func (p patient) until(what string, ok func(engine.Status) bool) engine.Status {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		s := p.e.Status()
		if ok(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-limit:
			p.mu.Lock()
			defer p.mu.Unlock()
			p.t.Fatalf("waited in vain until %s: %+v\n%s", what, s, p.log)
		}
	}
}

// said says whether the log has it.
func (p patient) said(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(p.log.String(), text)
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A disk that turns read-only takes no more bytes: what arrives beyond memory is
// a counted gap, said in status and log. What is kept goes out meanwhile, but
// not to where an answer could be lost. Once the disk is writable again all goes
// on by itself, each object archived once and with one receipt.
func TestAReadOnlyDiskStopsCaptureWithACountedGapAndUploadsGoOn(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("mnt"), 0o700); err != nil {
		t.Fatal(err)
	}
	disk := powerfs.New(powerfs.Options{})
	m, err := disk.Mount(at("mnt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Unmount(); err != nil {
			t.Error(err)
		}
	}()
	destination := func(name string) transport.Destination {
		to, err := local.New(local.Config{Path: at(name)}) // away until its folder is made
		if err != nil {
			t.Fatal(err)
		}
		return to
	}
	p := patient{t: t, log: &bytes.Buffer{}, mu: &sync.Mutex{}}
	stream := func(name, to string) engine.Stream {
		return engine.Stream{Name: name, Destination: to, Key: "{stream}/{epoch}-{start}", Object: engine.Object{MaxBytes: 12 << 10, PartSize: 4 << 10}}
	}
	air := make(chan []byte)
	noise := stream("noise", "twice")
	noise.Source, noise.Framing = radio{air}, hal.Framing{Kind: "lines"}
	p.e, err = engine.New(engine.Config{
		StateDir: at("mnt/state"), Device: "gw", Spool: engine.Spool{MaxBytes: 128 << 20, MinFree: -1},
		Streams:      []engine.Stream{stream("small", "twice"), stream("large", "twice"), stream("only", "once"), noise},
		Destinations: []engine.Destination{{Name: "twice", To: destination("twice")}, {Name: "once", To: once{destination("once")}}},
		Log:          slog.New(slog.NewTextHandler(lockedWriter{p.mu, p.log}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.e.Run(ctx) }()
	line := 0
	write := func(stream string, lines int) {
		for range lines {
			if err := p.e.Append(ctx, stream, makeLine(line)); err != nil {
				t.Fatal(err)
			}
			line++
		}
	}
	write("small", 40)
	write("large", 180)
	write("only", 40)
	if err := p.e.Flush(ctx, ""); err != nil {
		t.Fatal(err)
	}
	p.until("the archive is seen to be away", func(s engine.Status) bool { return s.Destinations[0].Link == "down" })

	disk.SetHook(func(op powerfs.Op) powerfs.Fault {
		if changes(op) {
			return powerfs.Fault{Err: syscall.EROFS}
		}
		return powerfs.Fault{}
	})
	for _, name := range []string{"twice", "once"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.until("uploads go on", func(engine.Status) bool { return len(objectsIn(t, at("twice"))) == 2 })
	if got := objectsIn(t, at("once")); len(got) > 0 {
		t.Errorf("%v went to where an answer could be lost", got)
	}
	sent := 0
	p.until("bytes are lost", func(s engine.Status) bool {
		b := slices.Repeat(makeLine(sent), 500)
		air <- b
		sent += len(b)
		return s.Streams[3].GapBytes > 0
	})
	s := p.e.Status()
	if s.Spool.LastError == "" || !p.said("what arrives is lost") || !p.said("cannot be written down") {
		t.Errorf("it is not told: %+v\n%s", s.Spool, p.log)
	}

	disk.SetHook(nil)
	s = p.until("all is kept, archived and counted", func(s engine.Status) bool {
		noise := s.Streams[3]
		return s.Spool.LastError == "" && s.Destinations[0].PendingObjects+s.Destinations[1].PendingObjects == 0 && noise.Kept == noise.Appended
	})
	if err := p.e.Flush(ctx, ""); err != nil {
		t.Fatal(err)
	}
	p.until("the rest is archived", func(s engine.Status) bool { return s.Streams[3].Archived == s.Streams[3].Appended })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var archived, gap int64
	seen := map[string]int{}
	err = engine.ReadReceipts(at("mnt/state"), func(r engine.Receipt) error {
		seen[r.Key]++
		if gap += r.Gap; r.Stream == "noise" {
			archived += r.Size
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Concat(objectsIn(t, at("twice")), objectsIn(t, at("once"))) {
		if seen[key] != 1 {
			t.Errorf("%s has %d receipts", key, seen[key])
		}
	}
	inspect, err := engine.Inspect(at("mnt/state"))
	if err != nil {
		t.Fatal(err)
	}
	if got := inspect.Streams[3]; archived+got.GapBytes != int64(sent) {
		t.Errorf("%d bytes arrived; %d are archived, %d are counted as a gap", sent, archived, got.GapBytes)
	}
}

// objectsIn lists the objects of a local archive. None is half there.
func objectsIn(t *testing.T, dir string) (keys []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return err
		case d == nil:
			return nil
		case d.IsDir() && d.Name() == ".dray":
			return filepath.SkipDir
		case !d.IsDir():
			key, err := filepath.Rel(dir, path)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			keys = append(keys, key)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
