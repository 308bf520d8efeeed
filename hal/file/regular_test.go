package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
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

func TestAFileReadOnceEndsAndResumes(t *testing.T) {
	l := newTail(t, false)
	l.write("one two ")
	l.start()
	l.want("one ", 0)
	l.restart()
	l.want("two ", 0)
	atEnd := func() {
		t.Helper()
		if n, m, err := l.r.Read(make([]byte, 9)); n != 0 || m != (hal.Mark{}) || err != io.EOF {
			t.Errorf("Read at the end = %d, %+v, %v; want io.EOF", n, m, err)
		}
	}
	atEnd()
	l.restart()
	atEnd()
	l.write("three")
	l.restart()
	l.want("three", 0)
	atEnd()
}

func TestAFileReadOnceThatWasReplacedBeginsAnew(t *testing.T) {
	l := newTail(t, false)
	l.write("old bytes")
	l.start()
	l.want("old", 0)
	l.stop()
	l.rotate()
	l.write("new bytes")
	l.start()
	l.want("new bytes", hal.LostUnknown)
}

func TestAnEmptyFileHasNoPositionYet(t *testing.T) {
	l := newTail(t, false)
	l.start()
	if _, m, err := l.r.Read(make([]byte, 9)); err != io.EOF || !m.Position.IsZero() {
		t.Errorf("Read = %+v, %v; want no position, io.EOF", m, err)
	}
}

func TestAFollowedFile(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(l *tail)
	}{
		{"goes on as it grows", func(l *tail) {
			l.start()
			l.later(time.Hour, func() { l.write("one") })
			l.want("one", 0)
			l.write("two")
			l.want("two", 0)
		}},
		{"goes on in the middle after a restart", func(l *tail) {
			l.write("one two")
			l.start()
			l.want("one", 0)
			l.restart()
			l.want(" two", 0)
		}},
		{"is finished before its successor begins", func(l *tail) {
			l.write("one ")
			l.start()
			l.want("one ", 0)
			l.write("two ")
			l.rotate()
			l.write("three")
			l.want("two three", 0)
		}},
		{"is read on while its writer has not noticed the rotation", func(l *tail) {
			l.write("one ")
			l.start()
			l.want("one ", 0)
			l.shift()
			old := l.w
			l.create()
			l.write("three")
			l.later(poll*linger/2, func() {
				_, err := old.WriteString("two ")
				l.ok(errors.Join(err, old.Close()))
			})
			l.want("two three", 0)
		}},
		{"is read on while there is nothing under its path", func(l *tail) {
			l.write("one ")
			l.start()
			l.want("one ", 0)
			l.shift()
			l.later(time.Hour, func() { l.write("two ") })
			l.want("two ", 0)
			l.ok(l.w.Close())
			l.later(time.Hour, func() { l.create(); l.write("three") })
			l.want("three", 0)
		}},
		{"is read to its end when it was deleted", func(l *tail) {
			l.write("one two ")
			l.start()
			l.want("one ", 0)
			l.ok(errors.Join(os.Remove(l.path), l.w.Close()))
			l.create()
			l.write("three")
			l.want("two three", 0)
		}},
		{"begins anew when it was truncated in place", func(l *tail) {
			l.write("one two")
			l.start()
			l.want("one two", 0)
			l.ok(l.w.Truncate(0))
			l.write("three")
			l.want("three", hal.LostUnknown)
			l.write(" four")
			l.want(" four", 0)
		}},
		{"begins anew when it was truncated while nobody read it", func(l *tail) {
			l.write("one two")
			l.start()
			l.want("one two", 0)
			l.stop()
			l.ok(l.w.Truncate(0))
			l.write("on")
			l.start()
			l.want("on", hal.LostUnknown)
		}},
		{"begins anew when other bytes are at its beginning", func(l *tail) {
			l.write("one two")
			l.start()
			l.want("one ", 0)
			l.stop()
			l.ok(l.w.Truncate(0))
			l.write("three four five")
			l.start()
			l.want("three four five", hal.LostUnknown)
		}},
		{"is found again after a rotation while nobody read it", func(l *tail) {
			l.write("one two ")
			l.start()
			l.want("one ", 0)
			l.stop()
			l.rotate()
			l.write("three")
			l.start()
			l.want("two three", 0)
		}},
		{"is found again after many rotations, and all between them", func(l *tail) {
			l.write("one two ")
			l.start()
			l.want("one ", 0)
			l.stop()
			l.rotate()
			l.write("three ")
			l.rotate()
			l.write("four ")
			l.rotate()
			l.write("five")
			l.start()
			l.want("two three ", 0)
			l.restart()
			l.want("four five", 0)
		}},
		{"is found again when its successor is not there yet", func(l *tail) {
			l.write("one two ")
			l.start()
			l.want("one ", 0)
			l.stop()
			l.shift()
			l.start()
			l.want("two ", 0)
			l.ok(l.w.Close())
			l.create()
			l.write("three")
			l.want("three", 0)
		}},
		{"that is gone for good is an unknown loss", func(l *tail) {
			l.write("one two ")
			l.start()
			l.want("one ", 0)
			l.stop()
			l.rotate()
			l.write("three")
			l.ok(os.Remove(l.path + ".1"))
			l.start()
			l.want("three", hal.LostUnknown)
		}},
		{"is not taken for a file with the same first line", func(l *tail) {
			l.write("time;value\n1;1\n")
			l.start()
			l.want("time;value\n1;1\n", 0)
			l.stop()
			l.rotate()
			l.write("time;value\n2;2\n3;3\n")
			l.start()
			l.want("time;value\n2;2\n3;3\n", 0)
		}},
		{"leaves other files beside it alone", func(l *tail) {
			l.write("one ")
			l.start()
			l.want("one ", 0)
			for _, name := range []string{".1.gz", ".bak", "-errors", "."} {
				l.ok(os.WriteFile(l.path+name, []byte("other"), 0o600))
			}
			l.rotate()
			l.write("two")
			l.want("two", 0)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(newTail(t, true)) })
		})
	}
}

