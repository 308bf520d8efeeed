package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A rig is all that an experiment runs: a sensor, the daemon, and an archive.
type rig struct {
	dir     string
	program string
	config  string
	feed    *feed
	gateway *transporttest.Gateway // nil if the archive is no bucket
	vault   *transporttest.Vault   // nil if the archive is no vault
	proxy   *proxy                 // before either
	env     []string               // of the daemon, besides the lab's own

	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd is gone
	output tail
	http   http.Client
	last   engine.StreamStatus // before the daemon was stopped
}

// rigConfig says what to build.
type rigConfig struct {
	dest      string // "s3", "glacier" or "local"
	tags      string // build tags of the daemon
	rate      int    // of the sensor, bytes a second
	lines     int    // of the sensor, 0: no end
	waits     bool   // the sensor waits for room at the port
	link      int    // bytes a second of a connection to the archive
	interval  time.Duration
	objectMiB int
	env       []string
}

const (
	streamName = "line"
	syncKiB    = 256 // sync.bytes of the stream
)

// newRig builds the daemon and starts all but it. Close must follow.
func newRig(ctx context.Context, c rigConfig) (r *rig, err error) {
	r = &rig{env: c.env}
	if r.dir, err = os.MkdirTemp("", "dray-lab-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	r.program = filepath.Join(r.dir, "dray")
	build := exec.CommandContext(ctx, "go", "build", "-tags", c.tags, "-o", r.program, "github.com/seed-7270d448/dray/cmd/dray")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build dray: %w\n%s", err, out)
	}
	if r.feed, err = newFeed(c.rate, c.lines, c.waits); err != nil {
		return nil, err
	}
	archive := fmt.Sprintf("type: local\n    path: %s", r.archiveDir())
	partMiB := 5
	switch c.dest {
	case "local":
		if err := os.Mkdir(r.archiveDir(), 0o755); err != nil {
			return nil, err
		}
	case "s3":
		if r.gateway, err = transporttest.NewGateway(transporttest.GatewayOptions{}); err != nil {
			return nil, err
		}
		if r.proxy, err = newProxy(r.gateway.Endpoint, c.link); err != nil {
			return nil, err
		}
		archive = fmt.Sprintf("type: s3\n    endpoint: %s\n    path_style: true\n    region: %s\n    bucket: %s",
			r.proxy.Endpoint, r.gateway.Region, r.gateway.Bucket)
		r.env = append(r.env, "AWS_ACCESS_KEY_ID="+r.gateway.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+r.gateway.SecretAccessKey)
	case "glacier":
		partMiB = 4
		if r.vault, err = transporttest.NewVault(transporttest.VaultOptions{}); err != nil {
			return nil, err
		}
		if r.proxy, err = newProxy(r.vault.Endpoint, c.link); err != nil {
			return nil, err
		}
		archive = fmt.Sprintf("type: glacier\n    endpoint: %s\n    region: %s\n    vault: %s", r.proxy.Endpoint, r.vault.Region, r.vault.Name)
		r.env = append(r.env, "AWS_ACCESS_KEY_ID="+r.vault.Keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+r.vault.Keys.SecretAccessKey)
	default:
		return nil, fmt.Errorf("-dest %q is not known; use s3, glacier or local", c.dest)
	}
	r.config = filepath.Join(r.dir, "dray.yaml")
	text := fmt.Sprintf(`device: lab
state_dir: %s
spool: {max_bytes: 1GiB, min_free: 1MiB}
streams:
  - name: %s
    source: {type: serial, port: %s, baud: 921600}
    framing: lines
    sync: {interval: %v, bytes: %dKiB}
    object: {max_bytes: %dMiB, part_size: %dMiB, max_age: 1h}
    key: "{stream}/{stream}-{epoch}-{start}.log"
    destination: archive
destinations:
  - name: archive
    %s
`, r.stateDir(), streamName, r.feed.Port, c.interval, syncKiB, c.objectMiB, partMiB, archive)
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	r.http = controlClient(r.stateDir())
	return r, nil
}

// controlClient asks the daemon of a state folder.
func controlClient(state string) http.Client {
	return http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(state, "control.sock"))
		},
	}}
}

func (r *rig) stateDir() string { return filepath.Join(r.dir, "state") }

// archiveDir is the folder of the local archive.
func (r *rig) archiveDir() string { return filepath.Join(r.dir, "archive") }

