package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"github.com/seed-7270d448/dray/build/lab/powerfs"
	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// What all runs of a search share.
type crashLab struct {
	dir     string
	program string
	gateway *transporttest.Gateway
	client  *s3.Client
	vault   *transporttest.Vault // with the gateway's keys
}

// A crashWorld is one run: a disk, what feeds the daemon, and its lives so far.
type crashWorld struct {
	lab   *crashLab
	plan  crashPlan
	dir   string // its own
	proxy *crashProxy
	disk  *powerfs.Disk
	mount *powerfs.Mount
	slots map[string]bool // whose header was written
	fifo  int             // descriptor; the lab holds both ends
	file  *os.File

	pipeLines, fileLines int // written so far
	lives                []crashLife
	trace                []string   // what the present life did that changes something
	stopped              powerfs.Op // at which the last life ended
	said                 []string   // what the daemons logged, by life
	states               []string   // what each cut took

	fault  powerfs.Hook // of the present life, besides its ending; may be nil
	daemon *daemon
	alive  context.Context // of the present life: until the power stops
	over   chan struct{}   // closed when the present life is
	watch  sync.WaitGroup
}

// A crashLife is what was seen of one life from outside.
type crashLife struct {
	epoch string
	first int // line that was written to the pipe
	base  int // line that stands at offset begin, once known: first, or the one behind it
	begin int64
	kept  int64 // highest mark seen of the pipe's stream
	tail  int64 // of the file's stream
	known bool  // base is
}

const (
	crashPipe = "pipe"
	crashTail = "tail"
	aLife     = time.Minute // at most, on a loaded machine
)

