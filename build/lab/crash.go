package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// quiet is for servers whose clients are killed all the time.
var quiet = log.New(io.Discard, "", 0)

// crash cuts the power of a disk on which the real daemon works, before every
// operation that changes something and on both sides of every remote call, and
// looks at what start-up makes of what is left:
//
//   - no byte below a kept mark that was seen from outside is missing, none
//     stands twice, none is torn;
//   - objects tile their streams, each has one receipt;
//   - no upload and no file is left behind;
//   - the daemon starts each time, without a word of error.
//
// Each scene is recorded once to count its operations. A run is named
// scene:point:variant:seed, by which -only lives through it again; as the
// daemon's goroutines take turns as they like, it may come out otherwise.
func crash(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("crash", flag.ContinueOnError)
	var (
		points  = fs.String("points", "150", "how many points of all scenes, or all")
		seeds   = fs.Int("seeds", 1, "runs with each point and variant; 4 go through all kinds of disk")
		sweep   = fs.Int("sweep", 0, "for one point of each kind, cuts before so many operations of the recovery, one by one")
		seed    = fs.Uint64("seed", uint64(time.Now().UnixNano())>>8, "of everything that is drawn")
		jobs    = fs.Int("jobs", 2, "runs at a time")
		scenes  = fs.String("scenes", "s3,local,full", "which workloads; vault is another")
		only    = fs.String("only", "", "a single run, by its name")
		verbose = fs.Bool("v", false, "tell of every run")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	lab, err := newCrashLab(ctx)
	if err != nil {
		return nil, err
	}
	s := &crashSearch{lab: lab, seed: *seed, sweep: *sweep, verbose: *verbose, out: &report{}, classes: map[string]int{}, states: map[string]bool{}}
	err = s.search(ctx, *only, strings.Split(*scenes, ","), *points, *seeds, *jobs)
	s.figures()
	return s.out, errors.Join(err, lab.Close())
}

// newCrashLab builds the daemon and starts the server. Close must follow.
func newCrashLab(ctx context.Context) (lab *crashLab, err error) {
	lab = &crashLab{}
	if lab.dir, err = os.MkdirTemp(scratch(), "dray-crash-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.Close())
		}
	}()
	lab.program = filepath.Join(lab.dir, "dray")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-o", lab.program, "github.com/seed-7270d448/dray/cmd/dray")
	if out, err := build.CombinedOutput(); err != nil {
		return lab, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	server := filepath.Join(lab.dir, "server")
	if err := os.Mkdir(server, 0o700); err != nil {
		return lab, err
	}
	if lab.gateway, err = transporttest.NewGateway(transporttest.GatewayOptions{Dir: server, SmallParts: true}); err != nil {
		return lab, err
	}
	lab.client = (&rig{gateway: lab.gateway}).client()
	keys := transporttest.Keys{AccessKeyID: lab.gateway.AccessKeyID, SecretAccessKey: lab.gateway.SecretAccessKey}
	lab.vault, err = transporttest.NewVault(transporttest.VaultOptions{Dir: filepath.Join(lab.dir, "vault"), Keys: keys})
	return lab, err
}

// Close ends the server and removes all.
func (lab *crashLab) Close() error {
	var err error
	if lab.gateway != nil {
		err = lab.gateway.Close()
	}
	if lab.vault != nil {
		err = errors.Join(err, lab.vault.Close())
	}
	return errors.Join(err, os.RemoveAll(lab.dir))
}

// A crashSearch is many runs and what they showed.
type crashSearch struct {
	lab     *crashLab
	seed    uint64
	verbose bool
	first   bool // stop at the first violation
	sweep   int  // second cuts for each kind of point
	began   time.Time

	mu       sync.Mutex
	out      *report
	runs     int
	cuts     int
	broken   int
	classes  map[string]int
	states   map[string]bool // what cuts took, each once
	points   int             // of all scenes
	marks    int64
	archive  int64
	dropped  int64
	aside    int
	took     time.Duration
	recorded []string
}

func (s *crashSearch) search(ctx context.Context, only string, names []string, points string, seeds, jobs int) error {
	var plans []crashPlan
	if only != "" {
		p, err := parseCrashPlan(only)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	} else {
		var err error
		if plans, err = s.plan(ctx, names, seeds); err != nil {
			return err
		}
		if points != "all" {
			n, err := strconv.Atoi(points)
			if err != nil || n < 1 {
				return fmt.Errorf("-points %q: write a number, or all", points)
			}
			plans = plans[:min(n, len(plans))]
		}
	}
	s.began = time.Now()
	return s.all(ctx, plans, jobs)
}

// plan plans the runs of the scenes: each point in each variant with so many
// seeds, and for one point of each kind a second cut before each operation of
// the recovery.
func (s *crashSearch) plan(ctx context.Context, names []string, seeds int) (plans []crashPlan, err error) {
	kinds := map[string][]crashPlan{}
	for _, name := range names {
		scene, err := crashSceneOf(name)
		if err != nil {
			return nil, err
		}
		points, err := s.record(ctx, scene)
		if err != nil {
			return nil, err
		}
		seed := s.seed
		for _, kind := range slices.Sorted(maps.Keys(points)) {
			list := points[kind]
			add := func(point, second int, how string, disk int) error {
				seed++
				p, err := newCrashPlan(scene, point, second, how, seed*crashDisks+uint64(disk%crashDisks))
				p.kind = kind
				kinds[name+" "+kind] = append(kinds[name+" "+kind], p)
				return err
			}
			for i, point := range list {
				for k := range seeds {
					for v, how := range crashVariants {
						err = errors.Join(err, add(point, 0, how, i+k+v))
					}
				}
			}
			for second := range s.sweep {
				point := list[second%len(list)]
				err = errors.Join(err, add(point, second+1, "twice", second), add(point, second+1, "kill", second))
			}
			for call := 0; scene.dest != "local" && call < s.sweep/8; call++ { // both sides of each
				err = errors.Join(err, add(list[call%len(list)], remoteOps+2+call, "twice", call))
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return inTurn(rand.New(rand.NewPCG(s.seed, 3)), kinds), nil
}

// record lives through a scene without harm, and returns its points by what is
// done there.
func (s *crashSearch) record(ctx context.Context, scene crashScene) (points map[string][]int, err error) {
	proxy, err := s.lab.newProxy()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, proxy.Close()) }()
	plan := crashPlan{scene: scene, how: endCalm, lives: []ending{{how: endCalm}}, seed: s.seed}
	res, wrong, err := s.one(ctx, plan, proxy)
	if err != nil {
		return nil, err
	}
	if wrong.broken() {
		s.note(res, wrong)
		return nil, fmt.Errorf("scene %s breaks promises without any harm: %s", scene.name, wrong.wrong[0])
	}
	s.recorded = append(s.recorded, fmt.Sprintf("%s %d operations, %d remote calls, %d bytes archived, %d dropped, %.0f ms",
		scene.name, len(res.changes), len(res.calls), res.archive, res.dropped, res.took.Seconds()*1000))
	s.points += len(res.changes) + 2*len(res.calls)
	points = map[string][]int{}
	for i, what := range res.changes {
		points[what] = append(points[what], i+1)
	}
	for i, what := range res.calls {
		points["before "+what] = append(points["before "+what], remoteOps+2*(i+1))
		points["behind "+what] = append(points["behind "+what], remoteOps+2*(i+1)+1)
	}
	for _, need := range scene.needs {
		if len(points[need]) == 0 {
			return nil, fmt.Errorf("scene %s does not go through %q", scene.name, need)
		}
	}
	if scene.full && res.dropped == 0 {
		return nil, fmt.Errorf("scene %s drops nothing", scene.name)
	}
	return points, nil
}

// all lives through the plans, several at a time.
func (s *crashSearch) all(ctx context.Context, plans []crashPlan, jobs int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan crashPlan)
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			proxy, err := s.lab.newProxy()
			if err != nil {
				cancel(err)
				return
			}
			for p := range next {
				res, wrong, err := s.one(ctx, p, proxy)
				if err != nil {
					cancel(fmt.Errorf("%v: %w", p, err))
					break
				}
				s.note(res, wrong)
				if s.first && wrong.broken() {
					cancel(errFound)
				}
			}
			if err := proxy.Close(); err != nil {
				cancel(err)
			}
		})
	}
