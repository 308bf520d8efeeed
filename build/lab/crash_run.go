package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/engine"
)

// What one run was, and what it showed.
type crashResult struct {
	plan    crashPlan
	ends    []string     // of the lives but the last
	ops     []powerfs.Op // at which they ended
	changes []string     // what the operations of the first life do that change something
	calls   []string     // what its remote calls are
	marks   int64        // bytes that were seen to be kept
	states  []string     // what each cut took
	archive int64        // bytes archived
	dropped int64
	aside   []string // what start-up set aside
	took    time.Duration
}

// run lives through a plan and judges what is left. An error is the lab's own.
func (w *crashWorld) run(ctx context.Context, out *report) (res crashResult, err error) {
	began := time.Now()
	res.plan = w.plan
	for i, e := range w.plan.lives {
		w.stopped, w.trace = powerfs.Op{}, nil
		err := w.grow([...]int{w.plan.scene.lines, 10}[min(i, 1)])
		if err == nil {
			err = w.begin(ctx, e)
		}
		if err == nil {
			err = w.live(ctx, i == 0)
		}
		if i == 0 {
			res.changes = w.trace
			if w.proxy != nil {
				res.calls = w.proxy.made()
			}
		}
		if err != nil {
			out.violation("life %d of %v: %v", i+1, w.plan, err)
			return res, nil
		}
		end := e.String()
		if w.stopped.Path != "" {
			end += fmt.Sprintf(" (%v %s)", w.stopped.Kind, w.stopped.Path)
		}
		res.ends, res.ops = append(res.ends, end), append(res.ops, w.stopped)
		if err := w.crash(e.how, w.plan.cutSeed(i)); err != nil {
			return res, err
		}
	}
	if err := w.drain(ctx); err != nil {
		out.violation("the last life of %v: %v", w.plan, err)
		return res, nil
	}
	err = w.judge(ctx, out, &res)
	for _, path := range res.aside {
		if strings.HasPrefix(path, "/state/journal/") { // no cut does that
			out.violation("%s: a part of the journal was taken for damaged\n%s", path, strings.Join(w.said, ""))
		}
	}
	res.took, res.states = time.Since(began), w.states
	return res, err
}

// live feeds the daemon until the power stops or the workload is done. The
// first life has all of it, later ones a little.
func (w *crashWorld) live(ctx context.Context, whole bool) error {
	ctx, cancel := context.WithTimeout(ctx, aLife)
	defer cancel()
	rounds, lines := 12, 40
	if w.plan.scene.full {
		rounds, lines = 16, 100
	}
	if !whole {
		rounds = 3
	}
	for i := range rounds {
		if w.plan.scene.full && whole && w.proxy != nil && i == 3 {
			w.proxy.setAway(true)
		}
		if err := w.feed(lines); err != nil {
			return err
		}
		on, err := w.settled(ctx, func(pipe, tail engine.StreamStatus, _ engine.Status) bool {
			return pipe.Kept == pipe.Appended && w.caughtUp(pipe) || w.plan.scene.full && pipe.Gaps > 0
		})
		if !on || err != nil {
			return err
		}
		if whole && (i == 5 || i == 9) {
			on, err := w.flush()
			if on && err == nil && !w.plan.scene.full { // so that slots are used again
				on, err = w.settled(ctx, func(_, _ engine.StreamStatus, s engine.Status) bool { return s.Destinations[0].PendingObjects == 0 })
			}
			if !on || err != nil {
				return err
			}
		}
	}
	if !whole {
		return nil
	}
	if w.plan.scene.full {
		_, err := w.settled(ctx, func(pipe, tail engine.StreamStatus, s engine.Status) bool { return pipe.Kept == pipe.Appended })
		return err
	}
	_, err := w.settled(ctx, func(pipe, tail engine.StreamStatus, s engine.Status) bool {
		return pipe.Kept == pipe.Appended && s.Destinations[0].PendingObjects == 0
	})
	return err
}

