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
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/engine"
)

// soak lets the real daemon live through a day in a few minutes: its pauses are
// shorter by that factor, and so are the times between what befalls it. The link
// breaks, refuses, lies and stalls most of the time; the process is killed, and
// with every second kill the power goes and takes what was not synced. It reads a
// file that grows all the while, so that nothing at all may be lost: the bucket
// must hold at the end what the file does. Memory and descriptors must be flat.
func soak(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	var (
		hours = fs.Int("hours", 24, "that are lived through")
		limit = fs.Duration("for", 5*time.Minute, "how long that may take")
		seed  = fs.Uint64("seed", 1, "of all that happens")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	factor := limit.Seconds() / (time.Duration(*hours) * time.Hour).Seconds()
	if factor > 1 || *limit < 20*time.Second {
		return nil, errors.New("-for must be at least 20s, and at most -hours")
	}
	w, err := newSoakWorld(ctx, factor)
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	out := &report{}
	out.figure("experiment", "%d hours in %v: each pause is %.0f times shorter; seed %d", *hours, *limit, 1/factor, *seed)
	err = w.live(ctx, *limit, rand.New(rand.NewPCG(*seed, 0)))
	if err == nil {
		err = w.judge(ctx, out)
	}
	return out, errors.Join(err, w.Close())
}

// A soakSample is what a life took at one moment.
type soakSample struct {
	life int
	at   time.Duration // since the beginning
	age  time.Duration // of the life
	rss  int64
	fds  int
}

// soakFaults are what befalls the link, each for a while; %d is a number of bytes.
var soakFaults = []string{
	"any reset=%d *1000", "any cut-up=%d *1000", "any cut-down=100 *1000", "any drop *3", "any status=503:SlowDown *1000", "any slow-down=1 *2",
	"any status=500:InternalError *1000", "any lie=html *1000", "any lie=empty *1000", "any refuse=700ms", "any stall=900ms *4", "complete late=500:InternalError *2",
	"part status=404:NoSuchUpload", "any twice *5", "part#2 reset=%d *4",
}

// live lets all that befalls happen, until the time is over.
func (w *soakWorld) live(ctx context.Context, limit time.Duration, r *rand.Rand) error {
	began := time.Now()
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	fed := make(chan error, 1)
	go func() { fed <- w.feed(feeding) }()
	kill, link := began.Add(20*time.Second), began
	born := began
	if err := w.start(ctx); err != nil {
		return err
	}
	for time.Since(began) < limit && ctx.Err() == nil {
		now := time.Now()
		if now.After(link) {
			text := ""
			if r.IntN(3) > 0 {
				text = strings.ReplaceAll(soakFaults[r.IntN(len(soakFaults))], "%d", strconv.Itoa(1+r.IntN(60_000)))
				w.faults++
			}
			if err := w.proxy.Read(text); err != nil {
				return err
			}
			link = now.Add(300*time.Millisecond + time.Duration(r.Int64N(int64(3*time.Second))))
		}
		// The last life is long, so that what grows slowly is seen.
		if now.After(kill) && time.Since(began) < limit*3/4 {
			if err := w.kill(r); err != nil {
				return err
			}
			if err := w.start(ctx); err != nil {
				return err
			}
			born = time.Now()
			kill = born.Add(3*time.Second + time.Duration(r.Int64N(int64(25*time.Second))))
		}
		if !w.daemon.running() {
			return w.daemon.died()
		}
		if err := w.sample(time.Since(began), time.Since(born)); err != nil {
			return err
		}
		pause(ctx, 250*time.Millisecond)
	}
	stop()
	return errors.Join(<-fed, ctx.Err())
}

// running says whether it has not ended.
func (d *daemon) running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// sample notes what the daemon takes.
func (w *soakWorld) sample(at, age time.Duration) error {
	proc := fmt.Sprintf("/proc/%d", w.daemon.cmd.Process.Pid)
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		return err
	}
	_, line, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(line)[0], 10, 64)
	if err != nil {
		return err
	}
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return err
	}
	w.samples = append(w.samples, soakSample{w.kills, at, age, kib << 10, len(fds)})
	return nil
}

