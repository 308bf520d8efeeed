package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/local"
)

// rotWorld is a state folder as a device has it in the midst of its work, and the
// archive that it works for.
type rotWorld struct {
	dir  string
	kept map[string]int64 // of each stream
	size map[string]int64 // of the parts of the state
}

func (w *rotWorld) state() string { return filepath.Join(w.dir, "state") }

func (w *rotWorld) String() string {
	return fmt.Sprintf("%d bytes kept, in the journal %d of snapshot and %d of log, %d of receipts", w.kept["gps"]+w.kept["log"], w.size["snapshot"], w.size["log"], w.size["receipts"])
}

// rotSizes makes a state of some kilobytes that has all there is: several slots,
// generations and files of receipts.
var rotSizes = map[string]string{"DRAY_LAB_SLOT_BYTES": "65536", "DRAY_LAB_ROLL_BYTES": "1500", "DRAY_LAB_RESERVE_BYTES": "8192", "DRAY_LAB_LEDGER_BYTES": "1000"}

// rotBytes are the bytes [from, to) of a stream: lines of 64 bytes that say where
// they are.
func rotBytes(stream string, from, to int64) []byte {
	var b []byte
	for at := from / 64; at*64 < to; at++ {
		b = fmt.Appendf(b, "%s %020d 0123456789abcdefghijklmnopqrstuvwxyz--\n", stream, at)
	}
	return b[from%64:][:to-from]
}

func rotConfig(state string, to transport.Destination, log io.Writer) engine.Config {
	c := engine.Config{StateDir: state, Device: "lab", Spool: engine.Spool{MaxBytes: 256 << 20, MinFree: -1},
		Destinations: []engine.Destination{{Name: "disk", To: to}}, Log: slog.New(slog.NewTextHandler(log, nil))}
	for _, name := range []string{"gps", "log"} {
		c.Streams = append(c.Streams, engine.Stream{Name: name, Destination: "disk", Key: "{stream}/{epoch}-{start}",
			Sync: engine.Sync{Interval: time.Hour}, Object: engine.Object{MaxBytes: 1 << 20, PartSize: 16 << 10}})
	}
	return c
}

// newRotWorld lives a device's life up to a moment at which much is under way:
// objects archived, an upload begun with parts stored, a complete and a put whose
// replies were lost, objects that wait, one that is open.
func newRotWorld(ctx context.Context, dir string) (w *rotWorld, err error) {
	for name, value := range rotSizes {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
	}
	w = &rotWorld{dir: filepath.Join(dir, "world"), kept: map[string]int64{}, size: map[string]int64{}}
	life := filepath.Join(dir, "first")
	disk, err := newRotArchive(filepath.Join(life, "archive"))
	if err != nil {
		return nil, err
	}
	gate := &rotGate{Destination: disk}
	e, err := engine.New(rotConfig(filepath.Join(life, "state"), gate, io.Discard))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	for _, s := range []struct {
		mode   rotMode
		stream string
		bytes  int64
		flush  bool
	}{
		{rotPass, "gps", 40_000, true}, {rotPass, "log", 9_000, true}, {rotPass, "gps", 3_000, true}, {rotPass, "gps", 21_000, true},
		{rotPartly, "gps", 60_000, true}, {rotUnseen, "log", 40_000, true}, {rotUnseen, "log", 6_000, true},
		{rotAway, "gps", 5_000, true}, {rotAway, "gps", 30_000, true}, {rotAway, "log", 12_000, true}, {rotAway, "gps", 37_000, false}, {rotAway, "log", 2_000, false},
	} {
		gate.set(s.mode)
		for end := w.kept[s.stream] + s.bytes/64*64; w.kept[s.stream] < end; {
			from := w.kept[s.stream]
			w.kept[s.stream] = min(from+2048, end)
			if err := e.Append(ctx, s.stream, rotBytes(s.stream, from, w.kept[s.stream])); err != nil {
				return nil, err
			}
			if err := e.Sync(ctx, s.stream); err != nil {
				return nil, err
			}
		}
		if s.flush {
			if err := e.Flush(ctx, s.stream); err != nil {
				return nil, err
			}
		}
		if !gate.rest(ctx, e, s.mode) {
			return nil, fmt.Errorf("the first life does not come to rest: %+v", e.Status().Destinations)
		}
	}
	// As SIGKILL leaves it.
	return w, errors.Join(rotCopy(w.dir, life), w.measure())
}

