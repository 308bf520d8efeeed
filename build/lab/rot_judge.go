package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// rotVerdict is what came of one spoiled byte.
type rotVerdict struct {
	noticed bool
	tail    bool  // the last frame of a stream is lost, as if the cut had torn it
	aside   bool  // the journal was beyond reading: the spool is kept under another name
	lost    int64 // bytes that the archive does not hold
	over    int64 // bytes counted lost that it does hold
	wrong   []string
}

func (v *rotVerdict) broken(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Sprintf(format, args...))
}

// rotLimit is how long a start and its drain may take. They take a second where
// nothing else runs.
const rotLimit = 3 * time.Minute

// live spoils the byte in a copy of the world, lets an engine drain it, and
// judges by the archive, the receipts and what the engine counted.
func (w *rotWorld) live(ctx context.Context, dir string, c rotCase, told io.Writer) (v rotVerdict) {
	if err := errors.Join(rotCopy(dir, w.dir), rotSpoil(filepath.Join(dir, "state", c.file), c)); err != nil {
		v.broken("lab: %v", err)
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, rotLimit)
	defer cancel()
	log := &rotLog{to: told}
	disk, err := newRotArchive(filepath.Join(dir, "archive"))
	if err != nil {
		v.broken("lab: %v", err)
		return v
	}
	config := rotConfig(filepath.Join(dir, "state"), disk, log)
	config.Drain = true
	e, err := engine.New(config)
	if err != nil {
		v.broken("does not start: %v", err)
		return v
	}
	if err := e.Run(ctx); err != nil {
		v.broken("drain: %v", err)
	}
	if ctx.Err() != nil {
		v.broken("the drain does not end: %+v", e.Status())
		return v
	}
	v.noticed = log.warned()
	gaps := map[string]int64{}
	r, err := engine.Inspect(filepath.Join(dir, "state"))
	if err != nil {
		v.broken("inspect: %v", err)
	}
	for _, s := range r.Streams {
		gaps[s.Name] += s.GapBytes
	}
	aside, err := filepath.Glob(filepath.Join(dir, "state", "spool.lost-*"))
	v.aside = err == nil && len(aside) > 0
	w.judge(&v, filepath.Join(dir, "archive"), gaps)
	if v.lost > 0 && !v.noticed {
		v.broken("%d bytes are lost and the log does not say so", v.lost)
	}
	return v
}

func rotSpoil(path string, c rotCase) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[c.offset] ^= c.mask
	return os.WriteFile(path, b, 0o600)
}

type rotObject struct {
	start, end int64
	key        string
}

// judge looks at every object, and at what none holds.
func (w *rotWorld) judge(v *rotVerdict, archive string, gaps map[string]int64) {
	objects := map[string][]rotObject{}
	err := filepath.WalkDir(archive, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".dray" {
				return filepath.SkipDir
			}
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		stream, name := filepath.Base(filepath.Dir(path)), filepath.Base(path)
		_, place, _ := strings.Cut(name, "-")
		var o rotObject
		if _, err := fmt.Sscanf(place, "%d", &o.start); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		o.end, o.key = o.start+int64(len(b)), name
		if o.end > w.kept[stream] || !bytes.Equal(b, rotBytes(stream, o.start, min(o.end, w.kept[stream]))) {
			v.broken("WRONG OBJECT %s/%s of %d bytes", stream, name, len(b))
		}
		objects[stream] = append(objects[stream], o)
		return nil
	})
	if err != nil {
		v.broken("archive: %v", err)
	}
	for stream, kept := range w.kept {
		list := objects[stream]
		slices.SortFunc(list, func(a, b rotObject) int { return int(a.start - b.start) })
		var at, missing int64
		for _, o := range list {
			if o.start < at {
				v.broken("%s/%s overlaps the object before it by %d bytes", stream, o.key, at-o.start)
			}
			missing += max(o.start-at, 0)
			at = max(at, o.end)
		}
		// Rot in the last frame of a stream cannot be told from a write that the cut
		// tore: nothing behind it says that it was kept.
		if tail := kept - at; tail > 0 && tail <= 2048 && missing == 0 && gaps[stream] == 0 {
			v.tail = true
			continue
		}
		missing += kept - at
		v.lost += missing
		switch {
		case missing > gaps[stream] && !v.aside:
			v.broken("of %s %d bytes are missing, %d are counted", stream, missing, gaps[stream])
		case missing < gaps[stream]:
			v.over += gaps[stream] - missing
		}
	}
}

// rotLog keeps whether anything was warned of.
type rotLog struct {
	to   io.Writer
	mu   sync.Mutex
	warn bool
}

func (l *rotLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warn = l.warn || bytes.Contains(p, []byte("level=WARN")) || bytes.Contains(p, []byte("level=ERROR"))
	return l.to.Write(p)
}

func (l *rotLog) warned() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.warn
}
