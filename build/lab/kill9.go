package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// A cut is one life of the daemon and its end.
type cut struct {
	reads  time.Time // since when it was seen to read; zero: never
	at     time.Time // when it was killed
	kept   int64     // the kept mark read from outside before that; -1: it did not answer
	downMS int64     // from exec to reading
}

// kill9 kills the daemon n times at random moments. What it may cost is judged
// by line numbers, for offsets are the daemon's own word:
//
//   - no line that was made before the last sync interval and the sync then
//     running is missing, if the daemon was reading when it was made;
//   - no line stands twice, none is torn, none out of order;
//   - what is missing is a counted gap;
//   - no byte below a kept mark seen from outside is missing;
//   - objects tile the stream, no upload is made twice or left behind.
func kill9(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("kill9", flag.ContinueOnError)
	var (
		n        = fs.Int("n", 200, "kills")
		seed     = fs.Uint64("seed", uint64(time.Now().UnixNano()), "of the moments")
		dest     = fs.String("dest", "s3", "s3, glacier or local")
		rate     = fs.Int("rate", 1<<20, "of the sensor, bytes a second; 92160 is 921600 baud")
		link     = fs.Int("link", 16<<20, "of a connection to the archive, bytes a second")
		interval = fs.Duration("sync", time.Second, "sync interval")
		running  = fs.Duration("running", time.Second, "what the sync running at the kill may take")
		size     = fs.Int("object", 12, "MiB of an object")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	r, err := newRig(ctx, rigConfig{dest: *dest, rate: *rate, link: *link, interval: *interval, objectMiB: *size})
	if err != nil {
		return nil, err
	}
	out := &report{}
	out.figure("experiment", "%d kills, seed %d, %s, %d KiB/s of lines, sync %v", *n, *seed, *dest, *rate>>10, *interval)
	cuts, err := r.killed(ctx, *n, rand.New(rand.NewPCG(*seed, 0)), out)
	if err == nil {
		// A sync begins after an interval or after syncKiB, whichever is first.
		full := time.Duration(float64(syncKiB<<10) / float64(*rate) * float64(time.Second))
		err = r.judge(ctx, cuts, min(*interval, full)+*running, out)
	}
	return out, errors.Join(err, r.Close())
}

// killed runs the daemon, kills it n times, and drains what the last life kept.
func (r *rig) killed(ctx context.Context, n int, rnd *rand.Rand, out *report) ([]cut, error) {
	feeding, stopFeed := context.WithCancel(ctx)
	defer stopFeed()
	fed := make(chan error, 1)

	// The first life sees the first line: from then on the feed never waits.
	if err := r.start(); err != nil {
		return nil, err
	}
	if _, err := r.until(ctx, 20*time.Second, "the port to be open", opened); err != nil {
		return nil, err
	}
	go func() { fed <- r.feed.run(feeding) }()

	var cuts []cut
	for i := range n {
		if i > 0 {
			if err := r.start(); err != nil {
				return nil, err
			}
		}
		wait := 50*time.Millisecond + time.Duration(rnd.Int64N(int64(1450*time.Millisecond)))
		c, err := r.live(ctx, wait)
		if err != nil {
			return nil, fmt.Errorf("life %d: %w", i+1, err)
		}
		cuts = append(cuts, c)
		if (i+1)%20 == 0 {
			fmt.Fprintf(os.Stderr, "%d of %d kills, %d lines made\n", i+1, n, r.feed.made())
		}
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := r.until(ctx, 30*time.Second, "the last life to read", reading); err != nil {
		return nil, err
	}
	last := cut{reads: time.Now(), kept: -1, downMS: time.Since(began).Milliseconds()}
	pause(ctx, 2*time.Second)
	stopFeed()
	if err := <-fed; err != nil {
		return nil, err
	}
	return append(cuts, last), r.drain(ctx, out)
}

// opened says that the daemon has opened the port.
func opened(s engine.StreamStatus) bool { return s.SourceState == "reading" }

// live lets the daemon live for wait and kills it.
func (r *rig) live(ctx context.Context, wait time.Duration) (cut, error) {
	began, c := time.Now(), cut{kept: -1}
	for time.Since(began) < wait && ctx.Err() == nil {
		if c.reads.IsZero() {
			if s, err := r.status(ctx); err == nil && reading(s) {
				c.reads = time.Now()
				c.downMS = time.Since(began).Milliseconds()
			}
		}
		pause(ctx, min(5*time.Millisecond, wait-time.Since(began)))
	}
	if s, err := r.status(ctx); err == nil {
		c.kept = s.Kept
	}
	if !r.running() {
		return c, r.died()
	}
	c.at = time.Now()
	return c, errors.Join(ctx.Err(), r.kill())
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// judge reads the archive and compares it with what was seen from outside.
func (r *rig) judge(ctx context.Context, cuts []cut, bound time.Duration, out *report) error {
	objects, err := r.objects(ctx)
	if err != nil {
		return err
	}
	holes, bytes := checkTiles(out, objects)
	lines := &lineCheck{report: out}
	if err := readAll(lines, objects); err != nil {
		return err
	}
	lines.finish(r.feed.made())
	out.figure("archive", "%d objects, %d bytes, %d of %d lines, %d twice, %d torn",
		len(objects), bytes, lines.lines, r.feed.made(), lines.twice, lines.torn)

	judgeKept(out, cuts, objects, holes)
	r.judgeLines(out, cuts, lines.missing, bound)

	left, err := r.leftUploads(ctx)
	if err != nil {
		return err
	}
	for _, key := range left {
		out.violation("an upload of %s is left behind", key)
	}
	switch {
	case r.vault != nil:
		r.judgeVault(out, bytes)
	case r.proxy != nil:
		r.judgeUploads(out, bytes)
	}
	return nil
}

// judgeKept checks the kept marks that were read from outside: they never go
// back, and no hole of the archive spans one.
func judgeKept(out *report, cuts []cut, objects []object, holes []extent) {
	var mark, end int64
	var asked int
	if len(objects) > 0 {
		end = objects[len(objects)-1].end
	}
	for i, c := range cuts {
		if c.kept < 0 {
			continue
		}
		asked++
		if c.kept < mark {
			out.violation("kill %d: kept went back from %d to %d", i+1, mark, c.kept)
		}
		mark = c.kept
		for _, h := range holes {
			if h.start < c.kept && c.kept < h.end {
				out.violation("kill %d: %d bytes were kept, the archive lacks %d to %d", i+1, c.kept, h.start, h.end)
			}
		}
	}
	if mark > end {
		out.violation("%d bytes were kept, the archive ends at %d", mark, end)
	}
	out.figure("kept marks", "%d read from outside, the last at %d; %d holes in the archive", asked, mark, len(holes))
}

// judgeLines checks that each missing line was either made while nobody read,
// or is no older at the kill than bound.
func (r *rig) judgeLines(out *report, cuts []cut, missing []run, bound time.Duration) {
	var lost, unread, full int
	var oldest time.Duration
	cost := make([]int, len(cuts)) // lines, by the kill that took them
	for _, m := range missing {
		for n := m.first; n < m.end; n++ {
			made, k := r.feed.when(n), 0
			for k < len(cuts)-1 && cuts[k].at.Before(made) {
				k++
			}
			switch c := cuts[k]; {
			case c.reads.IsZero() || made.Before(c.reads):
				unread++
			case r.feed.wasDropped(n):
				full++ // the port was full: the machine was too slow to read it
			case c.at.IsZero():
				out.violation("line %d was made while the last life read, and is missing", n)
			default:
				age := c.at.Sub(made)
				oldest = max(oldest, age)
				if age > bound {
					out.violation("line %d is missing: it was read, and %v old at kill %d", n, age.Round(time.Millisecond), k+1)
				}
				cost[k]++
				lost++
			}
		}
	}
	most := 0
	for _, n := range cost {
		most = max(most, n)
	}
	var slowest int64
	for _, c := range cuts {
		slowest = max(slowest, c.downMS)
	}
	// What the port had no room for never came to be the daemon's to count.
	if lost > 0 && r.last.Gaps == 0 {
		out.violation("%d lines are missing and no gap was counted: a silent hole", lost)
	}
	out.figure("lost by kills", "%d lines in all, at most %d by one; the oldest was %v old, %v are allowed",
		lost, most, oldest.Round(time.Millisecond), bound)
	out.figure("lost beside", "%d lines while nobody read, %d because the port was full", unread, full)
	out.figure("start-up", "at most %d ms from exec to reading", slowest)
}

// judgeUploads checks, by what went through the link, that uploads go on and
// do not begin again. A second create is right only if the first one's reply
// was cut off; then the first upload never gets a part.
func (r *rig) judgeUploads(out *report, archived int64) {
	p := r.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	var made, again, parts, repeated int
	for key, n := range p.creates {
		made += n
		if n > 1 {
			again++
		}
		if begun := len(p.parts[key]); begun > 1 {
			out.violation("%s: %d uploads were given parts; one that has begun must go on", key, begun)
		}
		for _, numbers := range p.parts[key] {
			for _, times := range numbers {
				parts++
				if times > 1 {
					repeated++
				}
			}
		}
	}
	out.figure("uploads", "%d made, %d keys with a second create after a lost reply, %d aborted, %d whole puts", made, again, p.aborts, p.puts)
	out.figure("parts", "%d, of which %d were taken more than once", parts, repeated)
	if archived > 0 {
		out.figure("bytes sent", "%d, %.3f for each byte archived", p.sent, float64(p.sent)/float64(archived))
	}
}
