package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/engine"
)

// Time runs five times as fast here: five syncs a second, and a file system that
// commits its metadata each second, wear flash as one sync a second does with the
// five seconds that are ext4's default.
const (
	wearSpeed  = 5
	wearTick   = time.Second / wearSpeed
	wearWarmUp = 40 << 20 // bytes, or four lives of an object: in them every slot is made and used
)

// wearBudget is what may be written to the device for a byte kept, by KiB a sync.
var wearBudget = map[int]float64{10: 1.5, 64: 1.1}

// wear writes at several rates to the real daemon, whose state folder is alone on
// a file system of its own, and compares what reached the device with what was
// kept. Beside it the same bytes go to a growing file with an fsync each.
func wear(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("wear", flag.ContinueOnError)
	rates := fs.String("kib", "1,10,64,100", "KiB a second, which is a sync; several at once")
	life := fs.Int("syncs", 300, "of an object's life")
	kind := fs.String("fs", "ext4", "ext4 or f2fs")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("it makes loop devices and mounts them: run it as root")
	}
	if b, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(b), "\t"+*kind+"\n") {
		return nil, fmt.Errorf("the kernel has no %s", *kind)
	}
	dir, err := os.MkdirTemp("/dev/shm", "dray-wear-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "dray")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/seed-7270d448/dray/cmd/dray").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	out := &report{}
	out.figure("experiment", "%s with 4 KiB blocks on a loop device, one sync a second, objects of %d syncs, two lives behind a warm-up; %d times as fast",
		*kind, *life, wearSpeed)
	var wait sync.WaitGroup
	var results []*wearRun
	for _, text := range strings.Split(*rates, ",") {
		kib, err := strconv.Atoi(text)
		if err != nil || kib < 1 || kib > 1000 {
			return nil, fmt.Errorf("-kib %q: write numbers from 1 to 1000", *rates)
		}
		for _, beside := range []bool{false, true} {
			w := &wearRun{dir: filepath.Join(dir, fmt.Sprint(kib, beside)), program: program, fs: *kind, kib: kib, life: *life, beside: beside}
			results = append(results, w)
			wait.Go(func() { w.err = w.run(ctx) })
		}
	}
	wait.Wait()
	for _, w := range results {
		if w.err != nil {
			return out, fmt.Errorf("%d KiB a sync: %w", w.kib, w.err)
		}
		w.report(out)
	}
	return out, nil
}

// wearRun is one rate on one device.
type wearRun struct {
	dir, program, fs string
	kib, life        int
	beside           bool // a growing file, and no daemon
	err              error

	device  string
	first   int64 // bytes written to the device from the first start to steady state
	warm    int64 // bytes kept meanwhile
	kept    int64 // steady state: bytes kept, and written to the device
	written int64
	before  engine.SpoolStatus
	after   engine.SpoolStatus
}

func (w *wearRun) report(out *report) {
	ratio := float64(w.written) / float64(w.kept)
	if w.beside {
		out.figure(fmt.Sprintf("%d KiB, growing file", w.kib), "%.2f written for each byte kept (%d KiB for %d KiB), %d fsyncs a minute", ratio, w.written>>10, w.kept>>10, 60)
		return
	}
	syncs := float64(w.after.Syncs-w.before.Syncs) / float64(2*w.life) * 60
	out.figure(fmt.Sprintf("%d KiB, dray", w.kib), "%.2f written for each byte kept (%d KiB for %d KiB), %.1f fsyncs a minute; dray itself counts %d KiB; first use wrote %d KiB for %d KiB",
		ratio, w.written>>10, w.kept>>10, syncs, (w.after.WrittenBytes-w.before.WrittenBytes)>>10, w.first>>10, w.warm>>10)
	if most, ok := wearBudget[w.kib]; ok && ratio > most {
		out.violation("%d KiB a sync: %.2f bytes written for each byte kept, more than %.1f", w.kib, ratio, most)
	}
}

func (w *wearRun) run(ctx context.Context) (err error) {
	mount := filepath.Join(w.dir, "mount")
	image := filepath.Join(w.dir, "image")
	if err := os.MkdirAll(mount, 0o700); err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30)); err != nil {
		return err
	}
	// All at once: what the kernel would write later, unasked, is not dray's.
	mkfs := []string{"mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image}
	options := "commit=1"
	if w.fs == "f2fs" {
		mkfs, options = []string{"mkfs.f2fs", "-q", image}, "checkpoint_merge"
	}
	if err := command(ctx, mkfs...); err != nil {
		return err
	}
	device, err := exec.CommandContext(ctx, "losetup", "--find", "--show", image).Output()
	if err != nil {
		return fmt.Errorf("losetup: %w", err)
	}
	w.device = strings.TrimSpace(string(device))
	defer func() { err = errors.Join(err, command(context.WithoutCancel(ctx), "losetup", "-d", w.device)) }()
	if err := command(ctx, "mount", "-t", w.fs, "-o", options, w.device, mount); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, command(context.WithoutCancel(ctx), "umount", mount)) }()
	if w.beside {
		return w.growing(ctx, mount)
	}
	return w.daemon(ctx, mount)
}

