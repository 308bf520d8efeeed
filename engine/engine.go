package engine

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-7270d448/dray/wal"
)

// InUseError says that another process holds the state folder.
type InUseError = wal.InUseError

// Engine carries streams into destinations. Its methods are safe for
// concurrent use.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	store    *wal.Store
	streams  []*stream
	encoder  encoder
	dests    map[string]*destination
	started  time.Time
	wake     chan struct{} // of the dispatcher; capacity 1
	spare    chan struct{} // of prepare; capacity 1
	calendar calendar
	network  atomic.Bool // has changed, since the dispatcher looked
	full     atomic.Bool // a stream found the spool full since the dispatcher looked
	life     atomic.Int32

	unwritten atomic.Pointer[string] // why the journal or the receipts take nothing; nil: they do

	changing sync.Mutex
	change   chan struct{} // closed when an object is let go; nil: nobody waits
}

// The life of an Engine.
const (
	lifeNew int32 = iota
	lifeRun
	lifeClosed
)

// ErrClosed says that the Engine has ended: nothing was taken in or made durable.
var ErrClosed = wal.ErrClosed

// New validates cfg, opens the state folder and recovers what it holds, so that
// Append and Status work at once. It starts nothing: Run does. Bad config is a
// *ConfigError (or several, joined); a folder held by another process is an
// *InUseError. An Engine that is never Run must be Closed.
func New(cfg Config) (*Engine, error) {
	if err := Check(cfg); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	e := &Engine{cfg: cfg, log: cfg.Log, dests: map[string]*destination{}, started: time.Now(), wake: make(chan struct{}, 1), spare: make(chan struct{}, 1)}
	for _, d := range cfg.Destinations {
		e.dests[d.Name] = newDestination(d, cfg.Meter, &e.calendar)
	}
	var err error
	e.store, err = wal.Open(wal.Options{
		Dir: cfg.StateDir, MaxBytes: cfg.Spool.MaxBytes, MinFree: max(cfg.Spool.MinFree, 0),
		Machine: machineID(), Boot: bootID(),
		Receipts: cfg.Receipts.MaxBytes, Precious: precious,
		MemoryBytes: memoryBytes, Hashes: e.hashes, SaneAfter: saneAfter, Now: kernel, Wake: e.poke,
	})
	if err != nil {
		return nil, err
	}
	if cfg.Meter != nil {
		cfg.Meter.bind(e.store, bootID())
	}
	e.store.View(func(s *wal.State) {
		for name, d := range e.dests {
			if f := s.Figure(pauseName(name)); f.Time != 0 {
				d.pace.leaveAlone(e.started, time.Unix(0, f.Time))
				d.told = d.pace.link()
			}
		}
	})
	for _, d := range cfg.Destinations {
		if d.TellTime != nil {
			d.TellTime(func() time.Time { now, _ := e.time(); return now })
		}
	}
	for _, note := range e.store.Notes() {
		e.log.Warn("start-up: " + note)
	}
	e.recall()
	for _, c := range cfg.Streams {
		st, err := e.newStream(c)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.streams = append(e.streams, st)
	}
	inUse := map[uint32]bool{}
	for _, st := range e.streams {
		inUse[st.wal.ID()] = true
	}
	if err := e.store.Retire(inUse); err != nil {
		e.Close()
		return nil, err
	}
	if err := settleReceipts(e.store, cfg.StateDir); err != nil {
		e.Close()
		return nil, err
	}
	for _, note := range e.orphanNotes() {
		e.log.Warn("start-up: " + note)
	}
	return e, nil
}

// saneAfter is when this was written: a clock before it is wrong.
var saneAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Run works until ctx is done: it reads the sources, keeps what they say, and
// uploads. It owns every goroutine, and returns when all have stopped. What is
// not uploaded by then is kept: Run never waits for the queue, save with
// Config.Drain, when it returns as soon as every source has finished and
// everything is archived. An error says what could not be kept at the end. Run
// closes the Engine.
func (e *Engine) Run(ctx context.Context) error {
	if !e.life.CompareAndSwap(lifeNew, lifeRun) {
		return errors.New("engine: Run was called before, or the engine is closed")
	}
	defer e.life.Store(lifeClosed)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sources, workers sync.WaitGroup
	for _, st := range e.streams {
		if st.cfg.Source != nil {
			sources.Go(func() { st.capture(ctx) })
		}
		workers.Go(func() { st.keep(ctx) })
	}
	workers.Go(func() { e.dispatch(ctx) })
	if e.cfg.Network != nil {
		workers.Go(func() {
			e.cfg.Network(ctx, func() {
				e.network.Store(true)
				e.poke()
			})
		})
	}
	workers.Go(func() { e.prepare(ctx) })
	workers.Go(func() { e.watchClocks(ctx) })
	var errs []error
	if e.cfg.Drain {
		for _, st := range e.streams {
			if st.cfg.Source != nil {
				e.log.Info("draining once the source has ended; one without an end, such as a serial port, must be stopped", "stream", st.cfg.Name, "source", st.cfg.Source.Name())
			}
		}
		workers.Go(func() {
			sources.Wait()
			if err := e.drain(ctx); err != nil {
				errs = append(errs, err)
			}
			cancel()
		})
	}
	sources.Wait()
	workers.Wait()
	for _, st := range e.streams {
		err := again(st.end)
		if err == nil && st.torn.Load() {
			err = errors.New("spool was full")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("engine: the last bytes of stream %s could not be kept: %w", st.cfg.Name, err))
		}
	}
	if errs == nil {
		errs = append(errs, e.cfg.Meter.close(), again(e.store.Stop))
	}
	return errors.Join(append(errs, e.store.Close())...)
}

