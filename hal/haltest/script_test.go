package haltest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/hal"
)

var errUnplugged = errors.New("unplugged")

// play opens s as often as it can be, reads it in small pieces until it ends,
// and says what it saw.
func play(t *testing.T, s *Script) (events []string) {
	t.Helper()
	begin := time.Now()
	var resume hal.Position
	for range 10 {
		r, err := s.Open(t.Context(), resume)
		if err != nil {
			events = append(events, err.Error())
			continue
		}
		for {
			var b [3]byte
			n, m, err := r.Read(b[:])
			events = append(events, fmt.Sprintf("%q lost %d at %d after %v: %v", b[:n], m.Lost, m.Position.Offset, time.Since(begin), err))
			if !m.Position.IsZero() {
				resume = m.Position
			}
			if err == nil {
				continue
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err == io.EOF {
				return events
			}
			break
		}
	}
	t.Error("no EOF")
	return events
}

func TestAScriptPlaysItsSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Script{Label: "gps", CanWait: true, Seeks: true, Steps: []Step{
			Absent(errUnplugged), Bytes("abcd"), Pause(time.Second), Lost(7), Bytes("ef"),
			Unplug(errUnplugged), Lost(hal.LostUnknown), Bytes("g"), Lost(2), EOF(),
		}}
		got, want := play(t, s), []string{
			`open gps: unplugged`,
			`"abc" lost 0 at 3 after 0s: <nil>`,
			`"d" lost 0 at 4 after 0s: <nil>`,
			`"ef" lost 7 at 6 after 1s: <nil>`,
			`"" lost 0 at 0 after 1s: read gps: unplugged`,
			`"g" lost -1 at 7 after 1s: <nil>`,
			`"" lost 2 at 7 after 1s: <nil>`,
			`"" lost 0 at 0 after 1s: EOF`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("played\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		s.Done(t)
		<-s.Finished()
		if got, want := s.Resumed(), []hal.Position{{}, {}, {ID: 1, Offset: 6}}; !reflect.DeepEqual(got, want) {
			t.Errorf("Resumed() = %v, want %v", got, want)
		}
		if s.Name() != "gps" || !s.Waits() {
			t.Errorf("Name, Waits = %q, %v; want gps, true", s.Name(), s.Waits())
		}
	})
}

func TestASeekReadsBytesAgainButUnplugsOnce(t *testing.T) {
	s := &Script{Seeks: true, Steps: []Step{Bytes("abc"), Unplug(errUnplugged), Bytes("de"), EOF()}}
	read := func(resume int64, want string) hal.Reader {
		t.Helper()
		r, err := s.Open(t.Context(), hal.Position{ID: 1, Offset: resume})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for len(got) < len(want) {
			b := make([]byte, 9)
			n, _, err := r.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[:n]...)
		}
		if string(got) != want {
			t.Errorf("read %q, want %q", got, want)
		}
		return r
	}
	end := func(r hal.Reader, want error) {
		t.Helper()
		if _, _, err := r.Read(make([]byte, 1)); !errors.Is(err, want) {
			t.Errorf("Read = %v, want %v", err, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	end(read(0, "abc"), errUnplugged)
	end(read(1, "bcde"), io.EOF)
	s.Done(t)
}

func TestASilentScriptEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, steps := range [][]Step{nil, {Pause(time.Hour)}} {
			s := &Script{Steps: steps}
			r, err := s.Open(t.Context(), hal.Position{})
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error)
			go func() {
				_, _, err := r.Read(make([]byte, 1))
				got <- err
			}()
			synctest.Wait()
			if err := errors.Join(r.Close(), r.Close()); err != nil {
				t.Error(err)
			}
			if err := <-got; !errors.Is(err, os.ErrClosed) {
				t.Errorf("Read = %v, want os.ErrClosed", err)
			}
		}
	})
}

// record is a testing.TB that keeps what is said to it.
type record struct {
	testing.TB
	said string
}

func (r *record) Helper()                           {}
func (r *record) Errorf(format string, args ...any) { r.said += fmt.Sprintf(format, args...) + "\n" }

func TestDoneNamesWhatWasNotDone(t *testing.T) {
	s := &Script{Steps: []Step{Bytes("abc"), EOF()}}
	select {
	case <-s.Finished():
		t.Error("Finished before it began")
	default:
	}
	if _, err := s.Open(t.Context(), hal.Position{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), hal.Position{}); err == nil {
		t.Error("a second Open succeeds, want an error")
	}
	r := &record{TB: t}
	s.Done(r)
	for _, want := range []string{"Open while a Reader is open", "was left open", `step 1 of 2 was not read to its end: bytes "abc"`} {
		if !strings.Contains(r.said, want) {
			t.Errorf("Done said %q, want it to say %q", r.said, want)
		}
	}
}