// judge waits until all is archived over a link that is well, and compares.
func (w *soakWorld) judge(ctx context.Context, out *report) error {
	if err := w.proxy.Read(""); err != nil {
		return err
	}
	want, err := os.ReadFile(w.path("tail"))
	if err != nil {
		return err
	}
	began := time.Now()
	var s engine.Status
	for {
		if s, err = w.daemon.status(ctx, 10*time.Second); err == nil && s.Streams[0].Kept == int64(len(want)) {
			if s.Streams[0].Archived == int64(len(want)) {
				break
			}
			if _, err := w.daemon.call(ctx, "POST", "/flush"); err != nil {
				return err
			}
		}
		if time.Since(began) > 2*time.Minute {
			return fmt.Errorf("of %d bytes not all are archived after 2 min: %+v (%v)\n%s", len(want), s.Streams, err, w.daemon.said())
		}
		pause(ctx, 100*time.Millisecond)
	}
	if err := w.daemon.stop(); err != nil {
		return err
	}
	got, objects, err := w.archive()
	if err != nil {
		return err
	}
	out.figure("befell it", "%d stretches of a bad link, %d kills, %d of them with a power cut", w.faults, w.kills, w.cuts)
	out.figure("archive", "%d bytes in %d objects, of %d in the file; drained in %.1f s; %d gaps", len(got), objects, len(want), time.Since(began).Seconds(), s.Streams[0].Gaps)
	if !bytes.Equal(got, want) {
		out.violation("the archive is not what the file holds")
	}
	left, err := directClient(w.gateway).ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &w.gateway.Bucket})
	if err != nil {
		return err
	}
	out.figure("left behind", "%d uploads", len(left.Uploads))
	if len(left.Uploads) > 0 {
		out.violation("%d uploads are left behind", len(left.Uploads))
	}
	w.judgeFlat(out)
	return nil
}

// judgeFlat compares what the daemon took early and late, in all its lives and
// within the last one. The first seconds of a life are start-up.
func (w *soakWorld) judgeFlat(out *report) {
	grown := slices.DeleteFunc(slices.Clone(w.samples), func(s soakSample) bool { return s.age < 3*time.Second })
	last := slices.DeleteFunc(slices.Clone(grown), func(s soakSample) bool { return s.life != w.kills })
	for _, span := range []struct {
		name string
		list []soakSample
	}{{"all lives", grown}, {fmt.Sprintf("last life (%.0f s)", last[len(last)-1].age.Seconds()), last}} {
		third := len(span.list) / 3
		early, late := mostOf(span.list[:third]), mostOf(span.list[2*third:])
		out.figure(span.name, "peak RSS %.1f MiB in the first third, %.1f in the last; descriptors %d and %d",
			float64(early.rss)/(1<<20), float64(late.rss)/(1<<20), early.fds, late.fds)
		if late.rss > early.rss+2<<20 {
			out.violation("%s: memory grew from %d to %d bytes", span.name, early.rss, late.rss)
		}
		if late.fds > early.fds+4 {
			out.violation("%s: descriptors grew from %d to %d", span.name, early.fds, late.fds)
		}
	}
}

// mostOf is the most of each figure.
func mostOf(list []soakSample) (most soakSample) {
	for _, s := range list {
		most.rss, most.fds = max(most.rss, s.rss), max(most.fds, s.fds)
	}
	return most
}

// archive returns what the bucket holds, in order.
func (w *soakWorld) archive() (all []byte, objects int, err error) {
	list, err := filepath.Glob(filepath.Join(w.gateway.BucketDir, "tail", "*"))
	if err != nil {
		return nil, 0, err
	}
	slices.Sort(list) // starts have a fixed width
	for _, path := range list {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, 0, err
		}
		all = append(all, b...)
	}
	return all, len(list), nil
}
