package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

const year = 365 * 24 * time.Hour

// A clockStep is what the clocks do: boot, or just set the wall clock, then let
// the device work for a while.
type clockStep struct {
	what   string
	boot   bool          // the power was off
	ahead  time.Duration // of the wall clock, from the right time
	year   int           // the wall clock begins in this year instead
	synced bool          // the kernel says that the clock is right
	work   time.Duration
}

// clockSteps is a device without a clock of its own, and then some with a bad one.
var clockSteps = []clockStep{
	{what: "boot, clock in 1970", boot: true, year: 1970, work: 4 * time.Second},
	{what: "jumps to now, synchronised", synced: true, work: 4 * time.Second},
	{what: "back an hour", ahead: -time.Hour, work: 4 * time.Second},
	{what: "forward a year", ahead: year, work: 4 * time.Second},
	{what: "power cut, 1970, never learns it", boot: true, year: 1970, work: 12 * time.Second},
	{what: "power cut, battery-backed clock a year ahead", boot: true, ahead: year, work: time.Second},
	{what: "synchronised", synced: true, work: 4 * time.Second},
	{what: "power cut, clock a day behind what has surely passed", boot: true, ahead: -24 * time.Hour, work: 2 * time.Second},
	{what: "synchronised", synced: true, work: 4 * time.Second},
}

