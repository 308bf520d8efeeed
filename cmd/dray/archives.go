package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

// The commands of this file ask destinations about what is archived.

// choose returns the destinations that args name: all without one.
func choose(all []engine.Destination, args []string) ([]engine.Destination, error) {
	if len(args) > 1 {
		return nil, usagef("name one destination, or none for all")
	}
	if len(args) == 0 {
		return all, nil
	}
	var names []string
	for _, d := range all {
		if d.Name == args[0] {
			return []engine.Destination{d}, nil
		}
		names = append(names, d.Name)
	}
	return nil, usagef("there is no destination %q; the config has %s", args[0], strings.Join(names, ", "))
}

var verifyCommand = command{
	name: "verify", short: "hold each receipt against the object in the archive",
	long: `Asks for the size, checksum and identity of each object that has a receipt. Prints
what is not as the receipt says, and a summary. An object that is not there any
more is absent: whoever uses the archive may have moved it. Exits 1 if one is
different or cannot be asked for; with --strict also if one is absent.

Vaults have no keys to ask by: with --inventory the receipts of a vault are held
against an inventory of it, which also settles those in doubt. What is newer than
the inventory is absent.`,
	setup: func(fs *flag.FlagSet) action {
		state, file := stateAndConfig(fs)
		stream := fs.String("stream", "", "only objects of stream `NAME`")
		since := fs.String("since", "", "only objects archived since `TIME`: 36h ago, as 36h, or a date, as 2026-05-01")
		strict := fs.Bool("strict", false, "an absent object is a failure")
		inventory := fs.String("inventory", "", "hold receipts of a vault against the inventory in `FILE`")
		asJSON := fs.Bool("json", false, "print JSON, one object a line, the summary last")
		return func(ctx context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			sel := engine.VerifySelection{Stream: *stream}
			var err error
			if sel.Since, err = parseSince(*since, time.Now()); err != nil {
				return err
			}
			dir, err := state()
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(out.Out)
			write := func(v engine.Verified) error {
				if *asJSON {
					return encoder.Encode(v)
				}
				return writeVerified(out.Out, v)
			}
			var sum engine.VerifySummary
			if *inventory != "" {
				sum, err = verifyInventory(dir, *inventory, sel, write)
			} else {
				var a *config.Archives
				if a, err = config.LoadArchives(*file); err != nil {
					return err
				}
				sum, err = engine.Verify(ctx, dir, a.Destinations, sel, write)
			}
			if err != nil {
				return err
			}
			if *asJSON {
				err = encoder.Encode(map[string]engine.VerifySummary{"summary": sum})
			} else {
				err = writeVerifySummary(out.Out, sum)
			}
			if err != nil {
				return err
			}
			if sum.Receipts == 0 && *stream != "" {
				return fmt.Errorf("verify: no receipt is of stream %q, so nothing is proved; dray receipts lists them", *stream)
			}
			return sum.Err(*strict)
		}
	},
}

// parseSince reads a time, or how long ago it was.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("--since %q is neither a time, as 36h, nor a date, as 2026-05-01 or 2026-05-01T12:00:00Z", s)
}

func writeVerified(w io.Writer, v engine.Verified) error {
	line := fmt.Sprintf("%-9s  %s  %s", v.State, v.Destination, v.Key)
	if len(v.Why) > 0 {
		line += ": " + strings.Join(v.Why, "; ")
	}
	_, err := fmt.Fprintln(w, text.Plain(line))
	return err
}

