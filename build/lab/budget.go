package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// budget lets the real daemon use up a day's budget over an interface of its own,
// and kills it again and again meanwhile. What the interface itself has counted at
// the end, in IP packets, must not be more than the budget, and not less than it
// by more than what each kill may waste and one part. It needs root.
func budget(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("budget", flag.ContinueOnError)
	var (
		mib   = fs.Int64("mib", 64, "of the budget")
		kills = fs.Int("n", 10, "kills")
		seed  = fs.Uint64("seed", 1, "of their moments")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "dray-lab-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "bulk")
	// It is read to its end long before the budget is.
	err = os.WriteFile(path, bytes.Repeat(makeLine(0), int(2*(*mib)<<20)/lineSize), 0o600)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l, err := newLiar(ctx, fmt.Sprintf("{type: file, path: %s, follow: true}", path), "3MiB/s", fmt.Sprintf("%dMiB", *mib))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	out := &report{}
	err = l.spend(ctx, *kills, *mib<<20, rand.New(rand.NewPCG(*seed, 0)), out)
	return out, errors.Join(err, l.Close(), os.RemoveAll(dir))
}

// budgetObject is the object, and the one part, that is sent at a time.
const budgetObject = 1 << 20

func (l *liar) spend(ctx context.Context, kills int, limit int64, r *rand.Rand, out *report) error {
	for i := range kills {
		if _, err := l.start(); err != nil {
			return err
		}
		pause(ctx, time.Second+time.Duration(r.Int64N(int64(2*time.Second))))
		if !l.rig.running() {
			return l.rig.died()
		}
		if err := l.rig.cmd.Process.Kill(); err != nil {
			return err
		}
		<-l.rig.exited
		if carried, err := l.carried(); err != nil || carried > limit {
			return fmt.Errorf("after kill %d: %d bytes were carried, the budget is %d: %w", i+1, carried, limit, err)
		}
	}
	if _, err := l.start(); err != nil {
		return err
	}
	for began := time.Now(); ; pause(ctx, 100*time.Millisecond) {
		s, err := l.status(ctx)
		if err == nil && s.Link == "over budget" && s.InFlight == 0 {
			break
		}
		if time.Since(began) > 3*time.Minute {
			return fmt.Errorf("the budget is not used up after 3 min: %+v (%w)", s, err)
		}
	}
	pause(ctx, 5*time.Second) // nothing may go any more
	s, err := l.statusOfAll(ctx)
	if err != nil {
		return err
	}
	carried, err := l.carried()
	if err != nil {
		return err
	}
	ahead := max(limit/64, 64<<10)
	least := limit - int64(kills)*ahead - budgetObject*2
	out.figure("experiment", "%d kills while a budget of %d bytes was used", kills, limit)
	out.figure("carried", "%d bytes by the interface's own count, %.3f of the budget; the daemon says %d", carried, float64(carried)/float64(limit), s.Budgets[0].Day.Bytes)
	out.figure("wasted", "%d bytes, of which a kill may waste %d and the last part that did not fit %d", limit-carried, ahead, budgetObject)
	out.figure("archived", "%d bytes", s.Streams[0].Archived)
	if carried > limit {
		out.violation("%d bytes were carried, the budget is %d", carried, limit)
	}
	if carried < least {
		out.violation("%d bytes were carried, want at least %d", carried, least)
	}
	if _, err := l.rig.stop(); err != nil {
		return err
	}
	return nil
}