func command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// onDevice returns the bytes written to the device, once all that waits is.
func (w *wearRun) onDevice(mount string) (int64, error) {
	f, err := os.Open(mount)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return 0, fmt.Errorf("syncfs: %w", err)
	}
	b, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(w.device), "stat"))
	if err != nil {
		return 0, err
	}
	const sectorsWritten = 6
	fields := strings.Fields(string(b))
	n, err := strconv.ParseInt(fields[sectorsWritten], 10, 64)
	return n * 512, err
}

// each calls fn once a tick, for two lives of an object.
func (w *wearRun) each(ctx context.Context, fn func() error) error {
	tick := time.NewTicker(wearTick)
	defer tick.Stop()
	for range 2 * w.life {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return nil
}

func (w *wearRun) growing(ctx context.Context, mount string) error {
	f, err := os.Create(filepath.Join(mount, "file"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	from, err := w.onDevice(mount)
	if err != nil {
		return err
	}
	record := make([]byte, w.kib<<10)
	err = w.each(ctx, func() error {
		_, err := f.Write(record)
		w.kept += int64(len(record))
		return errors.Join(err, f.Sync())
	})
	to, err2 := w.onDevice(mount)
	w.written = to - from
	return errors.Join(err, err2)
}

func (w *wearRun) daemon(ctx context.Context, mount string) (err error) {
	archive, state, socket := filepath.Join(w.dir, "archive"), filepath.Join(mount, "state"), filepath.Join(w.dir, "run")
	text := fmt.Sprintf(`device: lab
state_dir: %s
spool: {max_bytes: 64MiB, min_free: 1MiB}
streams:
  - name: bytes
    source: {type: stdin}
    sync: {interval: %v, bytes: 1MiB}
    object: {max_bytes: %dKiB, max_age: 24h}
    destination: archive
destinations:
  - {name: archive, type: local, path: %s}
`, state, wearTick/2, max(w.kib*w.life, 64), archive)
	config := filepath.Join(w.dir, "dray.yaml")
	if err := errors.Join(os.Mkdir(archive, 0o700), os.Mkdir(socket, 0o700), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		return err
	}
	empty, err := w.onDevice(mount)
	if err != nil {
		return err
	}
	var said tail
	cmd := exec.CommandContext(ctx, w.program, "run", "-c", config)
	cmd.Env = append(slices.Clone(os.Environ()), "RUNTIME_DIRECTORY="+socket, "NOTIFY_SOCKET=")
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended; Wait tells
		if err2 := cmd.Wait(); err2 != nil {
			err = errors.Join(err, fmt.Errorf("dray: %w; it said:\n%s", err2, said.String()))
		}
	}()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(socket, "control.sock"))
	}}}
	var total int64
	// settled waits until all that was written is kept, and all but the open object archived.
	settled := func() (engine.SpoolStatus, error) {
		for {
			s, err := statusOf(ctx, client)
			if err == nil && s.Streams[0].Kept == total && s.Streams[0].Pending == 0 {
				return s.Spool, nil
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				return engine.SpoolStatus{}, ctx.Err()
			}
		}
	}
	write := func(n int) error {
		total += int64(n)
		_, err := in.Write(make([]byte, n))
		return err
	}
	for total < max(wearWarmUp, int64(4*w.life*w.kib)<<10) {
		if err := write(1 << 20); err != nil {
			return err
		}
	}
	if w.before, err = settled(); err != nil {
		return err
	}
	from, err := w.onDevice(mount)
	if err != nil {
		return err
	}
	w.first, w.warm = from-empty, total
	if err := w.each(ctx, func() error { return write(w.kib << 10) }); err != nil {
		return err
	}
	if w.after, err = settled(); err != nil {
		return err
	}
	w.kept = total - w.warm
	to, err := w.onDevice(mount)
	w.written = to - from
	return err
}

func statusOf(ctx context.Context, client *http.Client) (s engine.Status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dray/status", nil)
	if err != nil {
		return s, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}
