package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

// The commands of this file read a state folder and never write to it, but for
// the note that receipts --exported asks for. The daemon may run or not; the folder may be full or damaged.

var receiptsCommand = command{
	name: "receipts", short: "list what is archived, with the destination's word for it",
	setup: func(fs *flag.FlagSet) action {
		state := stateFlags(fs)
		asJSON := fs.Bool("json", false, "the same as --format json")
		format := fs.String("format", "text", "print `FORMAT`: text, csv or json, one receipt a line")
		stream := fs.String("stream", "", "only those of stream `NAME`")
		exported := fs.Bool("exported", false, "note that what is printed, as csv or json and of all streams, is kept elsewhere")
		return func(ctx context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			dir, err := state()
			if err != nil {
				return err
			}
			if *asJSON {
				*format = "json"
			}
			w := bufio.NewWriter(out.Out)
			write, err := receiptWriter(w, *format)
			if err != nil {
				return err
			}
			each := func(r engine.Receipt) error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if *stream != "" && r.Stream != *stream {
					return nil
				}
				return write(r)
			}
			if *exported {
				if *format == "text" || *stream != "" {
					return usagef("--exported needs --format csv or json, and all streams")
				}
				return engine.ExportReceipts(dir, each, w.Flush)
			}
			return errors.Join(engine.ReadReceipts(dir, each), w.Flush())
		}
	},
}

// receiptWriter returns what writes a receipt to w in a format.
func receiptWriter(w io.Writer, format string) (func(engine.Receipt) error, error) {
	switch format {
	case "text":
		return func(r engine.Receipt) error { return writeReceipt(w, r) }, nil
	case "json":
		encoder := json.NewEncoder(w)
		return func(r engine.Receipt) error { return encoder.Encode(r) }, nil
	case "csv":
		return csvReceipts(w)
	}
	return nil, usagef("--format %q is not known; use text, csv or json", format)
}

// csvReceipts writes a line of names, then one for each receipt. The names are
// those of JSON, and as much a contract.
func csvReceipts(w io.Writer) (func(engine.Receipt) error, error) {
	c := csv.NewWriter(w)
	line := func(fields ...string) error {
		err := c.Write(fields)
		c.Flush()
		return errors.Join(err, c.Error())
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return func(r engine.Receipt) error {
			return line(r.Stream, r.Epoch, number(r.Start), number(r.End), r.Key, number(r.Size), r.Checksum, r.ETag, r.ArchiveID, r.Location, r.Vault, r.Description,
				r.Destination, r.FirstTime.UTC().Format(time.RFC3339Nano), r.CompletedAt.UTC().Format(time.RFC3339Nano), number(r.Gap), strconv.FormatBool(r.GapUnknown),
				strconv.Itoa(r.BegunAgain), r.InDoubt, r.Dropped, strconv.FormatBool(r.Estimated), r.Follows)
		}, line("stream", "epoch", "start", "end", "key", "size", "checksum", "etag", "archive_id", "location", "vault", "description",
			"destination", "first_time", "completed_at", "gap", "gap_unknown", "begun_again", "in_doubt", "dropped", "time_estimated", "follows")
}

// writeReceipt writes one line; lines come as they are read, so columns have
// fixed widths. What is not as usual stands at its end.
func writeReceipt(w io.Writer, r engine.Receipt) error {
	_, err := fmt.Fprintf(w, "%s  %-12s %12d to %12d  %10s  %s\n", r.CompletedAt.UTC().Format("2006-01-02 15:04:05"),
		r.Stream, r.Start, r.End, text.Bytes(r.Size), text.Plain(strings.Join(append([]string{r.Key}, remarks(r)...), "; ")))
	return err
}

func remarks(r engine.Receipt) (list []string) {
	if r.Dropped != "" {
		list = append(list, "dropped, nothing is archived: "+r.Dropped)
	}
	if r.InDoubt != "" {
		list = append(list, "in doubt: "+r.InDoubt)
	}
	switch {
	case r.Gap > 0 && r.GapUnknown:
		list = append(list, fmt.Sprintf("%d bytes before it are lost, perhaps more", r.Gap))
	case r.Gap > 0:
		list = append(list, fmt.Sprintf("%d bytes before it are lost", r.Gap))
	case r.GapUnknown:
		list = append(list, "bytes before it are lost, how many is not known")
	}
	if r.Estimated {
		list = append(list, "its time is a guess")
	}
	return list
}

var inspectCommand = command{
	name: "inspect", short: "show what a state folder holds, running or not",
	setup: func(fs *flag.FlagSet) action {
		state := stateFlags(fs)
		asJSON := fs.Bool("json", false, "print JSON")
		check := fs.Bool("check", false, "read every byte that waits; exit with 1 if some are damaged")
		return func(_ context.Context, out console, args []string) error {
			if err := noArgs(args); err != nil {
				return err
			}
			dir, err := state()
			if err != nil {
				return err
			}
			report, err := engine.Inspect(dir)
			if err != nil {
				return err
			}
			if *check {
				if err := report.ReadAll(); err != nil {
					return err
				}
			}
			if *asJSON {
				err = json.NewEncoder(out.Out).Encode(report)
			} else {
				err = report.WriteText(out.Out)
			}
			if err == nil && report.Damaged != nil && *report.Damaged > 0 {
				return fmt.Errorf("%d bytes are damaged on flash", *report.Damaged)
			}
			return err
		}
	},
}
