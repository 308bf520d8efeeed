package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/wal"
)

// backlog starts the real daemon on state folders with much that waits, its
// archive not being there: 100,000 small objects, and 10 GiB in large ones. It
// prints what start-up, memory, status and a wake-up cost, beside an empty folder.
//
// The folders are made fast: facts are committed as the engine would commit them,
// and slots that nothing reads at start-up are sparse files. The newest slot of
// the stream is real, and so are all that small objects lie in.
func backlog(ctx context.Context, args []string) (*report, error) {
	flags := flag.NewFlagSet("backlog", flag.ContinueOnError)
	var (
		objects = flags.Int("objects", 100_000, "small objects that wait")
		gib     = flags.Int64("gib", 10, "GiB that wait in objects of 64 MiB")
		dir     = flags.String("dir", scratch(), "folder for the states; half a GiB for 100,000 objects")
	)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(*dir, "dray-lab-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	program := filepath.Join(work, "dray")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/seed-7270d448/dray/cmd/dray")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build dray: %w\n%s", err, text)
	}
	out := &report{}
	var empty backlogCost
	for _, c := range []struct {
		name string
		fill func(dir string) error
	}{
		{"empty", func(string) error { return nil }},
		{fmt.Sprintf("%d objects", *objects), func(dir string) error { return fillSmall(dir, *objects) }},
		{fmt.Sprintf("%d GiB", *gib), func(dir string) error { return fillLarge(dir, *gib<<30) }},
	} {
		began := time.Now()
		home := filepath.Join(work, "home")
		if err := errors.Join(os.RemoveAll(home), os.MkdirAll(home, 0o755), c.fill(filepath.Join(home, "state"))); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		made := time.Since(began)
		cost, err := weigh(ctx, program, home)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		out.figure(c.name, "start-up %.0f ms, peak RSS %.1f MiB, status %.0f ms and %.0f ms of CPU, %.1f ms of CPU a second while 10 lines a second come in; %d objects, %.1f GiB wait (made in %.0f s)",
			ms(cost.start), mebi(cost.peak), ms(cost.status), ms(cost.statusCPU), ms(cost.cpu), cost.objects, float64(cost.bytes)/(1<<30), made.Seconds())
		if c.name == "empty" {
			empty = cost
			continue
		}
		if more := cost.peak - empty.peak; more > 16<<20 {
			out.violation("%s take %.1f MiB more than none, the budget is 16", c.name, mebi(more))
		}
		if cost.start > time.Second {
			out.violation("%s: start-up takes %v, the budget is 1 s", c.name, cost.start)
		}
	}
	return out, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
func mebi(n int64) float64       { return float64(n) / (1 << 20) }

// backlogCost is what a daemon costs on a state folder.
type backlogCost struct {
	start, status, statusCPU time.Duration
	cpu                      time.Duration // of the daemon, each second of its work
	peak                     int64
	objects, bytes           int64
}

