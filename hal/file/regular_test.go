package file

import (
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/hal"
)

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
