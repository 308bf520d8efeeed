package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

var statusCommand = command{
	name: "status", short: "show what the running daemon is doing",
	long: `READ, KEPT and ARCHIVED are offsets in the stream: what was read from the
source, what survives a power cut, what has a receipt.`,
	setup: func(fs *flag.FlagSet) action {
		state := stateFlags(fs)
		asJSON := fs.Bool("json", false, "print JSON, one object a line")
		watch := fs.Bool("watch", false, "show it again each second")
		return func(ctx context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			dir, err := state()
			if err != nil {
				return err
			}
			show := func() error { return showStatus(ctx, out.Out, dir, *asJSON) }
			if !*watch {
				return show()
			}
			return each(ctx, time.Second, func() error {
				if !*asJSON && text.IsTerminal(out.Out) {
					fmt.Fprint(out.Out, "\x1b[H\x1b[2J") // home, clear
				}
				return show()
			})
		}
	},
}

// each does what it is given now and then every interval, until it fails or
// ctx is cancelled, which is success.
func each(ctx context.Context, interval time.Duration, do func() error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := do(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func showStatus(ctx context.Context, w io.Writer, dir string, asJSON bool) error {
	s, err := control.NewClient(dir).Status(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("%w; dray inspect --state %s shows what it holds", err, dir)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	return writeStatus(w, s, text.IsTerminal(w) && os.Getenv("NO_COLOR") == "")
}

// writeStatus writes s for a person, on one screen.
func writeStatus(w io.Writer, s engine.Status, colour bool) error {
	share := 0.0
	if s.Spool.MaxBytes > 0 {
		share = 100 * float64(s.Spool.UsedBytes) / float64(s.Spool.MaxBytes)
	}
	fmt.Fprintf(w, "dray %s on %s, up %s, state in %s\n", text.Plain(s.Version), text.Plain(s.Device), text.Span(s.Now.Sub(s.Started)), text.Plain(s.StateDir))
	fmt.Fprintf(w, "spool %s of %s (%.0f %%)", text.Bytes(s.Spool.UsedBytes), text.Bytes(s.Spool.MaxBytes), share)
	if s.Spool.Full {
		fmt.Fprint(w, ", FULL")
	}
	fmt.Fprintf(w, "; written %s in %d syncs", text.Bytes(s.Spool.WrittenBytes), s.Spool.Syncs)
	if s.Flash.LifeYears > 0 {
		fmt.Fprintf(w, "; the flash lasts %.1f years", s.Flash.LifeYears)
	}
	fmt.Fprintln(w)
	if s.Clock.Trust == "unknown" {
		fmt.Fprintf(w, "clock not known: %s have an estimated time; they wait clock.wait from the boot on\n", count(int(s.Clock.Estimated), "object"))
	} else if s.Clock.Ahead >= 60 || s.Clock.Ahead <= -60 {
		fmt.Fprintf(w, "clock is %.0f s ahead of the time (%s) that keys go by\n", s.Clock.Ahead, text.Plain(s.Clock.Trust))
	}
	if s.Spool.LastError != "" {
		fmt.Fprintf(w, "  %s\n", text.Plain(s.Spool.LastError))
	}
	for _, note := range s.Notes {
		fmt.Fprintf(w, "note: %s\n", text.Plain(note))
	}

	streams := text.Table{}
	streams.Row("STREAM", "READ", "KEPT", "ARCHIVED", "PENDING", "GAPS", "LAST READ", "TO", "SOURCE")
	for _, st := range s.Streams {
		gaps := fmt.Sprint(st.Gaps)
		if st.GapBytes > 0 {
			gaps += " (" + text.Bytes(st.GapBytes) + ")"
		}
		if st.Malformed > 0 {
			gaps += fmt.Sprintf(", %s malformed", text.Bytes(st.Malformed))
		}
		streams.Row(st.Name, text.Bytes(st.Appended), text.Bytes(st.Kept), text.Bytes(st.Archived), count(int(st.Pending), "object"),
			gaps, text.Ago(st.LastRead, s.Now), st.Destination, st.SourceState)
	}

	budgets := text.Table{}
	budgets.Row("BUDGET OF", "DAY", "MONTH", "LEFT TO HIGH")
	for _, b := range s.Budgets {
		budgets.Row(b.Interface, spent(b.Day), spent(b.Month), fmt.Sprintf("%d %%", b.Reserve))
	}

	const linkColumn = 1
	destinations := text.Table{}
	if colour {
		destinations.Paint = func(row, column int, cell string) string {
			if row == 0 || column != linkColumn {
				return cell
			}
			return paintLink(cell)
		}
	}
	destinations.Row("DESTINATION", "LINK", "PENDING", "SENT", "LAST SUCCESS", "NEXT TRY", "LAST ERROR")
	for _, d := range s.Destinations {
		next := "-"
		if d.NextTry.After(s.Now) {
			next = "in " + text.Span(d.NextTry.Sub(s.Now))
		}
		destinations.Row(d.Name, d.Link, text.Bytes(d.PendingBytes)+", "+count(int(d.PendingObjects), "object"),
			text.Bytes(d.SentBytes), text.Ago(d.LastSuccess, s.Now), next, d.LastError)
	}
	tables := []*text.Table{&streams, &destinations}
	if len(s.Budgets) > 0 {
		tables = append(tables, &budgets)
	}
	for _, t := range tables {
		fmt.Fprintln(w)
		if err := t.Write(w); err != nil {
			return err
		}
	}
	for _, d := range s.Destinations {
		if d.Plan != "" {
			fmt.Fprintf(w, "\n%s: %s\n", d.Name, d.Plan)
		}
	}
	return nil
}

// spent says how much of a limit is used.
func spent(s *engine.Spent) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%s of %s", text.Bytes(s.Bytes), text.Bytes(s.Limit))
}

// paintLink colours the state of a link: green, yellow, red.
func paintLink(state string) string {
	colours := map[string]string{"up": "32", "poor": "33", "down": "33", "throttled": "33", "closed": "33", "over budget": "33", "denied": "31"}
	if c, ok := colours[state]; ok {
		return "\x1b[" + c + "m" + state + "\x1b[0m"
	}
	return state
}

var flushCommand = command{
	name: "flush", args: "[STREAM]", short: "end the open objects now, so that they go out",
	long: "Without STREAM, of every stream. It returns when that is durable; dray status shows when they are archived.",
	setup: func(fs *flag.FlagSet) action {
		state := stateFlags(fs)
		return func(ctx context.Context, _ console, args []string) error {
			if len(args) > 1 {
				return usagef("name one stream, or none for all")
			}
			dir, err := state()
			if err != nil {
				return err
			}
			stream := ""
			if len(args) == 1 {
				stream = args[0]
			}
			return control.NewClient(dir).Flush(ctx, stream)
		}
	},
}
