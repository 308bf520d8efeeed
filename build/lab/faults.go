package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// pace is the factor of the engine's pauses: a second is 10 ms.
const pace = 0.01

// faults lives through n random fault scripts: the real engine and the real S3
// client, through the fault proxy, to a real server. Each must end in exactly
// one object of the right bytes, checksum and metadata, and nothing else in the
// bucket, or in a state that says what the operator must do. Seeds are counted
// up from -seed; "-seed N -n 1 -v" lives through one again and tells of it.
func faults(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("faults", flag.ContinueOnError)
	var (
		n       = fs.Int("n", 10_000, "scripts")
		seed    = fs.Uint64("seed", 1, "of the first one")
		workers = fs.Int("workers", 16, "scripts at a time")
		limit   = fs.Duration("limit", 40*time.Second, "for one script")
		dir     = fs.String("dir", scratch(), "folder for the states and the server")
		dest    = fs.String("dest", "s3", "s3 or glacier")
		verbose = fs.Bool("v", false, "tell of every request")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if !paced {
		return nil, again(ctx, append([]string{"faults"}, args...))
	}
	work, err := os.MkdirTemp(*dir, "dray-lab-")
	if err != nil {
		return nil, err
	}
	c := &campaign{kinds: map[string]int{}}
	var told io.Writer
	log.SetOutput(io.Discard) // net/http speaks of replies that nobody asked for
	if *verbose {
		told, *workers = os.Stderr, 1
	}
	began := time.Now()
	var server io.Closer
	var open func() (*bench, error)
	server, c.draw, open, err = faultServer(*dest, work, *limit, told)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(work))
	}
	err = c.run(ctx, *seed, *n, *workers, open)
	out := c.report()
	out.rows = append([][2]string{{"experiment", fmt.Sprintf("%d scripts from seed %d on, %d at a time, in %.0f s", c.done, *seed, *workers, time.Since(began).Seconds())}}, out.rows...)
	return out, errors.Join(err, server.Close(), os.RemoveAll(work))
}

// faultServer starts what the scripts are for, and returns what draws them and
// what lives through them.
func faultServer(dest, work string, limit time.Duration, told io.Writer) (io.Closer, func(uint64) *plan, func() (*bench, error), error) {
	dir := filepath.Join(work, "server")
	switch dest {
	case "s3":
		g, err := transporttest.NewGateway(transporttest.GatewayOptions{Dir: dir, SmallParts: true})
		return g, newPlan, func() (*bench, error) { return newBench(g, work, limit, pace, told) }, err
	case "glacier":
		v, err := transporttest.NewVault(transporttest.VaultOptions{Dir: dir})
		return v, newVaultPlan, func() (*bench, error) { return newVaultBench(v, work, limit, pace, told) }, err
	}
	return nil, nil, nil, fmt.Errorf("-dest %q is not known; use s3 or glacier", dest)
}

// scratch is a folder in memory if there is one: the campaign is not about flash.
func scratch() string {
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// again runs the lab with args in a build in which pauses can be shortened.
func again(ctx context.Context, args []string) (err error) {
	dir, err := os.MkdirTemp("", "dray-lab-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "lab")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-o", program, "github.com/seed-7270d448/dray/build/lab")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build lab: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "DRAY_LAB_PACE="+strconv.FormatFloat(pace, 'g', -1, 64))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	if err := cmd.Run(); err != nil {
		return errors.New("see above")
	}
	return nil
}

// A campaign is many plans and what became of them.
type campaign struct {
	draw           func(seed uint64) *plan
	mu             sync.Mutex
	next           uint64
	done           int
	fired          int
	kinds          map[string]int
	few            int // plans of which less came to pass than was planned
	stuck, doubt   int
	left           int
	sent, archived int64
	failed         int
	wrong          []string
	reasons        map[string]int
}

func (c *campaign) run(ctx context.Context, seed uint64, n, workers int, open func() (*bench, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.next, c.reasons = seed, map[string]int{}
	var all sync.WaitGroup
	for range min(workers, n) {
		all.Go(func() {
			b, err := open()
			if err != nil {
				cancel(err)
				return
			}
			for ctx.Err() == nil {
				c.mu.Lock()
				p := c.draw(c.next)
				c.next++
				end := p.seed-seed >= uint64(n)
				c.mu.Unlock()
				if end {
					break
				}
				if b.log != nil {
					fmt.Fprintf(b.log, "seed %d: %v\n", p.seed, p)
				}
				out, err := b.run(ctx, p)
				if err != nil {
					cancel(fmt.Errorf("seed %d: %w", p.seed, err))
					break
				}
				c.add(p, out)
			}
			if err := b.proxy.Close(); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (c *campaign) add(p *plan, out *outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.fired += len(out.fired)
	kinds := map[string]bool{}
	for _, f := range out.fired {
		kinds[f.Kind()] = true
		c.kinds[f.Kind()]++
	}
	if out.stuck == "" && (len(out.fired) < 3 || len(kinds) < 2) {
		c.few++
		c.wrong = append(c.wrong, fmt.Sprintf("seed %d: only %d faults of %d kinds came to pass: %s", p.seed, len(out.fired), len(kinds), transporttest.FormatScript(out.fired, p.modes)))
	}
	c.doubt += out.doubt
	c.left += out.left
	c.sent += out.sent
	c.archived += out.archived
	if out.stuck != "" {
		c.stuck++
		c.reasons[out.stuck]++
		fmt.Fprintf(os.Stderr, "seed %d: %v\n  is not archived: %s\n", p.seed, p, out.stuck)
	}
	if len(out.wrong) > 0 {
		c.failed++
		c.wrong = append(c.wrong, fmt.Sprintf("seed %d: %s", p.seed, strings.Join(out.wrong, "; ")))
		fmt.Fprintf(os.Stderr, "seed %d: %v\n  BROKEN: %s\n", p.seed, p, strings.Join(out.wrong, "\n  BROKEN: "))
	}
	if c.done%500 == 0 {
		fmt.Fprintf(os.Stderr, "%d done, %d broken\n", c.done, c.failed)
	}
}

func (c *campaign) report() *report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &report{}
	r.figure("faults", "%d came to pass, of %d kinds; %d scripts saw less than three of two kinds", c.fired, len(c.kinds), c.few)
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(c.kinds)) {
		kinds = append(kinds, fmt.Sprintf("%s %d", k, c.kinds[k]))
	}
	r.figure("kinds", "%s", strings.Join(kinds, ", "))
	r.figure("outcomes", "%d archived, of which %d receipts in doubt; %d wait for the operator", c.done-c.stuck, c.doubt, c.stuck)
	r.figure("left behind", "%d uploads, where looking for them or ending them was denied", c.left)
	if c.archived > 0 {
		r.figure("bytes sent", "%d, %.3f for each of %d archived", c.sent, float64(c.sent)/float64(c.archived), c.archived)
	}
	for _, w := range c.wrong {
		r.violation("%s", w)
	}
	return r
}
