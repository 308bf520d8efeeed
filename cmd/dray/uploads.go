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
	"github.com/seed-7270d448/dray/cmd/dray/internal/control"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
)

var uploadsCommand = command{
	name: "uploads", args: "[abort] [DESTINATION]", short: "list this device's unfinished uploads, or end those left behind",
	long: `OWNER says whose an upload is: the journal's, which goes on with it or ends it by
itself; nobody's, left behind when a reply was lost and the destination did not
let Dray list uploads; or past, of a former epoch of this state folder, which a
device that was cloned from may still use. With abort, those of nobody are
ended; with --past, those of former epochs too. Another device's uploads are
never shown nor touched. The daemon may run or not.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		past := fs.Bool("past", false, "abort: also end uploads of former epochs")
		asJSON := fs.Bool("json", false, "print JSON, one upload a line")
		return func(ctx context.Context, out console, args []string) error {
			abort := len(args) > 0 && args[0] == "abort"
			if abort {
				args = args[1:]
			}
			if *past && !abort {
				return usagef("--past goes with abort")
			}
			c, err := config.Load(*file)
			if err != nil {
				return err
			}
			if _, err := choose(c.Engine.Destinations, args); err != nil {
				return err
			}
			if err := isStateFolder(c.Engine.StateDir); err != nil {
				return err
			}
			owner := owner{dir: c.Engine.StateDir}
			// What is found is shown, and ended, even if a destination fails.
			list, failed := engine.Uploads(ctx, c.Engine, strings.Join(args, ""), owner.ask)
			var results []uploadResult
			for _, u := range list {
				results = append(results, uploadResult{LeftUpload: u})
			}
			if abort {
				failed = errors.Join(failed, abortAll(ctx, c.Engine, results, *past, owner.notes))
			}
			if len(results) == 0 && failed != nil {
				return failed // not: there are none
			}
			return errors.Join(writeUploads(out.Out, results, *asJSON), failed)
		}
	},
}

// uploadResult is an upload and what was done about it.
type uploadResult struct {
	engine.LeftUpload
	Aborted bool `json:"aborted,omitempty"`
}

// owner asks what the journal owns: the daemon if it runs, else the folder.
type owner struct {
	dir   string
	notes []string // of the folder's journal, if it was read
}

func (o *owner) ask(ctx context.Context) (engine.Ownership, error) {
	own, err := control.NewClient(o.dir).Ownership(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		own, err = engine.ReadOwnership(o.dir)
		o.notes = own.Notes
	}
	return own, err
}

// abortAll ends what nobody owns. A journal with damage may own more than it
// knows, so then nothing is ended.
func abortAll(ctx context.Context, c engine.Config, results []uploadResult, past bool, notes []string) error {
	if len(notes) > 0 {
		return fmt.Errorf("nothing was aborted, because the journal does not tell all: %s; start dray run once, which puts that right", notes[0])
	}
	var errs []error
	for i := range results {
		u := &results[i]
		if u.Owner == engine.OwnerJournal || u.Owner == engine.OwnerPast && !past {
			continue
		}
		if err := engine.AbortUpload(ctx, c, u.LeftUpload, past); err != nil {
			errs = append(errs, err)
			continue
		}
		u.Aborted = true
	}
	return errors.Join(errs...)
}

func writeUploads(w io.Writer, results []uploadResult, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		for _, u := range results {
			if err := encoder.Encode(u); err != nil {
				return err
			}
		}
		return nil
	}
	if len(results) == 0 {
		_, err := fmt.Fprintln(w, "no unfinished uploads of this device")
		return err
	}
	t := text.Table{}
	t.Row("DESTINATION", "OWNER", "BEGUN", "KEY", "UPLOAD")
	for _, u := range results {
		who := u.Owner
		if u.Aborted {
			who += ", aborted"
		}
		begun := "-"
		if !u.Begun.IsZero() {
			begun = text.Ago(u.Begun, time.Now())
		}
		t.Row(u.Destination, who, begun, u.Key, u.UploadID)
	}
	return t.Write(w)
}
