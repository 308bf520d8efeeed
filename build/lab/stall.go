package main

import (
	"context"
	"errors"
	"flag"
	"time"
)

// maxFull is how long the port may be full: a reader that waits for a stalled
// sync stays away for two seconds, a busy machine keeps it away for less.
const maxFull = 1500 * time.Millisecond

// stall feeds a fixed number of lines at the rate of a fast serial port into a
// daemon whose every tenth sync takes two seconds. Reading never waits for
// flash: the archive must be the input, byte for byte, and the port is never full
// for anything like the time that a stalled sync takes.
func stall(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("stall", flag.ContinueOnError)
	var (
		size  = fs.Int("bytes", 50_000_000, "to feed")
		rate  = fs.Int("rate", 92160, "bytes a second; 92160 is 921600 baud")
		every = fs.String("stall", "10:2s", "every so many syncs, so long; empty: none")
		dest  = fs.String("dest", "s3", "s3 or local")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	c := rigConfig{dest: *dest, tags: "lab", rate: *rate, lines: *size / lineSize, waits: true, link: 16 << 20, interval: time.Second, objectMiB: 12}
	if *every != "" {
		c.env = []string{"DRAY_LAB_SYNC_STALL=" + *every}
	}
	r, err := newRig(ctx, c)
	if err != nil {
		return nil, err
	}
	out := &report{}
	out.figure("experiment", "%d lines of %d bytes at %d bytes/s, sync stalls %q", c.lines, lineSize, *rate, *every)
	return out, errors.Join(r.stalled(ctx, *every, out), r.Close())
}

func (r *rig) stalled(ctx context.Context, every string, out *report) error {
	if err := r.start(); err != nil {
		return err
	}
	if _, err := r.until(ctx, 20*time.Second, "the port to be open", opened); err != nil {
		return err
	}
	began := time.Now()
	fed := make(chan error, 1)
	go func() { fed <- r.feed.run(ctx) }()
	longest, err := r.longestSync(ctx, fed)
	if err != nil {
		return err
	}
	out.figure("fed", "%d lines in %.1f s; kept stood still for up to %.1f s", r.feed.made(), time.Since(began).Seconds(), longest.Seconds())
	full := r.feed.longestFull()
	out.figure("port", "full for up to %d ms; %d ms are allowed", full.Milliseconds(), maxFull.Milliseconds())
	if full > maxFull {
		out.violation("the port was full for %v: its reader waited for flash", full.Round(time.Millisecond))
	}
	if every != "" && longest < 1900*time.Millisecond {
		out.violation("no sync was seen to stall: the experiment proves nothing")
	}
	if err := r.drain(ctx, out); err != nil {
		return err
	}
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
	for _, m := range lines.missing {
		out.violation("lines %d to %d are missing", m.first, m.end-1)
	}
	out.figure("archive", "%d objects, %d bytes, %d holes, %d lines", len(objects), bytes, len(holes), lines.lines)
	if r.proxy != nil {
		r.judgeUploads(out, bytes)
	}
	return nil
}

// longestSync watches the kept mark until the feed has ended, and returns the
// longest time for which it stood still.
func (r *rig) longestSync(ctx context.Context, fed <-chan error) (longest time.Duration, err error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var kept int64
	since := time.Now()
	for {
		select {
		case err := <-fed:
			return longest, err
		case <-tick.C:
		}
		s, err := r.status(ctx)
		if err != nil || s.Kept == kept && s.Appended == kept {
			since = time.Now() // nothing is known, or nothing is waiting
			continue
		}
		if s.Kept != kept {
			kept, since = s.Kept, time.Now()
		}
		longest = max(longest, time.Since(since))
	}
}
