package main

import (
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
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/engine"
)

// A daemon is one life of dray, seen through its control socket.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once it is gone
	output tail
	http   http.Client
}

// startDaemon starts program; its control socket is in the folder runtime.
func startDaemon(program, config, runtime string, env []string) (*daemon, error) {
	d := &daemon{cmd: exec.Command(program, "run", "-c", config), exited: make(chan struct{})}
	d.cmd.Env = append(os.Environ(), env...)
	d.cmd.Env = append(d.cmd.Env, "RUNTIME_DIRECTORY="+runtime, "NOTIFY_SOCKET=")
	d.cmd.Stdout, d.cmd.Stderr = &d.output, &d.output
	d.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", filepath.Join(runtime, "control.sock"))
		},
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait() // ProcessState says how it ended
	}()
	return d, nil
}

// said returns the end of what it has logged.
func (d *daemon) said() string {
	s := d.output.String()
	return s[max(len(s)-1500, 0):]
}

// died says how it ended by itself.
func (d *daemon) died() error {
	return fmt.Errorf("dray ended by itself: %v; it said:\n%s", d.cmd.ProcessState, d.said())
}

// kill sends SIGKILL. What waits for the disk is gone only when the disk has answered.
func (d *daemon) kill() error {
	err := d.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		<-d.exited
		return d.died()
	}
	return err
}

// stop ends it with SIGTERM and waits for it.
func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	select {
	case <-d.exited:
	case <-limit.C:
		err := d.kill()
		<-d.exited
		return errors.Join(errors.New("dray did not end within 20 s of SIGTERM"), err)
	}
	if d.cmd.ProcessState.ExitCode() != 0 {
		return d.died()
	}
	return nil
}

func (d *daemon) status(ctx context.Context, within time.Duration) (s engine.Status, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	body, err := d.call(ctx, http.MethodGet, "/status")
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

func (d *daemon) call(ctx context.Context, method, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://dray"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, body)
	}
	return body, err
}