// newCrashWorld makes all but the daemon. Close must follow.
func (lab *crashLab) newWorld(plan crashPlan, proxy *crashProxy) (w *crashWorld, err error) {
	w = &crashWorld{lab: lab, plan: plan, proxy: proxy, fifo: -1, slots: map[string]bool{}}
	if w.dir, err = os.MkdirTemp(lab.dir, "run-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, name := range []string{"mnt", "run"} {
		if err := os.Mkdir(filepath.Join(w.dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	if err := unix.Mkfifo(w.path("pipe"), 0o600); err != nil {
		return nil, err
	}
	if w.fifo, err = unix.Open(w.path("pipe"), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if w.file, err = os.Create(w.path("tail")); err != nil {
		return nil, err
	}
	w.disk = powerfs.New(plan.options())
	if w.mount, err = w.disk.Mount(w.path("mnt")); err != nil {
		return nil, err
	}
	if plan.scene.dest == "local" { // the stick was there before dray was
		if err := os.Mkdir(w.path("mnt/archive"), 0o755); err != nil {
			return nil, err
		}
		root, err := os.Open(w.path("mnt"))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(root.Sync(), root.Close()); err != nil {
			return nil, err
		}
	}
	return w, os.WriteFile(w.path("dray.yaml"), []byte(w.config()), 0o600)
}

func (w *crashWorld) path(name string) string { return filepath.Join(w.dir, name) }

// prefix is where the run's objects are in the bucket.
func (w *crashWorld) prefix() string { return filepath.Base(w.dir) + "/" }

func (w *crashWorld) config() string {
	device, part := "lab", crashPart
	archive := fmt.Sprintf("type: local\n    path: %s", w.path("mnt/archive"))
	if g := w.lab.gateway; w.plan.scene.dest == "s3" {
		archive = fmt.Sprintf("type: s3\n    endpoint: %s\n    path_style: true\n    region: %s\n    bucket: %s\n    prefix: %s",
			w.proxy.Endpoint, g.Region, g.Bucket, w.prefix())
	}
	if v := w.lab.vault; w.plan.scene.dest == "glacier" {
		device, part = filepath.Base(w.dir), 1<<20 // no vault takes less
		archive = fmt.Sprintf("type: glacier\n    endpoint: %s\n    region: %s\n    vault: %s", w.proxy.Endpoint, v.Region, v.Name)
	}
	stream := func(name, source string, object int) string {
		return fmt.Sprintf(`
  - name: %s
    source: %s
    framing: lines
    sync: {interval: 10ms, bytes: 4KiB}
    object: {max_bytes: %dKiB, part_size: %dB, max_age: 1h}
    key: "{stream}/{epoch}-{start}.log"
    destination: archive`, name, source, object>>10, part)
	}
	return fmt.Sprintf("device: %s\nstate_dir: %s\nspool: {max_bytes: %dMiB, min_free: 0}\nstreams:%s%s\ndestinations:\n  - name: archive\n    %s\n",
		device, w.path("mnt/state"), w.plan.scene.slots*8,
		stream(crashPipe, fmt.Sprintf("{type: fifo, path: %s}", w.path("pipe")), crashObject),
		stream(crashTail, fmt.Sprintf("{type: file, path: %s, follow: true}", w.path("tail")), crashWhole), archive)
}

func (w *crashWorld) env() []string {
	env := []string{"DRAY_LAB_PACE=0.01",
		fmt.Sprintf("DRAY_LAB_SLOT_BYTES=%d", crashSlot), fmt.Sprintf("DRAY_LAB_ROLL_BYTES=%d", crashRoll),
		fmt.Sprintf("DRAY_LAB_RESERVE_BYTES=%d", crashReserve), fmt.Sprintf("DRAY_LAB_LEDGER_BYTES=%d", crashLedger),
		fmt.Sprintf("DRAY_LAB_PART_BYTES=%d", crashPart)}
	if g := w.lab.gateway; g != nil {
		env = append(env, "AWS_ACCESS_KEY_ID="+g.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+g.SecretAccessKey)
	}
	return env
}

// Close ends the run and removes what it made.
func (w *crashWorld) Close() error {
	var errs []error
	if w.daemon != nil {
		errs = append(errs, w.crash(endKill, 0))
	}
	if w.mount != nil {
		errs = append(errs, w.mount.Unmount())
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	if w.fifo >= 0 {
		errs = append(errs, unix.Close(w.fifo))
	}
	if g := w.lab.gateway; g != nil && w.plan.scene.dest == "s3" {
		errs = append(errs, os.RemoveAll(filepath.Join(g.BucketDir, w.prefix())))
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// begin starts a life that ends as e says, and waits until the daemon answers
// or the power has stopped.
func (w *crashWorld) begin(ctx context.Context, e ending) (err error) {
	if err := w.emptyPipe(); err != nil {
		return err
	}
	over, disk := make(chan struct{}), w.disk
	alive, cancel := context.WithCancel(ctx)
	w.over, w.alive = over, alive
	w.watch.Go(func() {
		defer cancel()
		select {
		case <-disk.Stopped():
		case <-over:
		}
	})
	disk.SetHook(func(op powerfs.Op) powerfs.Fault {
		if op.Kind.Changes() {
			w.trace = append(w.trace, w.kind(op))
			if len(w.trace) == e.point && e.how != endCalm {
				w.stopped = op
				return powerfs.Fault{Stop: powerfs.Before}
			}
		}
		if w.fault != nil {
			return w.fault(op)
		}
		return powerfs.Fault{}
	})
	if w.proxy != nil {
		w.proxy.watch(w.plan.scene.gone && len(w.lives) == 0, func(call int, behind bool) bool {
			at := remoteOps + 2*call
			if behind {
				at++
			}
			if at == e.point && e.how != endCalm {
				disk.Stop()
			}
			select {
			case <-disk.Stopped():
				<-over
				return false
			default:
				return true
			}
		})
	}
	if w.daemon, err = startDaemon(w.lab.program, w.path("dray.yaml"), w.path("run"), w.env()); err != nil {
		return err
	}
	w.lives = append(w.lives, crashLife{first: w.pipeLines})
	for {
		s, err := w.daemon.status(alive, time.Second)
		if err == nil {
			w.saw(s, true)
			return nil
		}
		if on, err := w.wait(ctx, 2*time.Millisecond); !on || err != nil {
			return err
		}
	}
}

// kind says what an operation does. The hook calls it.
func (w *crashWorld) kind(op powerfs.Op) string {
	class := crashClass(op.Path)
	if class == "slot" && op.Kind == powerfs.Write && op.Offset == 0 {
		if class = "header of a slot"; w.slots[op.Path] {
			class = "header of a slot used before"
		}
		w.slots[op.Path] = true
	}
	return fmt.Sprintf("%v %s", op.Kind, class)
}

// wait passes a moment. It is false if the power has stopped, an error if the
// daemon has ended by itself.
func (w *crashWorld) wait(ctx context.Context, d time.Duration) (on bool, err error) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.disk.Stopped():
		return false, nil
	case <-w.daemon.exited:
		return false, w.daemon.died()
	case <-ctx.Done():
		return false, fmt.Errorf("%w; dray said:\n%s", ctx.Err(), w.daemon.said())
	case <-t.C:
		return true, nil
	}
}

// saw takes a status down.
func (w *crashWorld) saw(s engine.Status, first bool) {
	l := &w.lives[len(w.lives)-1]
	for _, st := range s.Streams {
		switch st.Name {
		case crashPipe:
			if first {
				l.epoch, l.begin = st.Epoch, st.Appended
			}
			// The line that follows a kill is given up where a half one may stand
			// before it. That is certain once every line is accounted for.
			fed := int64(w.pipeLines-l.first) * lineSize
			if fed > 0 && st.Appended-l.begin+st.Malformed == fed {
				l.known, l.base = true, l.first+int(st.Malformed/lineSize)
			}
			l.kept = max(l.kept, st.Kept)
		case crashTail:
			l.tail = max(l.tail, st.Kept)
		}
	}
}

// crash ends the present life: the mark is read once more, then SIGKILL, then
// the power goes or comes back.
func (w *crashWorld) crash(how string, seed uint64) error {
	w.disk.Stop()
	if s, err := w.daemon.status(context.Background(), 200*time.Millisecond); err == nil {
		l := &w.lives[len(w.lives)-1]
		w.saw(s, l.epoch == "")
	}
	w.said = append(w.said, w.daemon.output.String())
	err := w.daemon.kill()
	if how == endKill {
		w.disk.Resume()
		w.end()
		return err
	}
	seen := w.disk.Files()
	found := w.disk.Cut(seed)
	w.states = append(w.states, w.stopped.Kind.String()+crashClass(w.stopped.Path)+difference(seen, found.Files()))
	w.end()
	if err := errors.Join(err, w.mount.Unmount()); err != nil {
		return err
	}
	w.disk = found
	w.mount, err = found.Mount(w.path("mnt"))
	return err
}

// end waits for the daemon, which has been killed or stopped.
func (w *crashWorld) end() {
	close(w.over)
	<-w.daemon.exited
	w.watch.Wait()
	w.daemon = nil
}
