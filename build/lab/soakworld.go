package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A soakWorld is what a soak happens in: a disk whose power can go, a link, a
// server, and a file that grows.
type soakWorld struct {
	dir     string
	factor  float64
	disk    *powerfs.Disk
	mount   *powerfs.Mount
	gateway *transporttest.Gateway
	proxy   *transporttest.Proxy
	daemon  *daemon

	faults, kills, cuts int
	samples             []soakSample
}

// Sizes that let a few megabytes go through a whole life.
const (
	soakSlot = 256 << 10
	soakPart = 64 << 10
	soakRate = 60_000 // bytes a second that the file grows
)

// newSoakWorld makes all but the daemon. Close must follow, also after an error.
func newSoakWorld(ctx context.Context, factor float64) (w *soakWorld, err error) {
	w = &soakWorld{factor: factor}
	if w.dir, err = os.MkdirTemp(scratch(), "dray-lab-"); err != nil {
		return w, err
	}
	for _, name := range []string{"mnt", "run"} {
		if err := os.Mkdir(w.path(name), 0o700); err != nil {
			return w, err
		}
	}
	build := exec.CommandContext(ctx, "go", "build", "-tags", "lab", "-o", w.path("dray"), "github.com/seed-7270d448/dray/cmd/dray")
	if out, err := build.CombinedOutput(); err != nil {
		return w, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	if w.gateway, err = transporttest.NewGateway(transporttest.GatewayOptions{SmallParts: true}); err != nil {
		return w, err
	}
	if w.proxy, err = transporttest.NewProxy(transporttest.ProxyOptions{Target: w.gateway.Endpoint}); err != nil {
		return w, err
	}
	w.disk = powerfs.New(powerfs.Options{})
	if w.mount, err = w.disk.Mount(w.path("mnt")); err != nil {
		return w, err
	}
	g := w.gateway
	return w, os.WriteFile(w.path("dray.yaml"), fmt.Appendf(nil, `device: lab
state_dir: %s
spool: {max_bytes: 1GiB, min_free: 0, when_full: block}
link: {budgets: [{interface: "*", month: 100GiB}]}
streams:
  - name: tail
    source: {type: file, path: %s, follow: true}
    framing: lines
    sync: {interval: 100ms}
    object: {max_bytes: 256KiB, part_size: %dB, max_age: 3s}
    key: "{stream}/{epoch}-{start}"
    destination: archive
destinations:
  - name: archive
    type: s3
    endpoint: %s
    path_style: true
    region: %s
    bucket: %s
    credentials: {access_key_id: %s, secret_access_key: %s}
`, w.path("mnt/state"), w.path("tail"), soakPart, w.proxy.Endpoint, g.Region, g.Bucket, g.AccessKeyID, g.SecretAccessKey), 0o600)
}

func (w *soakWorld) path(name string) string { return filepath.Join(w.dir, name) }

// Close ends what runs and removes what was made.
func (w *soakWorld) Close() error {
	var errs []error
	if w.daemon != nil && w.daemon.running() {
		errs = append(errs, w.daemon.kill())
		<-w.daemon.exited
	}
	if w.mount != nil {
		errs = append(errs, w.mount.Unmount())
	}
	if w.proxy != nil {
		errs = append(errs, w.proxy.Close())
	}
	if w.gateway != nil {
		errs = append(errs, w.gateway.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// feed lets the file grow by whole lines until ctx is done.
func (w *soakWorld) feed(ctx context.Context) error {
	f, err := os.Create(w.path("tail"))
	if err != nil {
		return err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		for range soakRate / 10 / lineSize {
			if _, err := f.Write(makeLine(n)); err != nil {
				return errors.Join(err, f.Close())
			}
			n++
		}
		select {
		case <-ctx.Done():
			return f.Close()
		case <-tick.C:
		}
	}
}

// start begins a life and waits until it answers.
func (w *soakWorld) start(ctx context.Context) (err error) {
	w.daemon, err = startDaemon(w.path("dray"), w.path("dray.yaml"), w.path("run"), []string{
		"DRAY_LAB_PACE=" + strconv.FormatFloat(w.factor, 'g', -1, 64),
		"DRAY_LAB_SLOT_BYTES=" + strconv.Itoa(soakSlot), "DRAY_LAB_PART_BYTES=" + strconv.Itoa(soakPart)})
	if err != nil {
		return err
	}
	for began := time.Now(); ; pause(ctx, 20*time.Millisecond) {
		if _, err := w.daemon.status(ctx, time.Second); err == nil {
			return nil
		} else if !w.daemon.running() {
			return w.daemon.died()
		} else if time.Since(began) > time.Minute {
			return fmt.Errorf("dray does not answer: %w\n%s", err, w.daemon.said())
		}
	}
}

// kill ends a life with SIGKILL, each second one by a power cut.
func (w *soakWorld) kill(r *rand.Rand) error {
	cut := w.kills%2 == 1
	w.kills++
	if cut {
		w.cuts++
		w.disk.Stop()
	}
	if err := w.daemon.kill(); err != nil {
		return err
	}
	if !cut {
		<-w.daemon.exited
		return nil
	}
	found := w.disk.Cut(r.Uint64()) // which answers all that waits for the disk: only then is the process gone
	<-w.daemon.exited
	if err := w.mount.Unmount(); err != nil {
		return err
	}
	w.disk = found
	mount, err := w.disk.Mount(w.path("mnt"))
	if err != nil {
		return err
	}
	w.mount = mount
	return nil
}