// caughtUp says that every line of the pipe was read.
func (w *crashWorld) caughtUp(pipe engine.StreamStatus) bool {
	l := &w.lives[len(w.lives)-1]
	return pipe.Appended-l.begin+pipe.Malformed >= int64(w.pipeLines-l.first)*lineSize
}

// settled asks for the status until ok says yes. It is false if the power stopped.
func (w *crashWorld) settled(ctx context.Context, ok func(pipe, tail engine.StreamStatus, s engine.Status) bool) (on bool, err error) {
	for {
		s, err := w.daemon.status(w.alive, time.Second)
		if err == nil {
			w.saw(s, w.lives[len(w.lives)-1].epoch == "")
			if len(s.Streams) == 2 && ok(s.Streams[0], s.Streams[1], s) {
				return true, nil
			}
		}
		if on, err := w.wait(ctx, 3*time.Millisecond); !on || err != nil {
			if err != nil {
				err = fmt.Errorf("%w\nlast status: %+v, lines %d and %d", err, s, w.pipeLines, w.fileLines)
			}
			return on, err
		}
	}
}

// flush ends the open objects. It is false if the power stopped meanwhile.
func (w *crashWorld) flush() (on bool, err error) {
	_, err = w.daemon.call(w.alive, http.MethodPost, "/flush")
	switch {
	case w.alive.Err() != nil:
		return false, nil
	case w.plan.scene.full:
		return true, nil // the spool may be full
	}
	return err == nil, err
}

// drain is the last life: no harm comes to it. It goes on with both streams,
// and archives all.
func (w *crashWorld) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aLife)
	defer cancel()
	if err := w.grow(10); err != nil {
		return err
	}
	if err := w.begin(ctx, ending{how: endCalm}); err != nil {
		return err
	}
	if err := w.feed(10); err != nil {
		return err
	}
	_, err := w.settled(ctx, func(pipe, tail engine.StreamStatus, _ engine.Status) bool {
		return w.caughtUp(pipe) && tail.Appended >= int64(w.fileLines)*lineSize
	})
	if err != nil {
		return fmt.Errorf("waiting for all to be read: %w", err)
	}
	if _, err := w.flush(); err != nil {
		return err
	}
	_, err = w.settled(ctx, func(pipe, tail engine.StreamStatus, s engine.Status) bool {
		return pipe.Archived == pipe.Appended && tail.Archived == tail.Appended && s.Destinations[0].PendingObjects == 0
	})
	if err != nil {
		return fmt.Errorf("waiting for all to be archived: %w", err)
	}
	err = w.daemon.stop()
	said := w.daemon.output.String()
	w.said = append(w.said, said)
	w.end()
	for line := range strings.Lines(said) {
		if err == nil && strings.Contains(line, "level=ERROR") && !(w.plan.scene.full && strings.Contains(line, "spool is full")) {
			err = fmt.Errorf("it reported an error:\n%s", line)
		}
	}
	return err
}

// feed writes lines to the pipe.
func (w *crashWorld) feed(n int) error {
	for range n {
		line := makeLine(w.pipeLines)
		for {
			_, err := unix.Write(w.fifo, line)
			if err == nil {
				break
			}
			if err == unix.EAGAIN { // full: the daemon is gone or holds it back
				return nil
			}
			if err != unix.EINTR {
				return fmt.Errorf("write the pipe: %w", err)
			}
		}
		w.pipeLines++
	}
	return nil
}

// emptyPipe reads what a dead daemon has left there: the next one is to begin
// with a line whose number is known.
func (w *crashWorld) emptyPipe() error {
	b := make([]byte, 64<<10)
	for {
		_, err := unix.Read(w.fifo, b)
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return nil
		default:
			return fmt.Errorf("empty the pipe: %w", err)
		}
	}
}

// grow appends lines to the followed file.
func (w *crashWorld) grow(n int) error {
	for range n {
		if _, err := w.file.Write(makeLine(w.fileLines)); err != nil {
			return err
		}
		w.fileLines++
	}
	return nil
}
