package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// faultsDisk lets file-system operation N of a short workload fail, for N = 0,
// 1, 2 … until a run succeeds without the failure coming to pass, in each way in
// which flash fails. The workload is that of crash: the real daemon on a disk of
// the lab's, two streams, slots rolled and used again, generations, receipts,
// parts, puts, and in scene full drops; half way the daemon is started anew, so
// that the operations of start-up fail too. In each run, behind the failure:
//
//   - the daemon lives on, or where start-up gives up it says why, exits 1, and
//     comes up once the failure is healed;
//   - all that was read is kept and archived once it is healed, by itself;
//   - then mostly the power is cut, which shows what was trusted behind a failed
//     sync; some runs are killed just behind the failure besides;
//   - and judged as crash does: nothing kept is missing, each byte once, objects
//     tile, each has a receipt, no upload and no file is left.
func faultsDisk(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("faults-disk", flag.ContinueOnError)
	var (
		points  = fs.Int("points", 0, "how many operations of each scene and failure, drawn at random; 0: all")
		seeds   = fs.Int("seeds", 1, "runs with each operation")
		seed    = fs.Uint64("seed", uint64(time.Now().UnixNano()), "of everything that is drawn")
		jobs    = fs.Int("jobs", 4, "runs at a time")
		scenes  = fs.String("scenes", "s3,local,full", "which workloads")
		kinds   = fs.String("failures", "", "which failures; empty: all")
		only    = fs.String("only", "", "a single run, by its name")
		verbose = fs.Bool("v", false, "tell of every run")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	s := &faultSearch{seed: *seed, seeds: *seeds, points: *points, verbose: *verbose, out: &report{}, tallies: map[string]*faultTally{}, gaveUp: map[string]int{}, failed: map[string]int{}}
	if err := s.choose(*only, *scenes, *kinds); err != nil {
		return nil, err
	}
	lab, err := newCrashLab(ctx)
	if err != nil {
		return nil, err
	}
	s.lab, s.began = lab, time.Now()
	err = s.search(ctx, *jobs)
	s.figures()
	return s.out, errors.Join(err, lab.Close())
}

// A faultSearch is many runs and what they showed.
type faultSearch struct {
	lab     *crashLab
	seed    uint64
	seeds   int
	points  int // 0: all
	verbose bool
	began   time.Time
	lines   []faultPlan // where each search begins, n being 0
	only    bool        // and ends

	mu      sync.Mutex
	out     *report
	runs    int
	broken  int
	took    time.Duration
	tallies map[string]*faultTally // by failure
	gaveUp  map[string]int
	failed  map[string]int
}

// A faultTally counts what came of one failure.
type faultTally struct{ runs, injected, gaveUp, failed, broken int }

func (s *faultSearch) choose(only, scenes, kinds string) error {
	if only != "" {
		p, err := parseFaultPlan(only)
		s.lines, s.only = []faultPlan{p}, true
		return err
	}
	var chosen []failure
	for _, f := range failures {
		if kinds == "" || slices.Contains(strings.Split(kinds, ","), f.name) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 || kinds != "" && len(chosen) != len(strings.Split(kinds, ",")) {
		return fmt.Errorf("-failures %q: not all are known", kinds)
	}
	for _, name := range strings.Split(scenes, ",") {
		scene, err := crashSceneOf(name)
		if err != nil {
			return err
		}
		for _, f := range chosen {
			s.lines = append(s.lines, faultPlan{scene: scene, kind: f})
		}
	}
	return nil
}

// search goes through the failures of each scene, several runs at a time.
func (s *faultSearch) search(ctx context.Context, jobs int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lines := make(chan faultPlan)
	slots := make(chan *crashProxy, jobs)
	for range jobs {
		proxy, err := s.lab.newProxy()
		if err != nil {
			return err
		}
		slots <- proxy
	}
	var workers sync.WaitGroup
	for range min(jobs, len(s.lines)) {
		workers.Go(func() {
			for first := range lines {
				if err := s.line(ctx, first, slots); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, first := range s.lines {
		select {
		case lines <- first:
		case <-ctx.Done():
		}
	}
	close(lines)
	workers.Wait()
	var errs []error
	for range jobs {
		errs = append(errs, (<-slots).Close())
	}
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// line lets one operation after the other fail, until none does any more.
func (s *faultSearch) line(ctx context.Context, p faultPlan, slots chan *crashProxy) error {
	if s.only {
		_, err := s.one(ctx, p, slots)
		return err
	}
	if s.points > 0 {
		return s.sample(ctx, p, slots)
	}
	for through := 0; through < s.seeds; p.n++ {
		through = 0
		for k := range s.seeds {
			p.seed = s.seed + uint64(p.n*s.seeds+k)
			fired, err := s.one(ctx, p, slots)
			if err != nil {
				return err
			}
			if !fired {
				through++
			}
		}
	}
	return nil
}

// sample draws some operations: below one that was beyond the end.
func (s *faultSearch) sample(ctx context.Context, p faultPlan, slots chan *crashProxy) error {
	r := rand.New(rand.NewPCG(s.seed, uint64(len(p.kind.name)+len(p.scene.name)<<8)))
	end := 600
	for range s.points {
		p.n, p.seed = r.IntN(end), r.Uint64()>>32
		for {
			fired, err := s.one(ctx, p, slots)
			if err != nil {
				return err
			}
			if fired {
				break
			}
			end, p.n = p.n, p.n/2
		}
	}
	return nil
}

// one lives through a plan, with whichever proxy is free.
func (s *faultSearch) one(ctx context.Context, p faultPlan, slots chan *crashProxy) (fired bool, err error) {
	var proxy *crashProxy
	select {
	case proxy = <-slots:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	res, wrong, err := s.lab.oneFault(ctx, p, proxy, s.verbose)
	slots <- proxy
	if err != nil {
		return false, fmt.Errorf("%v: %w", p, err)
	}
	s.note(p, res, wrong)
	return res.fired, nil
}

// note takes a result down.
func (s *faultSearch) note(p faultPlan, res faultResult, wrong *report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tallies[p.kind.name]
	if t == nil {
		t = &faultTally{}
		s.tallies[p.kind.name] = t
	}
	s.runs++
	s.took += res.took
	t.runs++
	if res.fired {
		t.injected++
	}
	if len(res.gaveUp) > 0 {
		t.gaveUp++
	}
	if len(res.failed) > 0 {
		t.failed++
	}
	for _, why := range res.gaveUp {
		s.gaveUp[p.kind.name+": "+strip(why)]++
	}
	for _, why := range res.failed {
		s.failed[p.kind.name+": "+strip(why)]++
	}
	if wrong.broken() {
		t.broken++
		s.broken++
		for _, msg := range wrong.wrong {
			s.out.violation("%v (%s): %s", p, res.what, msg)
		}
	}
	if s.verbose {
		fmt.Fprintf(os.Stderr, "%v: %s: kept %d, archived %d, %d ms\n", p, res.what, res.marks, res.archive, res.took.Milliseconds())
		for _, msg := range slices.Concat(res.gaveUp, res.failed, wrong.wrong) {
			fmt.Fprintln(os.Stderr, " ", msg)
		}
	} else if s.runs%200 == 0 {
		fmt.Fprintf(os.Stderr, "%d runs, %d broken\n", s.runs, s.broken)
	}
}

// strip takes out of a message what differs from run to run.
func strip(s string) string {
	words := strings.Fields(s)
	for i, w := range words {
		if at := strings.Index(w, "/mnt/"); at >= 0 {
			words[i] = w[at+len("/mnt"):]
		}
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, strings.Join(words, " "))
}

func (s *faultSearch) figures() {
	o := s.out
	o.figure("experiment", "seed %d, %d runs in %.0f s, %.0f ms a run", s.seed, s.runs, time.Since(s.began).Seconds(), s.took.Seconds()*1000/float64(max(s.runs, 1)))
	o.figure("failure", "%6s %9s %8s %7s %7s", "runs", "injected", "gave up", "exit 1", "broken")
	for _, f := range failures {
		if t := s.tallies[f.name]; t != nil {
			o.figure(f.name, "%6d %9d %8d %7d %7d  %s", t.runs, t.injected, t.gaveUp, t.failed, t.broken, f.short)
		}
	}
	for name, list := range map[string]map[string]int{"gave up": s.gaveUp, "exit 1": s.failed} {
		for _, why := range slices.SortedFunc(maps.Keys(list), func(a, b string) int { return cmp.Or(cmp.Compare(list[b], list[a]), cmp.Compare(a, b)) }) {
			o.figure(name, "%d x %s", list[why], why)
		}
	}
}
