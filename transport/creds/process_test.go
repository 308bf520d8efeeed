package creds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
)

// program writes a shell script and returns how to run it.
func program(t *testing.T, script string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "helper")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	// Given to sh rather than run: a file that was just written may still be open
	// for writing in a child that another test is about to start.
	return []string{"/bin/sh", path}
}

const printKeys = `printf '{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"hush","SessionToken":"hush-token","Expiration":"%s"}' `

func TestAProgramGivesKeysUntilTheyEnd(t *testing.T) {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	argv := program(t, printKeys+`"$1" "$2"`)
	keys, err := Process{Command: NewCommand(append(argv, "id", end)...)}.Issue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys.AccessKeyID != "id" || keys.SecretAccessKey.Reveal() != "hush" || keys.SessionToken.Reveal() != "hush-token" {
		t.Errorf("got %s", keys.AccessKeyID)
	}
	if keys.Life < 59*time.Minute || keys.Life > time.Hour {
		t.Errorf("got a life of %v, want an hour", keys.Life)
	}
}

func TestAProgramThatFailsSaysWhyAndShowsNothing(t *testing.T) {
	const leak = "echo hush-hush >&2; "
	for _, c := range []struct {
		name string
		argv []string
		kind transport.Kind
		want string
	}{
		{"fails", program(t, leak+"exit 3"), transport.Temporary, "process sh: ended with exit status 3; run it by hand"},
		{"killed", program(t, leak+"kill -9 $$"), transport.Temporary, "ended with signal: killed"},
		{"silent", program(t, leak), transport.Denied, "did not print keys as JSON; run it by hand"},
		{"text", program(t, leak+"echo hush"), transport.Denied, "did not print keys as JSON; run it by hand"},
		{"version", program(t, `echo '{"Version":2,"AccessKeyId":"id","SecretAccessKey":"hush"}'`), transport.Denied, "printed version 2, only 1 is known; run it by hand"},
		{"no secret", program(t, `echo '{"Version":1,"AccessKeyId":"id"}'`), transport.Denied, "there is no access key ID and secret access key; run it by hand"},
		{"number", program(t, `echo '{"Version":1,"AccessKeyId":"id","SecretAccessKey":5}'`), transport.Denied, "did not print keys as JSON; run it by hand"},
		{"time", program(t, printKeys+"id hush"), transport.Denied, "the time of expiry is not of the form"},
		{"expired", program(t, printKeys+"id 2001-01-01T00:00:00Z"), transport.Denied, "already expired; check this device's clock"},
		{"without an end", program(t, "while :; do echo hush-hush-hush-hush-hush-hush-hush-hush; done"), transport.Denied, "printed more than 64 KiB"},
		{"absent", []string{"/nowhere/helper", "hush"}, transport.Denied, "process helper: cannot be run; check its path and mode"},
		{"not in the path", []string{"no-such-helper-at-all", "hush"}, transport.Denied, "cannot be run"},
		{"not executable", []string{"/etc/passwd", "hush"}, transport.Denied, "cannot be run"},
		{"none", nil, transport.Denied, "no program is named"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Process{Command: NewCommand(c.argv...)}.Issue(t.Context())
			if err == nil || transport.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v (%v), want %v %q", err, transport.KindOf(err), c.kind, c.want)
			}
		})
	}
}

func TestAProgramThatHangsIsEnded(t *testing.T) {
	_, err := Process{Command: NewCommand(program(t, "while :; do sleep 60; done")...), Timeout: 50 * time.Millisecond}.Issue(t.Context())
	if err == nil || transport.KindOf(err) != transport.Temporary || !strings.Contains(err.Error(), "did not end within 50ms") {
		t.Errorf("got %v", err)
	}
}

func TestAProgramEndsWithItsChildrenWhenNobodyWaitsForIt(t *testing.T) {
	// A child of the program's holds the other end of a FIFO: with it reading ends.
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	argv := append(program(t, `sh -c 'echo x; while :; do sleep 60; done' >"$1" & while :; do sleep 60; done`), path)
	var issued error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, issued = Process{Command: NewCommand(argv...)}.Issue(ctx)
	}()
	var line [2]byte
	for n := 0; n < len(line); { // until somebody writes, the other end counts as closed
		m, err := fifo.Read(line[n:])
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		n += m
	}
	cancel()
	<-done
	if transport.KindOf(issued) != transport.Offline || !errors.Is(issued, context.Canceled) {
		t.Errorf("got %v", issued)
	}
	if err := fifo.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(fifo); len(rest) > 0 || err != nil {
		t.Errorf("the child is still there: %q, %v", rest, err)
	}
}

func TestACommandLineIsSplitWithoutAShell(t *testing.T) {
	for line, want := range map[string][]string{
		"a":                        {"a"},
		" a  b\tc ":                {"a", "b", "c"},
		`"/opt/my tool" 'x "y" z'`: {"/opt/my tool", `x "y" z`},
		`a --b="c d"e ""`:          {"a", "--b=c de", ""},
		`a '$x' "|"`:               {"a", "$x", "|"},
	} {
		got, err := SplitCommand(line)
		if err != nil || !slices.Equal(*got.words, want) {
			t.Errorf("%q: got %q, %v, want %q", line, *got.words, err, want)
		}
	}
	for _, line := range []string{"", "  ", `""`, `a "b`, "a | b", "a; b", "a $HOME", "a `b`", "a > b", "a\nb", "a *", `a\ b`, "a " + strings.Repeat("b ", maxWords)} {
		if got, err := SplitCommand(line); err == nil {
			t.Errorf("%q: got %q, want an error", line, *got.words)
		}
	}
}

func TestARenewalRunsTheProgramAgain(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	p := NewProvider(Process{Command: NewCommand(append(program(t, `echo x >>"$1"; `+printKeys+`"id$(wc -l <"$1")" ""`), count)...)})
	for n := 1; n <= 3; n++ {
		want := fmt.Sprintf("id%d", n)
		expect(t, p, want)
		expect(t, p, want)
		p.Refused(want, true)
	}
}