feeding:
	for _, p := range plans {
		select {
		case next <- p:
		case <-ctx.Done():
			break feeding
		}
	}
	close(next)
	workers.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errFound) {
		return err
	}
	return nil
}

// errFound ends a search for the first violation.
var errFound = errors.New("found")

// one lives through a plan.
func (s *crashSearch) one(ctx context.Context, p crashPlan, proxy *crashProxy) (res crashResult, wrong *report, err error) {
	if p.scene.dest == "local" {
		proxy = nil
	}
	wrong = &report{}
	w, err := s.lab.newWorld(p, proxy)
	if err != nil {
		return res, wrong, err
	}
	res, err = w.run(ctx, wrong)
	if s.verbose && wrong.broken() {
		w.tell(os.Stderr)
	}
	return res, wrong, errors.Join(err, w.Close())
}

// note takes a result down.
func (s *crashSearch) note(res crashResult, wrong *report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	for _, state := range res.states {
		s.states[res.plan.scene.name+state] = true
	}
	s.marks += res.marks
	s.archive += res.archive
	s.dropped += res.dropped
	s.took += res.took
	if len(res.aside) > 0 {
		s.aside++
	}
	for _, op := range res.ops {
		s.cuts++
		if op.Path != "" {
			s.classes[fmt.Sprintf("%v %s", op.Kind, crashClass(op.Path))]++
		}
	}
	if wrong.broken() {
		s.broken++
		for _, msg := range wrong.wrong {
			s.out.violation("%v: %s\n        behind %s", res.plan, msg, strings.Join(res.ends, ", then "))
		}
	}
	if s.verbose {
		fmt.Fprintf(os.Stderr, "%v: %s: kept %d, archived %d, %d ms\n", res.plan, strings.Join(res.ends, ", then "), res.marks, res.archive, res.took.Milliseconds())
		for _, msg := range wrong.wrong {
			fmt.Fprintln(os.Stderr, "  BROKEN:", msg)
		}
	} else if s.runs%200 == 0 {
		fmt.Fprintf(os.Stderr, "%d runs, %d broken\n", s.runs, s.broken)
	}
}

func (s *crashSearch) figures() {
	o := s.out
	o.figure("experiment", "seed %d", s.seed)
	for _, r := range s.recorded {
		o.figure("scene", "%s", r)
	}
	if s.runs == 0 {
		return
	}
	o.figure("runs", "%d with %d cuts and kills in %.0f s, %.0f ms a run; %d broke promises",
		s.runs, s.cuts, time.Since(s.began).Seconds(), s.took.Seconds()*1000/float64(s.runs), s.broken)
	o.figure("states", "%d different ones were found behind the cuts, at %d points of %d scenes", len(s.states), s.points, len(s.recorded))
	o.figure("bytes", "%d seen to be kept, %d archived, %d dropped by policy", s.marks, s.archive, s.dropped)
	o.figure("set aside", "%d runs in which start-up kept bytes that no sync had covered", s.aside)
	names := slices.SortedFunc(maps.Keys(s.classes), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.classes[b], s.classes[a]), cmp.Compare(a, b))
	})
	var list []string
	for _, n := range names {
		list = append(list, fmt.Sprintf("%s %d", n, s.classes[n]))
	}
	o.figure("cut before", "%s", strings.Join(list, ", "))
}
