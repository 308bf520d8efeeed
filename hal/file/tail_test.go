package file

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-7270d448/dray/hal"
)

// A tail is a followed file, what writes it, and what reads it. Its methods
// fail the test at once; the reader's clock is that of a synctest bubble.
type tail struct {
	t interface {
		Helper()
		Fatal(...any)
		Fatalf(string, ...any)
		Context() context.Context
	}
	path string
	s    *Source
	w    *os.File
	r    hal.Reader
	last hal.Position
	soon chan struct{} // closed when what later began is done
	tick int64         // file times, in seconds, so that rotations are not within one tick of the file system's clock
}

func newTail(t *testing.T, follow bool) *tail {
	l := &tail{t: t, path: filepath.Join(t.TempDir(), "app.log")}
	l.begin(follow)
	t.Cleanup(l.end)
	return l
}

func (l *tail) begin(follow bool) {
	s, err := New(Config{Type: "file", Path: l.path, Follow: follow})
	l.ok(err)
	l.s = s
	l.create()
}

func (l *tail) end() {
	l.stop()
	l.ok(l.w.Close())
}

func (l *tail) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *tail) create() {
	l.t.Helper()
	w, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	l.ok(err)
	l.w = w
	l.write("")
}

func (l *tail) write(s string) {
	l.t.Helper()
	_, err := l.w.WriteString(s)
	l.ok(err)
	l.tick++
	l.ok(os.Chtimes(fmt.Sprintf("/proc/self/fd/%d", l.w.Fd()), time.Unix(l.tick, 0), time.Unix(l.tick, 0)))
}

// rotate renames app.log.1 to app.log.2 and so on, and app.log to app.log.1.
func (l *tail) rotate() {
	l.t.Helper()
	l.shift()
	l.ok(l.w.Close())
	l.create()
}

func (l *tail) shift() {
	l.t.Helper()
	n := 0
	for {
		if _, err := os.Stat(fmt.Sprintf("%s.%d", l.path, n+1)); err != nil {
			break
		}
		n++
	}
	for ; n > 0; n-- {
		l.ok(os.Rename(fmt.Sprintf("%s.%d", l.path, n), fmt.Sprintf("%s.%d", l.path, n+1)))
	}
	l.ok(os.Rename(l.path, l.path+".1"))
}

func (l *tail) start() {
	l.t.Helper()
	r, err := l.s.Open(l.t.Context(), l.last)
	l.ok(err)
	l.r = r
}

func (l *tail) stop() {
	l.t.Helper()
	if l.r != nil {
		l.ok(l.r.Close())
		l.r = nil
	}
}

func (l *tail) restart() { l.t.Helper(); l.stop(); l.start() }

// later does f after d, and at the latest while want waits.
func (l *tail) later(d time.Duration, f func()) {
	done := make(chan struct{})
	l.soon = done
	time.AfterFunc(d, func() { defer close(done); f() })
}

// want reads as many bytes as s has and compares them and what was lost before.
func (l *tail) want(s string, lost int64) {
	l.t.Helper()
	// In the bubble this is at once, as soon as all others wait for ever.
	defer time.AfterFunc(24*time.Hour, func() { _ = l.r.Close() }).Stop()
	var got []byte
	var gotLost int64
	for len(got) < len(s) {
		b := make([]byte, len(s)-len(got))
		n, m, err := l.r.Read(b)
		if err != nil {
			l.t.Fatalf("after %q: %v", got, err)
		}
		if len(got) == 0 {
			gotLost = m.Lost
		} else if m.Lost != 0 {
			l.t.Fatalf("after %q: Lost %d", got, m.Lost)
		}
		if m.Position.ID == 0 {
			l.t.Fatalf("after %q: position %+v without ID", got, m.Position)
		}
		got, l.last = append(got, b[:n]...), m.Position
	}
	if l.soon != nil {
		<-l.soon
		l.soon = nil
	}
	if string(got) != s || gotLost != lost {
		l.t.Fatalf("read %q with Lost %d, want %q with %d", got, gotLost, s, lost)
	}
}

// However writing, rotations, restarts and reads of any size follow on each
// other, all bytes come once and in order.
func TestNoByteIsSkippedOrReadTwice(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		l := &tail{t: t, path: filepath.Join(sub, "app.log")}
		l.begin(true)
		l.s.poll = 0 // real time, as rapid does not run in a bubble
		defer l.end()
		var all bytes.Buffer
		read := 0
		write := func(*rapid.T) {
			line := fmt.Sprintf("header\n%d\n", all.Len())
			all.WriteString(line)
			l.write(line)
		}
		write(t)
		l.start()
		l.want("h", 0) // from a file that was never read, nothing leads back
		read++
		t.Repeat(map[string]func(*rapid.T){
			"write":   write,
			"rotate":  func(*rapid.T) { l.rotate() },
			"restart": func(*rapid.T) { l.restart() },
			"read": func(t *rapid.T) {
				n := rapid.IntRange(0, min(20, all.Len()-read)).Draw(t, "n")
				l.want(all.String()[read:read+n], 0)
				read += n
			},
		})
		l.want(all.String()[read:], 0)
	})
}