// File systems give the inode number of a deleted file to the next one, and
// logs begin alike.
func TestAFileMadeAnewWithTheSameFirstLineIsAnother(t *testing.T) {
	const header = "time;value;unit;sensor;a first line that is longer than sixty-three bytes\n"
	l := newTail(t, true)
	l.write(header)
	l.start()
	l.want(header, 0)
	l.stop()
	_, born, err := inode(l.w)
	l.ok(err)
	l.ok(errors.Join(l.w.Close(), os.Remove(l.path)))
	for { // until the file system's clock has moved on
		l.create()
		_, now, err := inode(l.w)
		l.ok(err)
		if now != born || born == 0 {
			break
		}
		l.ok(errors.Join(l.w.Close(), os.Remove(l.path)))
	}
	if born == 0 {
		t.Fatal("the temporary folder is on a file system without times of birth; set TMPDIR to another")
	}
	l.write(header + "1;2;V;x\n")
	l.start()
	l.want(header+"1;2;V;x\n", hal.LostUnknown)
}

func TestTheIDOfAFileIsTheSameFromItsFirstByteOn(t *testing.T) {
	l := newTail(t, true)
	l.write("a")
	l.start()
	l.want("a", 0)
	first := l.last.ID
	for range 10 {
		l.write("0123456789")
		l.restart()
		l.want("0123456789", 0)
		if l.last.ID != first {
			t.Fatalf("at %d: ID %x, want %x", l.last.Offset, l.last.ID, first)
		}
	}
}

func TestAPositionFromBadFlashIsAnUnknownLoss(t *testing.T) {
	for _, p := range []hal.Position{{ID: 1, Offset: 2}, {ID: 64, Offset: 2}, {Offset: 3}, {ID: ^uint64(0), Offset: -1}} {
		l := newTail(t, true)
		l.write("one two")
		l.last = p
		l.start()
		l.want("one two", hal.LostUnknown)
		l.last.Offset = -5 // the right file, an impossible place
		l.restart()
		l.want("one two", hal.LostUnknown)
	}
}

func TestRotatedNamesAreTold(t *testing.T) {
	for name, want := range map[string]bool{
		"app.log.1": true, "app.log.12": true, "app.log-20260102": true, "app.log.2026-01-02T03:04": true,
		"app-2026-01-02.log": true, "app_1.log": true, "app.1.log": true,
		"app.log.1.gz": false, "app.log.bak": false, "app.log.old": false, "app-errors.log": false,
		"app.log.": false, "app.log~": false, "app.log-": false, "app.log.-": false, "app2.log": false,
	} {
		if got := (&Source{cfg: Config{Path: "/var/log/app.log"}}).rotated(name); got != want {
			t.Errorf("rotated(%q) = %v, want %v", name, got, want)
		}
	}
	if !(&Source{cfg: Config{Path: "/var/log/messages"}}).rotated("messages-20260102") {
		t.Error("a name without extension: messages-20260102 is not told as rotated")
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
