package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/engine"
)

// The files of a demo, below its folder.
const (
	stateName   = "state"
	archiveName = "archive"
	configName  = "dray.yaml"
	logName     = "dray.log"
)

// syncEvery is the sync interval of the demo's stream: what a kill may cost.
const syncEvery = 200 * time.Millisecond

// writeConfig writes the config of the daemon under show.
func writeConfig(dir, port string) error {
	text := fmt.Sprintf(`# Written by dray demo. Objects and parts are small, so that a few seconds show them.
device: demo
state_dir: %q
spool: {max_bytes: 32MiB, min_free: 0}
streams:
  - name: gps
    source: {type: serial, port: %s, baud: 115200}
    framing: lines
    sync: {interval: %v}
    object: {max_bytes: 16KiB, part_size: 4KiB}
    destination: archive
destinations:
  - name: archive
    type: local
    path: %q
`, filepath.Join(dir, stateName), port, syncEvery, filepath.Join(dir, archiveName))
	return os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o600)
}

// A daemon is a dray process of the demo's own.
type daemon struct {
	dir     string
	program []string // and its first arguments
	client  *control.Client

	command *exec.Cmd
	exited  chan struct{} // closed when the process is gone; then err is set
	err     error
}

// start starts the process and waits until it reads the sensor.
func (d *daemon) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(d.dir, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	args := append(append([]string(nil), d.program[1:]...), "run", "-c", filepath.Join(d.dir, configName))
	command := exec.Command(d.program[0], args...)
	command.Stdout, command.Stderr = log, log
	for _, v := range os.Environ() {
		// The demo's daemon is nobody's service.
		if name, _, _ := strings.Cut(v, "="); name != "RUNTIME_DIRECTORY" && name != "NOTIFY_SOCKET" && name != "WATCHDOG_USEC" {
			command.Env = append(command.Env, v)
		}
	}
	// Its own group, so that Ctrl-C reaches the demo alone, which then ends it.
	// Should the demo be killed, the daemon goes with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start dray: %w", err)
	}
	d.command, d.exited, d.err = command, make(chan struct{}), nil
	go func() {
		d.err = command.Wait()
		close(d.exited)
	}()
	return d.until(ctx, 15*time.Second, "dray to read the sensor", func(s engine.Status) bool {
		return len(s.Streams) == 1 && s.Streams[0].SourceState == "reading"
	})
}

func (d *daemon) pid() int { return d.command.Process.Pid }

// kill ends the process as a power cut would: without a word.
func (d *daemon) kill() error {
	if err := d.command.Process.Kill(); err != nil {
		return err
	}
	<-d.exited
	return nil
}

// stop asks the process to end and returns how it did.
func (d *daemon) stop() error {
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.exited:
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("dray has not ended 10s after SIGTERM"), d.kill())
	}
	if d.err != nil {
		return fmt.Errorf("dray ended badly after SIGTERM: %w%s", d.err, d.lastWords())
	}
	return nil
}

// end makes sure that no process is left behind, however the demo went.
func (d *daemon) end() error {
	if d.command == nil {
		return nil
	}
	select {
	case <-d.exited:
		return nil
	default:
		return d.kill()
	}
}

// status returns the stream and the destination of the demo.
func (d *daemon) status(ctx context.Context) (engine.Status, error) {
	s, err := d.client.Status(ctx)
	if err == nil && (len(s.Streams) != 1 || len(s.Destinations) != 1) {
		err = errors.New("dray shows another config than the demo's")
	}
	return s, err
}

// until waits for a status that is as wished.
func (d *daemon) until(ctx context.Context, patience time.Duration, what string, wished func(engine.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		s, err := d.status(ctx)
		if err == nil && wished(s) {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("waiting for %s: dray ended: %v%s", what, d.err, d.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %v)%s", what, ctx.Err(), err, d.lastWords())
		case <-ticker.C:
		}
	}
}

// lastWords returns the end of the daemon's log for an error.
func (d *daemon) lastWords() string {
	log, err := os.ReadFile(filepath.Join(d.dir, logName))
	if err != nil || len(log) == 0 {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	lines = lines[max(0, len(lines)-5):]
	return "\n  its last words:\n    " + string(bytes.Join(lines, []byte("\n    ")))
}
