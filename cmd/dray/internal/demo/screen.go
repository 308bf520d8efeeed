package demo

import (
	"fmt"
	"io"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

// A screen shows what happens, each line with the time since the start. On a
// terminal progress stays on one line; elsewhere it is a line each second.
type screen struct {
	out      io.Writer
	terminal bool
	start    time.Time
	last     time.Time // of progress
	open     bool      // the cursor stands behind a progress line
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, terminal: text.IsTerminal(out), start: time.Now()}
}

// say writes a line without a time.
func (s *screen) say(format string, args ...any) {
	s.finish()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// event writes a line with the time.
func (s *screen) event(format string, args ...any) {
	s.finish()
	fmt.Fprintf(s.out, "%s  %s\n", s.stamp(), fmt.Sprintf(format, args...))
}

// progress shows how far everyone is.
func (s *screen) progress(sent int64, st engine.Status) {
	now := time.Now()
	if !s.terminal && now.Sub(s.last) < time.Second {
		return
	}
	s.last = now
	g := st.Streams[0]
	line := fmt.Sprintf("%s  sent %-9s  read %-9s  kept %-9s  archived %s", s.stamp(),
		text.Bytes(sent), text.Bytes(g.Appended), text.Bytes(g.Kept), text.Bytes(g.Archived))
	if s.terminal {
		fmt.Fprint(s.out, "\r\x1b[K"+line)
		s.open = true
		return
	}
	fmt.Fprintln(s.out, line)
}

func (s *screen) finish() {
	if s.open {
		fmt.Fprintln(s.out)
		s.open = false
	}
}

func (s *screen) stamp() string { return fmt.Sprintf("%5.1fs", time.Since(s.start).Seconds()) }