func writeVerifySummary(w io.Writer, s engine.VerifySummary) error {
	line := fmt.Sprintf("%s: %d as archived, %d absent, %d different, %d not known", count(int(s.Receipts), "object"), s.Same, s.Absent, s.Different, s.Unknown)
	if s.Weak > 0 {
		line += fmt.Sprintf("; %d of them by size and identity alone, without a checksum", s.Weak)
	}
	if s.Dropped > 0 {
		line += fmt.Sprintf("; %d were dropped by policy", s.Dropped)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

var auditCommand = command{
	name: "audit", args: "DESTINATION | --inventory FILE", short: "prove from the archive alone that it is complete",
	long: `Reads nothing of this device but the destinations of the config, so it works from
anywhere. Lists all objects and, by device, stream and epoch, finds out whether
each begins where the one before it ended. Prints each hole, overlap and gap: a
gap is accounted for by the metadata of the object behind it, a hole is not.
What is not archived yet cannot be seen. Exits 1 if there is a hole or overlap.

Each object is asked for by itself, 16 at a time. With --quick its key and listed
size are believed, once one object in the same folder has confirmed them: then
only that one, and those behind a hole, are asked for. Memory depends on the
number of streams and holes, not of objects.

With --inventory an inventory of a Glacier vault is read instead, and no config.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		var sel engine.AuditSelection
		fs.StringVar(&sel.Device, "device", "", "only objects of device `NAME`")
		fs.StringVar(&sel.Stream, "stream", "", "only objects of stream `NAME`")
		fs.StringVar(&sel.Prefix, "under", "", "only objects whose keys begin with `PREFIX`")
		fs.BoolVar(&sel.Quick, "quick", false, "believe keys where they hold {epoch} and {start}")
		inventory := fs.String("inventory", "", "read the inventory of a vault in `FILE`")
		asJSON := fs.Bool("json", false, "print JSON")
		return func(ctx context.Context, out console, args []string) error {
			var audit engine.Audit
			var err error
			if *inventory != "" {
				if err := noArgs(args); err != nil {
					return err
				}
				audit, err = auditInventory(*inventory, sel)
			} else {
				audit, err = auditDestination(ctx, *file, args, sel)
			}
			if err != nil {
				return err
			}
			if *asJSON {
				err = json.NewEncoder(out.Out).Encode(audit)
			} else {
				err = writeAudit(out.Out, audit)
			}
			if err != nil {
				return err
			}
			if len(audit.Series) == 0 && sel != (engine.AuditSelection{Quick: sel.Quick}) {
				return errors.New("audit: no object is of that device, stream and prefix, so nothing is proved; leave out --device, --stream and --under to see what there is")
			}
			return audit.Err()
		}
	},
}

func auditDestination(ctx context.Context, file string, args []string, sel engine.AuditSelection) (engine.Audit, error) {
	a, err := config.LoadArchives(file)
	if err != nil {
		return engine.Audit{}, err
	}
	chosen, err := choose(a.Destinations, args)
	if err != nil {
		return engine.Audit{}, err
	}
	if len(chosen) > 1 {
		return engine.Audit{}, usagef("name the destination: the config has %d", len(chosen))
	}
	return engine.AuditArchive(ctx, chosen[0].To, sel)
}

// writeAudit writes one line for each series, what is wrong with it below.
func writeAudit(w io.Writer, a engine.Audit) error {
	var b strings.Builder
	for _, s := range a.Series {
		verdict := "complete"
		if s.Found > 0 {
			verdict = "NOT complete"
		}
		fmt.Fprintf(&b, "%s  %s  epoch %s: %s up to %d: %s, %s", s.Device, s.Stream, s.Epoch, verdict, s.End, count(int(s.Objects), "object"), text.Bytes(s.Bytes))
		if s.GapBytes > 0 || s.GapUnknown > 0 {
			fmt.Fprintf(&b, "; known lost: %s", text.Bytes(s.GapBytes))
		}
		if s.GapUnknown > 0 {
			fmt.Fprintf(&b, " and more, in %s", count(int(s.GapUnknown), "place"))
		}
		fmt.Fprintln(&b)
		for _, f := range s.Problems {
			fmt.Fprintf(&b, "  %-8s %d to %d", f.Kind, f.Start, f.End)
			switch {
			case f.Kind == engine.AuditOverlap:
				fmt.Fprintf(&b, ": in %s and in %s", f.Key, f.With)
			case f.Gap > 0:
				fmt.Fprintf(&b, ": before %s, which says that %d bytes were lost", f.Key, f.Gap)
			default:
				fmt.Fprintf(&b, ": before %s", f.Key)
			}
			fmt.Fprintln(&b)
		}
		for _, g := range s.Gaps {
			fmt.Fprintf(&b, "  gap      %d to %d\n", g.Start, g.End)
		}
		if s.More > 0 {
			fmt.Fprintf(&b, "  and %d more\n", s.More)
		}
	}
	for _, o := range a.Bad {
		fmt.Fprintf(&b, "cannot be told: %s: %s\n", o.Key, o.Why)
	}
	if a.BadMore > 0 {
		fmt.Fprintf(&b, "and %d more\n", a.BadMore)
	}
	fmt.Fprintf(&b, "%s of Dray's, %d others\n", count(int(a.Objects), "object"), a.Others)
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, text.Plain(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}