func (w *rotWorld) measure() error {
	return filepath.WalkDir(w.state(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		switch name := filepath.Base(path); {
		case err != nil:
		case name == "snapshot":
			w.size["snapshot"] += info.Size()
		case filepath.Base(filepath.Dir(path)) == "log":
			w.size["log"] += info.Size()
		case bytes.HasPrefix([]byte(name), []byte("receipts")):
			w.size["receipts"] += info.Size()
		}
		return err
	})
}

func newRotArchive(dir string) (*local.Destination, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return local.New(local.Config{Path: dir})
}

// rotCopy copies a folder.
func rotCopy(to, from string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		name, rel := filepath.Rel(from, path)
		if err = errors.Join(err, rel); err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), b, 0o600)
	})
}

// rotMode is what a rotGate lets through.
type rotMode int

const (
	rotPass   rotMode = iota
	rotPartly         // two parts of an upload, and nothing behind them
	rotUnseen         // all, but of what ends an object no reply comes back
	rotAway           // nothing
)

// rotGate is the link of the first life.
type rotGate struct {
	transport.Destination
	mu    sync.Mutex
	mode  rotMode
	calls int // that ended something in this mode, or failed
}

func (g *rotGate) set(m rotMode) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mode, g.calls = m, 0
}

// rest waits until all is done that the mode lets be done.
func (g *rotGate) rest(ctx context.Context, e *engine.Engine, m rotMode) bool {
	for range 2000 {
		s := e.Status().Destinations[0]
		g.mu.Lock()
		rest := g.calls > 0 || m == rotAway
		g.mu.Unlock()
		if m == rotPass {
			rest = s.PendingObjects == 0
		}
		if rest && s.InFlight == 0 {
			return true
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return false
}

func (g *rotGate) pass(op string, ends bool, part int) (before, after error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.mode == rotAway, g.mode == rotPartly && (ends || part > 2), g.mode == rotUnseen && op == "find":
		g.calls++
		return &transport.Error{Op: op, Kind: transport.Offline, Err: errors.New("no route")}, nil
	case g.mode == rotUnseen && ends:
		g.calls++
		return nil, &transport.Error{Op: op, Kind: transport.Offline, Unknown: true, Err: errors.New("no reply")}
	}
	return nil, nil
}

func (g *rotGate) Put(ctx context.Context, o transport.Object, b transport.Body) (r transport.Receipt, err error) {
	before, after := g.pass("put", true, 0)
	if before == nil {
		r, err = g.Destination.Put(ctx, o, b)
	}
	return r, errors.Join(before, err, after)
}

func (g *rotGate) Create(ctx context.Context, o transport.Object) (id string, err error) {
	before, after := g.pass("create", false, 0)
	if before == nil {
		id, err = g.Destination.Create(ctx, o)
	}
	return id, errors.Join(before, err, after)
}

func (g *rotGate) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (r transport.PartReceipt, err error) {
	before, after := g.pass("upload part", false, p.Number)
	if before == nil {
		r, err = g.Destination.UploadPart(ctx, u, p, b)
	}
	return r, errors.Join(before, err, after)
}

func (g *rotGate) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (r transport.Receipt, err error) {
	before, after := g.pass("complete", true, 0)
	if before == nil {
		r, err = g.Destination.Complete(ctx, u, parts)
	}
	return r, errors.Join(before, err, after)
}

func (g *rotGate) Find(ctx context.Context, key string) (u []transport.Upload, o *transport.Stored, err error) {
	before, after := g.pass("find", false, 0)
	if before == nil {
		u, o, err = g.Destination.Find(ctx, key)
	}
	return u, o, errors.Join(before, err, after)
}