// again does what may fail where flash is bad once more, and once more: each try
// goes to another slot, or another generation.
func again(write func() error) (err error) {
	for range 3 {
		if err = write(); err == nil {
			break
		}
	}
	return err
}

// drain seals what is open, once every source has finished, and waits until
// nothing is left to upload, or until ctx is done. An error says what cannot be
// uploaded because its destination is not configured any more.
func (e *Engine) drain(ctx context.Context) error {
	for {
		err := e.Flush(ctx, "")
		if err == nil {
			break
		}
		e.log.Error("drain", "err", err)
		if !sleep(ctx, time.Second) {
			return nil
		}
	}
	for {
		changed := e.changed()
		left, orphans := 0, map[string]int{}
		e.store.View(func(s *wal.State) {
			for _, st := range s.Streams {
				for i := range st.Objects {
					if name := s.Layout(&st.Objects[i]).Destination; e.dests[name] == nil {
						orphans[name]++
					} else {
						left++
					}
				}
			}
		})
		if left == 0 {
			for name, n := range orphans {
				return fmt.Errorf("engine: drain: %d objects wait for destination %q, which is not configured; configure it again", n, name)
			}
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// Close lets go of the state folder of an Engine that is not to be Run; Run
// does it by itself, and while it works Close fails. Closing twice is safe.
func (e *Engine) Close() error {
	switch {
	case e.life.CompareAndSwap(lifeNew, lifeClosed):
		for _, st := range e.streams {
			if st.pack != nil {
				st.pack.end()
			}
		}
		return e.store.Close()
	case e.life.Load() == lifeRun:
		return errors.New("engine: Run is at work; cancel its context, and it closes the engine")
	}
	return nil
}

// Append adds one record to a stream that has no Source. It waits, as long as
// ctx allows, while memory for unsynced bytes is used up. The record is kept
// once a later Sync has returned, or one sync interval later. Once Run has ended
// it fails with ErrClosed.
func (e *Engine) Append(ctx context.Context, stream string, record []byte) error {
	st, err := e.stream(stream)
	if err != nil {
		return err
	}
	for {
		room := e.store.Room()
		err := st.append(record, wal.Mark{})
		if !errors.Is(err, wal.ErrBusy) {
			return err
		}
		st.poke()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Sync makes every record appended to the stream so far survive a power cut.
func (e *Engine) Sync(ctx context.Context, stream string) error {
	st, err := e.stream(stream)
	if err != nil {
		return err
	}
	return st.sync(ctx)
}

// Flush ends the open object of the stream of that name, of all if it is "", so that
// it goes out now. When it returns the bytes are kept and queued.
func (e *Engine) Flush(ctx context.Context, name string) error {
	list := e.streams
	if name != "" {
		st, err := e.stream(name)
		if err != nil {
			return err
		}
		list = []*stream{st}
	}
	var errs []error
	for _, st := range list {
		if st.pack != nil { // what waits to be compressed may need the memory that this gives back
			errs = append(errs, st.sync(ctx))
		}
		st.seal()
		errs = append(errs, st.sync(ctx))
	}
	return errors.Join(errs...)
}

func (e *Engine) stream(name string) (*stream, error) {
	for _, st := range e.streams {
		if st.cfg.Name == name {
			return st, nil
		}
	}
	return nil, fmt.Errorf("engine: no stream is named %q", name)
}

// prepare makes a spare slot whenever there is none, beside the streams, so
// that none of them waits for it.
func (e *Engine) prepare(ctx context.Context) {
	for {
		if err := e.store.Prepare(); err != nil {
			e.log.Warn("a spare slot could not be made", "err", err)
		}
		select {
		case <-e.spare:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) wantSpare() {
	select {
	case e.spare <- struct{}{}:
	default:
	}
}

// poke wakes the dispatcher.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// hashes makes the digest of that name for whichever destination knows it.
func (e *Engine) hashes(name string) hash.Hash {
	for _, d := range e.dests {
		if d.limits.NewHash != nil {
			if h := d.limits.NewHash(name); h != nil {
				return h
			}
		}
	}
	return nil
}

// machineID tells this hardware from any other that a card could be put into.
var machineID = func() string { return readID("/etc/machine-id") }

func readID(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// sleep waits for d and says whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