// weigh runs the daemon on the state folder in home.
func weigh(ctx context.Context, program, home string) (c backlogCost, err error) {
	config, fifo := filepath.Join(home, "dray.yaml"), filepath.Join(home, "fifo")
	text := fmt.Sprintf("device: lab\nstate_dir: %s\nspool: {max_bytes: 16GiB, min_free: 0}\nstreams:\n  - name: bulk\n    source: {type: fifo, path: %s}\n    framing: lines\n    destination: away\ndestinations:\n  - {name: away, type: local, path: %s, mount: true}\n",
		filepath.Join(home, "state"), fifo, filepath.Join(home, "away"))
	err = errors.Join(os.WriteFile(config, []byte(text), 0o600), os.MkdirAll(filepath.Join(home, "away"), 0o755), syscall.Mkfifo(fifo, 0o600))
	if err != nil {
		return c, err
	}
	began := time.Now()
	d, err := startDaemon(program, config, home, nil)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	var s engine.Status
	for {
		if s, err = d.status(ctx, 10*time.Second); err == nil {
			break
		}
		select {
		case <-d.exited:
			return c, d.died()
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	c.start = time.Since(began)
	c.objects, c.bytes = s.Destinations[0].PendingObjects, s.Destinations[0].PendingBytes
	asked := exec.CommandContext(ctx, program, "status", "-c", config)
	asked.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+home)
	began = time.Now()
	before := cpuOf(d.cmd.Process.Pid)
	if text, err := asked.CombinedOutput(); err != nil {
		return c, fmt.Errorf("status: %w\n%s", err, text)
	}
	c.status = time.Since(began)
	c.statusCPU = asked.ProcessState.UserTime() + asked.ProcessState.SystemTime() + cpuOf(d.cmd.Process.Pid) - before
	w, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		return c, err
	}
	defer w.Close()
	before, began = cpuOf(d.cmd.Process.Pid), time.Now()
	for range 50 {
		if _, err := w.WriteString("a line of the sensor\n"); err != nil {
			return c, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.cpu = time.Duration(float64(cpuOf(d.cmd.Process.Pid)-before) / time.Since(began).Seconds())
	c.peak = peakOf(d.cmd.Process.Pid)
	return c, nil
}

// cpuOf is the CPU that a process has taken, to 10 ms.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	var user, system int64
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) > 12 {
		_, _ = fmt.Sscan(fields[11], &user)
		_, _ = fmt.Sscan(fields[12], &system)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// peakOf is the most memory that a process ever had resident, in bytes.
func peakOf(pid int) (n int64) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	if _, text, ok := strings.Cut(string(b), "VmHWM:"); ok {
		_, _ = fmt.Sscan(text, &n)
	}
	return n << 10
}

// fillSmall makes objects of 100 bytes.
func fillSmall(dir string, n int) error {
	s, st, err := backlogStream(dir)
	if err != nil {
		return err
	}
	rec := bytes.Repeat([]byte("x"), 100)
	for i := range n {
		if err := st.Append(rec, wal.Mark{}); err != nil {
			return errors.Join(err, s.Close())
		}
		if st.Seal(); i%200 == 199 || i == n-1 {
			if err := st.Sync(); err != nil {
				return errors.Join(err, s.Close())
			}
		}
	}
	return s.Close()
}

// fillLarge makes objects of 64 MiB, each of eight parts.
func fillLarge(dir string, size int64) error {
	const part, object, slot = 8 << 20, 64 << 20, wal.DefaultSlotBytes
	s, st, err := backlogStream(dir)
	if err != nil {
		return err
	}
	var facts []wal.Fact
	for at := int64(0); at < size; at += object {
		facts = append(facts, wal.Fact{Kind: wal.Opened, Stream: st.ID(), Start: at, Run: 1, Mono: 1, Size: part, Name: "away"})
		for n := range object / part {
			facts = append(facts, wal.Fact{Kind: wal.Cut, Stream: st.ID(), Start: at, N: n + 1, CRC: 1},
				wal.Fact{Kind: wal.Roll, Stream: st.ID(), Slot: uint32((at + int64(n)*part) / slot), Start: at + int64(n)*part})
		}
		facts = append(facts, wal.Fact{Kind: wal.Sealed, Stream: st.ID(), Start: at, End: at + object})
	}
	for i := range size / slot {
		f, err := os.Create(filepath.Join(dir, "spool", fmt.Sprintf("%08d.slot", i)))
		if err == nil {
			err = errors.Join(f.Truncate(slot), f.Close())
		}
		if err != nil {
			return errors.Join(err, s.Close())
		}
	}
	if err := errors.Join(s.Commit(facts...), s.Close()); err != nil {
		return err
	}
	if s, st, err = backlogStream(dir); err != nil {
		return err
	}
	for range 60 { // seven MiB of an open object, as a cut leaves it
		if err := errors.Join(st.Append(bytes.Repeat([]byte("y"), 120_000), wal.Mark{}), st.Sync()); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	return s.Close()
}

func backlogStream(dir string) (*wal.Store, *wal.Stream, error) {
	s, err := wal.Open(wal.Options{Dir: dir, MaxBytes: 16 << 30})
	if err != nil {
		return nil, nil, err
	}
	st, err := s.Stream("bulk")
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	st.SetLayout(wal.Layout{PartSize: 8 << 20, Destination: "away"})
	return s, st, nil
}
