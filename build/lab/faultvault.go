package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/glacier"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// newVaultPlan draws a plan for a vault: parts are 1 MiB, and the service has
// other errors. Each has at least three faults, of at least two kinds.
func newVaultPlan(seed uint64) *plan {
	r := rand.New(rand.NewPCG(seed, 0x7661756c74))
	p := &plan{seed: seed, partSize: 1 << 20, resends: true, bodiless: true, codes: []string{
		"400:ThrottlingException", "408:RequestTimeoutException", "400:InvalidParameterValueException", "400:InsufficientCapacityException", "403:InvalidSignatureException",
	}}
	p.size = p.partSize*int64(2+r.IntN(2)) + 1 + r.Int64N(p.partSize)
	if r.IntN(4) == 0 {
		p.small = 1 + r.Int64N(p.partSize)
	}
	var modes []string
	for _, m := range []string{"deny-list", "deny-abort"} {
		if r.IntN(6) == 0 {
			modes = append(modes, m)
		}
	}
	if r.IntN(6) == 0 {
		modes = append(modes, "again=gone") // the short period is over at once
	}
	lines := p.faults(r)
	if len(modes) > 0 {
		lines = append([]string{"mode " + strings.Join(modes, " ")}, lines...)
	}
	p.script = strings.Join(lines, "; ")
	var err error
	if _, p.modes, err = transporttest.ParseScript(p.script); err != nil {
		panic(err) // what is drawn above is no script
	}
	return p
}

// newVaultBench starts a proxy before a vault.
func newVaultBench(v *transporttest.Vault, dir string, limit time.Duration, factor float64, log io.Writer) (*bench, error) {
	b := &bench{vault: v, dir: dir, limit: limit, factor: factor, log: log}
	o := transporttest.ProxyOptions{Target: v.Endpoint}
	if log != nil {
		o.Log = func(request, done string) { fmt.Fprintf(log, "  %s %s\n", request, done) }
	}
	var err error
	b.proxy, err = transporttest.NewProxy(o)
	return b, err
}

// runVault is run for a vault.
func (b *bench) runVault(ctx context.Context, p *plan, dir string, wire *link.Transport) (*outcome, error) {
	to, err := glacier.New(glacier.Config{
		Vault: b.vault.Name, Region: b.vault.Region, Endpoint: b.proxy.Endpoint, PartSize: p.partSize, HTTP: wire,
		Credentials: creds.NewProvider(creds.Static{Keys: creds.Keys{
			AccessKeyID: b.vault.Keys.AccessKeyID, SecretAccessKey: creds.NewSecret(b.vault.Keys.SecretAccessKey)}}),
	})
	if err != nil {
		return nil, err
	}
	out := &outcome{}
	objects, err := b.archive(ctx, p, dir, to, out)
	if err != nil {
		return nil, err
	}
	return out, b.judgeVault(p, dir, objects, out)
}

// judgeVault compares what the vault and the receipts have with what was
// appended. Of a receipt in doubt there may be an archive or none; never two.
func (b *bench) judgeVault(p *plan, dir string, objects [][]byte, out *outcome) error {
	own, err := engine.ReadOwnership(dir)
	if err != nil {
		return err
	}
	receipts := map[int64]engine.Receipt{}
	if err := engine.ReadReceipts(dir, func(r engine.Receipt) error {
		if _, twice := receipts[r.Start]; twice {
			out.breaks("two receipts of the object at %d", r.Start)
		}
		receipts[r.Start] = r
		return nil
	}); err != nil {
		return err
	}
	archives := map[string][]transporttest.VaultArchive{}
	for _, a := range b.vault.Archives() {
		if pairs := described(a.Description); pairs["dray-epoch"] == own.Epoch {
			archives[pairs["dray-start"]] = append(archives[pairs["dray-start"]], a)
			defer os.Remove(a.File) // the campaign's folder goes in the end
		}
	}
	var start int64
	for _, want := range objects {
		held := archives[fmt.Sprint(start)]
		r, ok := receipts[start]
		switch {
		case len(held) > 1:
			out.breaks("%d archives of the object at %d", len(held), start)
		case !ok && out.stuck == "":
			out.breaks("there is no receipt of the object at %d", start)
		case ok && r.InDoubt != "":
			out.doubt++
			if p.modes.Again != "gone" && !strings.Contains(p.script, "complete status=404") { // which may be a lie
				out.breaks("the object at %d is in doubt, and need not be: %s", start, r.InDoubt)
			}
		case ok && (len(held) == 0 || held[0].ID != r.ArchiveID || r.Checksum != "sha256-tree:"+held[0].TreeHash || r.Description != held[0].Description):
			out.breaks("the receipt of the object at %d is not that of its archive: %s %s %q, %d archives", start, r.ArchiveID, r.Checksum, r.Description, len(held))
		}
		for _, a := range held {
			got, err := os.ReadFile(a.File)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, want) {
				out.breaks("archive %s: %d bytes that are not the %d appended", a.ID, len(got), len(want))
			}
		}
		start += int64(len(want))
	}
	if out.stuck == "" {
		out.archived = start
	}
	left := slices.DeleteFunc(b.vault.Uploads(), func(d string) bool { return described(d)["dray-epoch"] != own.Epoch })
	if n := len(left); n > 0 && (p.modes.DenyList || p.modes.DenyAbort) {
		out.left = n
	} else if n > 0 && out.stuck == "" {
		out.breaks("%d uploads are left behind", n)
	}
	return nil
}
