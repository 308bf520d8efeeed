package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/engine"
)

// A faultPlan is one run: operation n of a scene fails.
type faultPlan struct {
	scene crashScene
	kind  failure
	n     int
	seed  uint64
}

// String is how -only names the run.
func (p faultPlan) String() string {
	return fmt.Sprintf("%s:%s:%d:%d", p.scene.name, p.kind.name, p.n, p.seed)
}

// parseFaultPlan reads what String wrote.
func parseFaultPlan(s string) (p faultPlan, err error) {
	f := strings.Split(s, ":")
	if len(f) != 4 {
		return p, fmt.Errorf("-only %q: write scene:failure:operation:seed", s)
	}
	if p.scene, err = crashSceneOf(f[0]); err != nil {
		return p, err
	}
	if p.kind, err = failureOf(f[1]); err != nil {
		return p, err
	}
	if p.n, err = strconv.Atoi(f[2]); err != nil || p.n < 0 {
		return p, fmt.Errorf("-only %q: operation %q is not a number", s, f[2])
	}
	if p.seed, err = strconv.ParseUint(f[3], 10, 64); err != nil {
		return p, fmt.Errorf("-only %q: %w", s, err)
	}
	return p, nil
}

// How a run goes on behind the failure, drawn from its seed.
type faultCourse struct {
	kill int    // SIGKILL so many operations behind it; negative: the daemon lives on
	heal int    // first round before which what lasts can be healed
	end  string // of the second life, before the one that drains
	cut  uint64
}

func (p faultPlan) course() (c faultCourse) {
	r := rand.New(rand.NewPCG(p.seed, uint64(p.n)))
	c = faultCourse{kill: -1, heal: 1 + r.IntN(faultRounds), end: endCut, cut: powerfs.Worst}
	if !p.kind.lasts && r.IntN(3) == 0 {
		c.kill = r.IntN(6)
	}
	switch r.IntN(4) {
	case 0:
		c.cut = r.Uint64()
	case 1:
		c.end = endCalm
	}
	return c
}

// faultRounds is how often lines are fed; half way the daemon is started anew.
const faultRounds = 12

// What a run showed, besides promises that were broken.
type faultResult struct {
	crashResult
	fired  bool
	what   string   // failed
	gaveUp []string // what start-up said that could not go on
	failed []string // what an orderly stop said that could not end so
}

// runFault lives through a plan and judges what is left. An error is the lab's own.
func (w *crashWorld) runFault(ctx context.Context, p faultPlan, out *report) (res faultResult, err error) {
	began := time.Now()
	c := p.course()
	j := newInjector(p.kind, p.n, c.kill, p.seed)
	defer func() {
		res.fired, _ = j.state()
		res.what, res.took = j.String(), time.Since(began)
	}()
	broken := func(format string, args ...any) (faultResult, error) {
		out.violation(format, args...)
		if w.daemon != nil && w.hasExited() {
			w.said = append(w.said, w.daemon.output.String())
			w.end()
		}
		return res, nil
	}
	w.fault = j.hook
	for life, rounds := range [][2]int{{0, faultRounds / 2}, {faultRounds / 2, faultRounds}} {
		if err := w.grow([...]int{150, 10}[life]); err != nil {
			return res, err
		}
		on, err := w.startUnder(ctx, j, &res)
		for round := rounds[0]; on && err == nil && round < rounds[1]; round++ {
			if fired, active := j.state(); round >= c.heal && fired && active {
				j.heal(w.disk)
			}
			on, err = w.round(ctx, j, round)
		}
		last := life == 1
		if on && err == nil && last {
			if j.lasts {
				j.disarm()
			}
			j.heal(w.disk)
			if on, err = w.recovered(ctx); on {
				j.disarm()
			}
		}
		switch {
		case err != nil:
			return broken("life %d: %v", len(w.lives), err)
		case !on: // it is to be killed
			err = w.crash(endKill, 0)
			if err == nil && last {
				on, err = w.startUnder(ctx, j, &res)
				if on && err == nil {
					on, err = w.recovered(ctx)
				}
				if err != nil || !on {
					return broken("life %d, behind a kill: %v", len(w.lives), err)
				}
				err = w.endLife(c)
			}
		case last:
			err = w.endLife(c)
		default:
			err = w.stopUnder(&res)
		}
		if err != nil {
			return broken("the end of life %d: %v", len(w.lives), err)
		}
	}
	w.fault = nil
	j.heal(w.disk)
	if err := w.drain(ctx); err != nil {
		return broken("the last life: %v", err)
	}
	for _, what := range j.wrong {
		out.violation("%s", what)
	}
	return res, w.judge(ctx, out, &res.crashResult)
}

