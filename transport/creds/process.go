package creds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"syscall"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// Bounds of a program that is asked for keys.
const (
	DefaultProcessTimeout = time.Minute
	maxOutput             = 64 << 10 // bytes
	// How long a program's children may hold its output open after it has ended.
	afterEnd = 2 * time.Second
)

// Process is a program that prints keys as AWS's credential_process does: one
// JSON object with Version 1, AccessKeyId, SecretAccessKey and, for keys that
// end, SessionToken and Expiration. So a helper gets keys by any means, such as
// aws_signing_helper from IAM Roles Anywhere.
//
// It is run without a shell, with this process's environment. What it writes to
// its standard error is dropped, for that may hold secrets; so its arguments are
// not shown either.
type Process struct {
	Command Command
	Timeout time.Duration // after which it is killed, with its children; default a minute
}

// String returns "process NAME".
func (p Process) String() string { return "process " + p.Command.String() }

// Issue runs the program once.
func (p Process) Issue(ctx context.Context) (Keys, error) {
	argv, err := p.Command.argv()
	if err != nil {
		return Keys{}, fail(transport.Denied, "process: %w", err)
	}
	limit := p.Timeout
	if limit == 0 {
		limit = DefaultProcessTimeout
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out := output{stop: cancel}
	cmd := exec.CommandContext(limited, argv[0], argv[1:]...)
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = afterEnd
	err = cmd.Run()
	exit := (*exec.ExitError)(nil)
	const byHand = "run it by hand, as the user that dray runs as"
	switch {
	case ctx.Err() != nil:
		return Keys{}, fail(transport.Offline, "%s: %w", p, ctx.Err())
	case out.tooLong:
		return Keys{}, fail(transport.Denied, "%s: printed more than %d KiB; %s", p, maxOutput>>10, byHand)
	case limited.Err() != nil:
		return Keys{}, fail(transport.Temporary, "%s: did not end within %v; %s", p, limit, byHand)
	case errors.As(err, &exit):
		// It may be without a network, which heals, or without permission; it
		// alone knows. What can heal is tried more often.
		return Keys{}, fail(transport.Temporary, "%s: ended with %s; %s", p, exit, byHand)
	case errors.Is(err, exec.ErrWaitDelay):
		// It has ended well, only a child of its holds on to the output.
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return Keys{}, fail(transport.Denied, "%s: cannot be run; check its path and mode", p)
	case err != nil:
		return Keys{}, fail(transport.Temporary, "%s: cannot be run: %w", p, cause(err))
	}
	keys, err := parseProcess(out.text.Bytes(), time.Now())
	if err != nil {
		return Keys{}, fail(transport.Denied, "%s: %w; %s", p, err, byHand)
	}
	return keys, nil
}

// cause returns the system's error below err, without the path and arguments
// around it.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return errors.New("it was not started")
}

// output gathers what a program prints, up to maxOutput.
type output struct {
	text    bytes.Buffer // not embedded: its ReadFrom knows no bound
	stop    func()       // ends a program that prints more
	tooLong bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.text.Len()+len(p) > maxOutput {
		o.tooLong = true
		o.stop()
		return 0, errors.New("too long")
	}
	return o.text.Write(p)
}

// parseProcess reads what a program printed. Its errors repeat nothing of it.
func parseProcess(text []byte, now time.Time) (Keys, error) {
	var reply struct {
		Version         int
		AccessKeyID     string `json:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return Keys{}, errors.New("did not print keys as JSON")
	}
	if reply.Version != 1 {
		return Keys{}, fmt.Errorf("printed version %d, only 1 is known", reply.Version)
	}
	life, err := lifeUntil(reply.Expiration, now)
	if err != nil {
		return Keys{}, err
	}
	keys := Keys{
		AccessKeyID:     reply.AccessKeyID,
		SecretAccessKey: NewSecret(reply.SecretAccessKey),
		SessionToken:    NewSecret(reply.SessionToken),
		Life:            life,
	}
	return keys, keys.check()
}