// clock runs the real daemon on clocks that start wrong and are stepped, and
// compares the keys and times of what it archives with when the bytes were
// really written to it, which each line of them says.
func clock(ctx context.Context, args []string) (_ *report, err error) {
	fs := flag.NewFlagSet("clock", flag.ContinueOnError)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dray-clock-")
	if err != nil {
		return nil, err
	}
	c := &clockRig{dir: dir}
	defer func() { err = errors.Join(err, c.stop(), os.RemoveAll(dir)) }()
	if out, err := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-o", c.path("dray"), "github.com/seed-7270d448/dray/cmd/dray").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	text := fmt.Sprintf(`device: lab
state_dir: %s
spool: {max_bytes: 64MiB, min_free: 1MiB}
clock: {wait: 8s}
streams:
  - name: lines
    source: {type: stdin}
    framing: lines
    sync: {interval: 50ms}
    object: {max_bytes: 8MiB, max_age: 2s}
    key: "{yyyy}-{mm}-{dd}T{hh}/{epoch}-{start}"
    destination: archive
destinations:
  - {name: archive, type: local, path: %s}
`, c.path("state"), c.path("archive"))
	if err := errors.Join(os.WriteFile(c.path("dray.yaml"), []byte(text), 0o600), os.Mkdir(c.path("archive"), 0o700)); err != nil {
		return nil, err
	}
	out := &report{}
	for i, s := range clockSteps {
		began := time.Now()
		if err := c.step(ctx, i, s); err != nil {
			return out, fmt.Errorf("%s: %w", s.what, err)
		}
		out.figure(s.what, "%d lines in %.1f s", c.lines, time.Since(began).Seconds())
	}
	if err := c.drain(ctx); err != nil {
		return out, err
	}
	return out, c.judge(ctx, out)
}

// clockRig is the daemon and its clocks.
type clockRig struct {
	dir   string
	cmd   *exec.Cmd
	in    io.WriteCloser
	said  tail
	face  clockFace
	lines int
	wrote map[int]int // the step in which each line was written
}

// clockFace is what the daemon reads its clocks from.
type clockFace struct {
	Boot   string
	Since  time.Time
	Ahead  time.Duration
	Synced bool
}

func (c *clockRig) path(name string) string { return filepath.Join(c.dir, name) }

// step sets the clocks and writes a line every few milliseconds.
func (c *clockRig) step(ctx context.Context, number int, s clockStep) error {
	if s.boot {
		if err := c.stop(); err != nil {
			return err
		}
		c.face.Boot, c.face.Since = fmt.Sprint("boot ", number), time.Now()
	}
	if c.face.Ahead = s.ahead; s.year != 0 {
		c.face.Ahead = time.Until(time.Date(s.year, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	c.face.Synced = s.synced
	b, err := json.Marshal(c.face)
	if err == nil {
		err = os.WriteFile(c.path("clock.new"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(c.path("clock.new"), c.path("clock"))
	}
	if err == nil && s.boot {
		err = c.start()
	}
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	if c.wrote == nil {
		c.wrote = map[int]int{}
	}
	for end := time.Now().Add(s.work); time.Now().Before(end); {
		if _, err := fmt.Fprintf(c.in, "%d %d\n", c.lines, time.Now().UnixNano()); err != nil {
			return fmt.Errorf("%w; dray said:\n%s", err, c.said.String())
		}
		c.wrote[c.lines] = number
		c.lines++
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *clockRig) start() (err error) {
	c.cmd = exec.Command(c.path("dray"), "run", "-c", c.path("dray.yaml"))
	c.cmd.Env = append(os.Environ(), "DRAY_LAB_CLOCK="+c.path("clock"), "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
	c.cmd.Stdout, c.cmd.Stderr = &c.said, &c.said
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	return c.cmd.Start()
}

// stop cuts the power, if it is on.
func (c *clockRig) stop() error {
	if c.cmd == nil || c.cmd.Process == nil {
		return nil
	}
	_ = c.cmd.Process.Kill() // it may be gone already; Wait tells
	err := c.cmd.Wait()
	c.cmd = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return fmt.Errorf("dray ended by itself: %w; it said:\n%s", err, c.said.String())
}

// drain lets another run archive all that is left.
func (c *clockRig) drain(ctx context.Context) error {
	if err := c.stop(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.path("dray"), "run", "--drain", "-c", c.path("dray.yaml"))
	cmd.Env = append(os.Environ(), "DRAY_LAB_CLOCK="+c.path("clock"), "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("drain: %w\n%s", err, out)
	}
	return nil
}

// off is how far a time of capture may be from when the line was written: a slow
// machine's share, and far below what any step would make of it.
const off = 30 * time.Second

// judge compares each receipt with the lines in its object.
func (c *clockRig) judge(ctx context.Context, out *report) error {
	b, err := exec.CommandContext(ctx, c.path("dray"), "receipts", "--json", "--state", c.path("state")).Output()
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	var list []engine.Receipt
	for d := json.NewDecoder(strings.NewReader(string(b))); ; {
		var r engine.Receipt
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		list = append(list, r)
	}
	// Receipts are written as objects finish; in order are the objects.
	slices.SortFunc(list, func(a, b engine.Receipt) int { return int(a.Start - b.Start) })
	next, at := -1, int64(0)
	var known time.Time // the last time that was known
	var estimated, worst = 0, time.Duration(0)
	for _, r := range list {
		if r.Start != at {
			out.violation("an object begins at %d, the one before it ended at %d", r.Start, at)
		}
		at = r.End
		first, err := c.object(r, &next, out)
		if err != nil {
			return err
		}
		step, late := c.wrote[first.number], r.FirstTime.Sub(first.written)
		blind := clockSteps[step].year != 0 && step > 0 // a boot that never learns it
		switch {
		case r.Estimated != blind:
			out.violation("%s, captured while %q: marked as an estimate: %v", r.Key, clockSteps[step].what, r.Estimated)
		case blind:
			estimated++
			if r.FirstTime.Before(known) || late > off {
				out.violation("%s: filed %v from the truth, and %v behind the last known time", r.Key, late, r.FirstTime.Sub(known))
			}
		default:
			known, worst = r.FirstTime, max(worst, late.Abs())
			if late.Abs() > off {
				out.violation("%s, captured while %q: %v from when its first line was written", r.Key, clockSteps[step].what, late)
			}
		}
		if want := r.FirstTime.UTC().Format("2006-01-02T15/"); !strings.HasPrefix(r.Key, want) {
			out.violation("%s does not begin with %s", r.Key, want)
		}
	}
	out.figure("objects", "%d, of which %d are marked as estimates; the others are at most %v from the truth", len(list), estimated, worst.Round(time.Millisecond))
	if estimated == 0 || len(list) < 10 {
		out.violation("%d objects, %d estimates: the experiment proves nothing", len(list), estimated)
	}
	return nil
}

// firstLine is the number of an object's first line, and when it was written.
type firstLine struct {
	number  int
	written time.Time
}

// object reads an object's lines, which must go on behind next, and returns its first.
func (c *clockRig) object(r engine.Receipt, next *int, out *report) (first firstLine, err error) {
	f, err := os.Open(filepath.Join(c.path("archive"), filepath.FromSlash(r.Key)))
	if err != nil {
		return first, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var number int
		var written int64
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &number, &written); err != nil {
			return first, fmt.Errorf("%s: line %q: %w", r.Key, lines.Text(), err)
		}
		if number <= *next {
			out.violation("%s: line %d comes behind line %d", r.Key, number, *next)
		}
		if *next = number; first.written.IsZero() {
			first = firstLine{number, time.Unix(0, written)}
		}
	}
	return first, nil
}