// startUnder starts a life. Where start-up gives up, as it may while the
// failure is there, it has to say why, and to come up once that is healed.
func (w *crashWorld) startUnder(ctx context.Context, j *injector, res *faultResult) (on bool, err error) {
	err = w.begin(ctx, ending{how: endCalm})
	if err != nil && w.daemon != nil && w.exitedBy(1) {
		said := w.daemon.output.String()
		w.said = append(w.said, said)
		w.end()
		fired, _ := j.state()
		_, why, told := strings.Cut("\n"+said, "\ndray run: ") // in one line or more
		why = "dray run: " + lastLine(why)
		if !fired || !told {
			return false, err
		}
		res.gaveUp = append(res.gaveUp, why)
		j.heal(w.disk)
		err = w.begin(ctx, ending{how: endCalm})
	}
	if err != nil {
		return false, err
	}
	select {
	case <-w.disk.Stopped():
		return false, nil
	default:
		return true, nil
	}
}

// hasExited says whether the daemon has ended by itself.
func (w *crashWorld) hasExited() bool {
	select {
	case <-w.daemon.exited:
		return true
	default:
		return false
	}
}

// exitedBy says whether it has, with that exit code.
func (w *crashWorld) exitedBy(code int) bool {
	return w.hasExited() && w.daemon.cmd.ProcessState.ExitCode() == code
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// round feeds some lines and waits until they are kept; while a failure lasts,
// only a moment.
func (w *crashWorld) round(ctx context.Context, j *injector, n int) (on bool, err error) {
	full := w.plan.scene.full
	if full && w.proxy != nil && n == 3 {
		w.proxy.setAway(true)
	}
	lines := 40
	if full {
		lines = 100
	}
	if err := w.feed(lines); err != nil {
		return false, err
	}
	kept := func(pipe, _ engine.StreamStatus, _ engine.Status) bool {
		return pipe.Kept == pipe.Appended && w.caughtUp(pipe) || full && pipe.Gaps > 0
	}
	if on, err = w.patient(ctx, j, kept); !on || err != nil {
		return on, err
	}
	if n%4 == 1 {
		_, _ = w.daemon.call(w.alive, "POST", "/flush") // it may fail now
	}
	return true, nil
}

// patient waits until ok says yes, but only a moment while a failure lasts.
func (w *crashWorld) patient(ctx context.Context, j *injector, ok func(pipe, tail engine.StreamStatus, s engine.Status) bool) (on bool, err error) {
	began := time.Now()
	for {
		moment, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		on, err = w.settled(moment, ok)
		cancel()
		if err == nil || w.hasExited() || ctx.Err() != nil {
			return on, err
		}
		if _, active := j.state(); active {
			return true, nil
		}
		if time.Since(began) > aLife {
			return false, err
		}
	}
}

// recovered waits until the daemon has got over it by itself: all is kept and archived.
func (w *crashWorld) recovered(ctx context.Context) (on bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, aLife)
	defer cancel()
	on, err = w.settled(ctx, func(pipe, tail engine.StreamStatus, s engine.Status) bool {
		return pipe.Kept == pipe.Appended && w.caughtUp(pipe) &&
			tail.Kept == tail.Appended && tail.Appended >= int64(w.fileLines)*lineSize && s.Destinations[0].PendingObjects == 0
	})
	if err != nil {
		err = fmt.Errorf("waiting until all is kept and archived: %w", err)
	}
	return on, err
}

// stopUnder ends the first life with SIGTERM. It may say that it could not keep
// the last bytes, but not hang, nor die.
func (w *crashWorld) stopUnder(res *faultResult) error {
	if err := w.daemon.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	limit := time.NewTimer(2 * aLife)
	defer limit.Stop()
	select {
	case <-w.daemon.exited:
	case <-w.disk.Stopped(): // its kill comes now
		return w.crash(endKill, 0)
	case <-limit.C:
		return fmt.Errorf("it did not end within %v of SIGTERM", 2*aLife)
	}
	var err error
	switch w.daemon.cmd.ProcessState.ExitCode() {
	case 0:
	case 1:
		res.failed = append(res.failed, lastLine(w.daemon.output.String()))
	default:
		err = w.daemon.died()
	}
	w.said = append(w.said, w.daemon.output.String())
	w.end()
	return err
}

// endLife ends the second life, in which all is well again.
func (w *crashWorld) endLife(c faultCourse) error {
	if c.end != endCalm {
		return w.crash(c.end, c.cut)
	}
	err := w.daemon.stop()
	w.said = append(w.said, w.daemon.output.String())
	w.end()
	return err
}

// oneFault lives through a plan in a world of its own.
func (lab *crashLab) oneFault(ctx context.Context, p faultPlan, proxy *crashProxy, verbose bool) (res faultResult, wrong *report, err error) {
	if p.scene.dest == "local" {
		proxy = nil
	}
	wrong = &report{}
	// The disk's kind is drawn, but it has O_DIRECT: where it has not, only the
	// kernel could empty its cache, and this disk has its own.
	w, err := lab.newWorld(crashPlan{scene: p.scene, seed: p.seed &^ noDirectSeed}, proxy)
	if err != nil {
		return res, wrong, err
	}
	limited, cancel := context.WithTimeout(ctx, 6*aLife)
	res, err = w.runFault(limited, p, wrong)
	cancel()
	if verbose && wrong.broken() {
		w.tell(os.Stderr)
	}
	return res, wrong, errors.Join(err, w.Close())
}
