package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
)

var doctorCommand = command{
	name: "doctor", args: "[DESTINATION]", short: "try all that uploading will need of a destination",
	long: `Sends a few bytes in each way that Dray uses, under a key of its own
(dray-doctor/DEVICE/RANDOM below the destination's prefix), and says what is
refused or missing, and what that means. Exits 1 if anything that Dray needs
failed. It removes what it made where that is allowed; Dray itself never removes
an object, so a device need not be allowed to. At most one object stays for each
run, and what stays is named.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		under := fs.String("under", "", "make the key below `FOLDER`, for credentials that may only write there")
		asJSON := fs.Bool("json", false, "print JSON, one destination a line")
		return func(ctx context.Context, out console, args []string) error {
			a, err := config.LoadArchives(*file)
			if err != nil {
				return err
			}
			chosen, err := choose(a.Destinations, args)
			if err != nil {
				return err
			}
			var failed []error
			for _, d := range chosen {
				diagnosis, err := engine.Diagnose(ctx, d, a.Device, strings.Trim(*under, "/"))
				if err != nil {
					return err
				}
				if *asJSON {
					err = json.NewEncoder(out.Out).Encode(diagnosis)
				} else {
					err = writeDiagnosis(out.Out, diagnosis)
				}
				if err != nil {
					return err
				}
				failed = append(failed, diagnosis.Err())
			}
			return errors.Join(failed...)
		}
	},
}

// writeDiagnosis writes one line for each trial, below it what follows from a
// failure.
func writeDiagnosis(w io.Writer, d engine.Diagnosis) error {
	var b strings.Builder
	fmt.Fprintf(&b, "destination %s\n", d.Destination)
	for _, f := range d.Findings {
		switch {
		case f.OK && f.Detail == "":
			fmt.Fprintf(&b, "  ok       %s\n", f.Trial)
		case f.OK:
			fmt.Fprintf(&b, "  ok       %s: %s\n", f.Trial, f.Detail)
		case f.NotRun:
			fmt.Fprintf(&b, "  -        %s: %s\n", f.Trial, f.Detail)
		default:
			writeFailure(&b, f)
		}
	}
	for _, left := range d.Left {
		fmt.Fprintf(&b, "  left behind: %s\n", left)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, text.Plain(strings.TrimSuffix(line, "\n"))); err != nil {
			return err
		}
	}
	return nil
}

func writeFailure(w io.Writer, f transport.Finding) {
	word := map[transport.Need]string{transport.Needed: "FAILED", transport.Wanted: "lacking", transport.Optional: "no"}[f.Need]
	fmt.Fprintf(w, "  %-8s %s (%s)", word, f.Trial, f.Need)
	if f.Lacks != "" {
		fmt.Fprintf(w, ": lacks %s", f.Lacks)
	}
	fmt.Fprintln(w)
	if f.Means != "" {
		fmt.Fprintf(w, "           %s\n", f.Means)
	}
	if f.Detail != "" {
		fmt.Fprintf(w, "           seen: %s\n", f.Detail)
	}
}