// Close ends all that runs and removes all that was made.
func (r *rig) Close() error {
	var errs []error
	if r.running() {
		errs = append(errs, r.kill())
	}
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	if r.gateway != nil {
		errs = append(errs, r.gateway.Close())
	}
	if r.vault != nil {
		errs = append(errs, r.vault.Close())
	}
	if r.feed != nil {
		errs = append(errs, r.feed.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}

// start starts the daemon.
func (r *rig) start() error {
	r.output.Reset()
	r.cmd = exec.Command(r.program, "run", "-c", r.config)
	r.cmd.Env = append(os.Environ(), r.env...)
	r.cmd.Env = append(r.cmd.Env, "RUNTIME_DIRECTORY=", "NOTIFY_SOCKET=")
	r.cmd.Stdout, r.cmd.Stderr = &r.output, &r.output
	if err := r.cmd.Start(); err != nil {
		return err
	}
	cmd, exited := r.cmd, make(chan struct{})
	r.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // ProcessState says how it ended
	}()
	return nil
}

// running says whether the daemon is.
func (r *rig) running() bool {
	if r.exited == nil {
		return false
	}
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

// died returns an error that says how the daemon ended by itself.
func (r *rig) died() error {
	return fmt.Errorf("dray ended by itself: %v; it said:\n%s", r.cmd.ProcessState, r.output.String())
}

// kill kills the daemon with SIGKILL and waits until it is gone.
func (r *rig) kill() error {
	err := r.cmd.Process.Kill()
	<-r.exited
	if errors.Is(err, os.ErrProcessDone) {
		return r.died()
	}
	return errors.Join(err, r.feed.release())
}

// stop ends the daemon with SIGTERM and says how long that took.
func (r *rig) stop() (time.Duration, error) {
	began := time.Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	select {
	case <-r.exited:
	case <-limit.C:
		return 0, errors.Join(errors.New("dray did not end within 30 s of SIGTERM"), r.kill())
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		return 0, r.died()
	}
	return time.Since(began), nil
}

// status asks the daemon; an error is no fault while it starts.
func (r *rig) status(ctx context.Context) (s engine.StreamStatus, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	body, err := r.call(ctx, http.MethodGet, "/status")
	if err != nil {
		return s, err
	}
	var all engine.Status
	if err := json.Unmarshal(body, &all); err != nil {
		return s, fmt.Errorf("status: %w", err)
	}
	for _, s := range all.Streams {
		if s.Name == streamName {
			return s, nil
		}
	}
	return s, fmt.Errorf("status: no stream %q in %s", streamName, body)
}

func (r *rig) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://dray"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, err
}

// until asks for the status every few milliseconds until ok says yes.
func (r *rig) until(ctx context.Context, within time.Duration, what string, ok func(engine.StreamStatus) bool) (engine.StreamStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := r.status(ctx)
		if err == nil && ok(s) {
			return s, nil
		}
		select {
		case <-r.exited:
			return s, r.died()
		case <-ctx.Done():
			return s, fmt.Errorf("waited %v for %s; last status %+v (%v); dray said:\n%s", within, what, s, err, r.output.String())
		case <-tick.C:
		}
	}
}

// reading says that bytes have come in since the daemon started.
func reading(s engine.StreamStatus) bool {
	return strings.HasPrefix(s.SourceState, "reading") && !s.LastRead.IsZero()
}

// drain waits until all that the feed wrote is archived, and stops the daemon.
func (r *rig) drain(ctx context.Context, out *report) error {
	var last int64 = -1
	still := time.Now()
	_, err := r.until(ctx, time.Minute, "the last line to be read", func(s engine.StreamStatus) bool {
		if s.Appended != last {
			last, still = s.Appended, time.Now()
		}
		return time.Since(still) > 2*time.Second && s.Kept == s.Appended
	})
	if err != nil {
		return err
	}
	if _, err := r.call(ctx, http.MethodPost, "/flush"); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	began := time.Now()
	s, err := r.until(ctx, 5*time.Minute, "everything to be archived", func(s engine.StreamStatus) bool {
		return s.Archived == s.Kept && s.Pending == 0
	})
	if err != nil {
		return err
	}
	r.last = s
	out.figure("drained", "%d bytes kept and archived, %.1f s after flush; gaps %d (%d bytes), malformed %d bytes",
		s.Archived, time.Since(began).Seconds(), s.Gaps, s.GapBytes, s.Malformed)
	took, err := r.stop()
	if err != nil {
		return err
	}
	out.figure("SIGTERM", "ended in %d ms", took.Milliseconds())
	if took > 5*time.Second {
		out.violation("SIGTERM took %v, more than 5 s", took)
	}
	return nil
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const maxTail = 8 << 10

// Write keeps p; it does not fail.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - maxTail; over > 0 {
		t.buf = bytes.Clone(t.buf[over:])
	}
	return len(p), nil
}

// Reset forgets all.
func (t *tail) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}
