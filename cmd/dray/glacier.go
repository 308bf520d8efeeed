package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/seed-7270d448/dray/cmd/dray/internal/config"
	"github.com/seed-7270d448/dray/cmd/dray/internal/text"
	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/glacier"
)

var glacierCommand = command{
	name: "glacier", args: "inventory [DESTINATION]", short: "fetch the inventory of a Glacier vault",
	long: `A vault lists its archives in an inventory only. Glacier makes one about once a
day, and hands it out some hours after it was asked. The first call asks; a later
one, when the job is done, writes the inventory in JSON to the new file that -o
names. dray audit --inventory proves by it that archives tile, dray verify
--inventory holds receipts against it. --new asks for another although one is
there.`,
	setup: func(fs *flag.FlagSet) action {
		file := configFlag(fs)
		to := fs.String("o", "", "write the inventory to the new `FILE`")
		again := fs.Bool("new", false, "ask for a new one")
		asJSON := fs.Bool("json", false, "print the state of the job in JSON")
		return func(ctx context.Context, out console, args []string) error {
			if len(args) == 0 || args[0] != "inventory" {
				return usagef("say what: dray glacier inventory [DESTINATION]")
			}
			vault, err := chooseVault(*file, args[1:])
			if err != nil {
				return err
			}
			job, err := inventoryJob(ctx, vault, *again)
			if err != nil {
				return err
			}
			if *to != "" && job.State == "Succeeded" {
				err = fetchInventory(ctx, vault, job, *to)
			}
			if err != nil {
				return err
			}
			if *asJSON {
				return json.NewEncoder(out.Out).Encode(job)
			}
			return writeJob(out.Out, job, *to)
		}
	},
}

// chooseVault returns the vault that args name: the only one without one.
func chooseVault(file string, args []string) (*glacier.Destination, error) {
	a, err := config.LoadArchives(file)
	if err != nil {
		return nil, err
	}
	chosen, err := choose(a.Destinations, args)
	if err != nil {
		return nil, err
	}
	var vaults []*glacier.Destination
	for _, d := range chosen {
		if v, ok := d.To.(*glacier.Destination); ok {
			vaults = append(vaults, v)
		}
	}
	if len(vaults) != 1 {
		return nil, usagef("name a destination of type glacier: there are %d", len(vaults))
	}
	return vaults[0], nil
}

// inventoryJob returns the newest job that has not failed, or begins one.
func inventoryJob(ctx context.Context, vault *glacier.Destination, again bool) (glacier.Job, error) {
	jobs, err := vault.Jobs(ctx)
	if err != nil {
		return glacier.Job{}, err
	}
	for _, j := range jobs {
		if j.State == "InProgress" || j.State == "Succeeded" && !again {
			return j, nil
		}
	}
	return vault.StartJob(ctx)
}

// fetchInventory writes to a file that does not exist yet, and leaves none if it
// fails.
func fetchInventory(ctx context.Context, vault *glacier.Destination, job glacier.Job, path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = vault.ReadJob(ctx, job.ID, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func writeJob(w io.Writer, job glacier.Job, path string) error {
	var line string
	switch {
	case job.State == "Succeeded" && path != "":
		line = "the inventory is in " + path
	case job.State == "Succeeded":
		line = "the inventory is ready, done " + text.Ago(job.Ended, time.Now()) + "; fetch it with -o FILE, within a day"
	default:
		line = "asked for it " + text.Ago(job.Begun, time.Now()) + "; it takes some hours: come back then with -o FILE"
	}
	_, err := fmt.Fprintln(w, text.Plain(line))
	return err
}

// openInventory calls fn with each archive of the inventory at path that Dray made.
func openInventory(path string, fn func(a glacier.Archive, key string, s transport.Stored) error) (vault string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	is, err := glacier.ReadInventory(bufio.NewReader(f), func(a glacier.Archive) error {
		key, stored, _ := a.Object()
		return fn(a, key, stored)
	})
	return is.Vault, errors.Join(err, f.Close())
}

func auditInventory(path string, sel engine.AuditSelection) (engine.Audit, error) {
	return engine.AuditList(func(fn func(string, transport.Stored) error) error {
		_, err := openInventory(path, func(_ glacier.Archive, key string, s transport.Stored) error { return fn(key, s) })
		return err
	}, sel)
}

func verifyInventory(stateDir, path string, sel engine.VerifySelection, fn func(engine.Verified) error) (engine.VerifySummary, error) {
	return engine.VerifyList(stateDir, sel, func(fn func(engine.Listed) error) (string, error) {
		return openInventory(path, func(a glacier.Archive, key string, s transport.Stored) error {
			return fn(engine.Listed{ArchiveID: a.ID, Key: key, Stored: s})
		})
	}, fn)
}
