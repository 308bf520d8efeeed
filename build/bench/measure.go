package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A rig holds what all measurements share.
type rig struct {
	dir  string
	dray string // the program
	file string // the bytes to send, for programs that read a file
	size int64
}

// A row is one measurement.
type row struct {
	name   string
	secure bool
	cpu    time.Duration // user + system
	system time.Duration
	wall   time.Duration
	rss    int64 // peak, bytes
	reads  int64 // bytes, without those of the pipe; 0: not counted
}

func newRig(ctx context.Context, parent string, size int64) (r *rig, err error) {
	r = &rig{size: size}
	if r.dir, err = os.MkdirTemp(parent, "dray-bench-"); err != nil {
		return nil, err
	}
	r.file = filepath.Join(r.dir, "input")
	if r.dray, err = buildDray(ctx, r.dir); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	f, err := os.Create(r.file)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := errors.Join(writeInput(f, size), f.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// buildDray builds the binary that ships for this machine and returns its path.
func buildDray(ctx context.Context, dir string) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/seed-7270d448/dray").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout: %w; run inside it", err)
	}
	target := runtime.GOARCH
	if target == "arm" {
		target = "armv7"
	}
	build := exec.CommandContext(ctx, "bash", "build/build.sh", target)
	build.Dir = strings.TrimSpace(string(root))
	build.Env = append(os.Environ(), "DIST="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build dray: %w\n%s", err, out)
	}
	return filepath.Join(dir, "dray-linux-"+target), nil
}

// Close removes what was made.
func (r *rig) Close() error { return os.RemoveAll(r.dir) }

// writeInput writes size bytes that do not repeat within a megabyte.
func writeInput(w io.Writer, size int64) error {
	block := make([]byte, 1<<20)
	rnd := rand.NewChaCha8([32]byte{1})
	for size > 0 {
		b := block[:min(int64(len(block)), size)]
		if _, err := rnd.Read(b); err != nil {
			return err
		}
		n, err := w.Write(b)
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

// measure runs s on a fresh server and checks that all bytes arrived.
func (r *rig) measure(ctx context.Context, s subject, secure bool) (got row, err error) {
	work, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	store := filepath.Join(work, "server")
	gateway, err := transporttest.NewGateway(transporttest.GatewayOptions{TLS: secure, Dir: store})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, gateway.Close()) }()
	cmd, err := s.command(ctx, r, gateway, work)
	if err != nil {
		return got, err
	}
	got = row{name: s.name(), secure: secure}
	err = r.watch(cmd, &got, s.piped(), func() (int64, error) { return storedBytes(gateway.BucketDir) })
	return got, err
}

// measureVault has dray carry the input to a simulated Glacier vault, over http.
func (r *rig) measureVault(ctx context.Context, partSize byteSize) (got row, err error) {
	work, err := os.MkdirTemp(r.dir, "run-")
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	v, err := transporttest.NewVault(transporttest.VaultOptions{Dir: filepath.Join(work, "vault")})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	archive := fmt.Sprintf("type: glacier\n    endpoint: %s\n    region: %s\n    vault: %s", v.Endpoint, v.Region, v.Name)
	d := dray{partSize: partSize}
	cmd, err := d.carry(ctx, r, archive, keys(v.Keys.AccessKeyID, v.Keys.SecretAccessKey), work)
	if err != nil {
		return got, err
	}
	got = row{name: d.name() + ", vault"}
	err = r.watch(cmd, &got, d.piped(), func() (total int64, err error) {
		for _, a := range v.Archives() {
			total += a.Size
		}
		if n := len(v.Archives()); n != 1 {
			err = fmt.Errorf("%d archives", n)
		}
		return total, err
	})
	return got, err
}

// watch runs cmd, measures it, and checks that all bytes arrived.
func (r *rig) watch(cmd *exec.Cmd, got *row, piped bool, stored func() (int64, error)) (err error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if got.rss, got.reads, err = runWatched(cmd); err != nil {
		return fmt.Errorf("%w; it said:\n%.4000s", err, said.String())
	}
	got.wall = time.Since(began)
	if piped {
		got.reads = max(got.reads-r.size, 0)
	}
	got.system = cmd.ProcessState.SystemTime()
	got.cpu = cmd.ProcessState.UserTime() + got.system
	arrived, err := stored()
	if err == nil && arrived != r.size {
		err = fmt.Errorf("%d bytes arrived of %d; it said:\n%.4000s", arrived, r.size, said.String())
	}
	return err
}

// runWatched runs cmd and returns the peak of its resident memory and how much
// it read, in bytes.
//
// The kernel's own figure for a child that has ended (ru_maxrss) will not do:
// at exec it takes over the peak of the process that forked, which is the
// bench. So VmHWM is read while the child lives; it only grows, and what it
// grows by in the last few milliseconds is missed. So it is with what was read.
func runWatched(cmd *exec.Cmd) (peak, reads int64, err error) {
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err == nil && peak == 0 {
				err = errors.New("it ended before its memory could be read")
			}
			return peak, reads, err
		case <-tick.C: // what cannot be read has just ended
			if b, err := os.ReadFile(proc + "status"); err == nil {
				peak = max(peak, field(b, "VmHWM:", " kB")<<10)
			}
			if b, err := os.ReadFile(proc + "io"); err == nil {
				reads = max(reads, field(b, "rchar:", ""))
			}
		}
	}
}

// field returns the number of a line of a file in /proc, 0 if it is not there.
func field(text []byte, name, unit string) int64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), unit)), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// storedBytes returns the size of all finished objects of a bucket's folder.
func storedBytes(bucket string) (total int64, err error) {
	err = filepath.WalkDir(bucket, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != bucket && strings.HasPrefix(d.Name(), ".") { // the server's own
			return filepath.SkipDir
		}
		if d.IsDir() {
			return nil
		}
		fi, err := d.Info()
		if err == nil {
			total += fi.Size()
		}
		return err
	})
	return total, err
}
