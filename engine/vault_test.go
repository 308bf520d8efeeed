package engine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/glacier"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A vaulted is a device that archives to a simulated vault through a proxy.
type vaulted struct {
	*testing.T
	vault *transporttest.Vault
	proxy *transporttest.Proxy
	cfg   engine.Config
	want  []byte
}

const vaultObject = 3<<20 + 12345 // bytes of an object, in parts of 1 MiB

func newVaulted(t *testing.T, o transporttest.VaultOptions, change ...func(*glacier.Config)) *vaulted {
	t.Helper()
	v := transporttest.StartVault(t, o)
	p := transporttest.StartProxy(t, v.Endpoint, nil)
	c := glacier.Config{Vault: v.Name, Region: v.Region, Endpoint: p.Endpoint, PartSize: 1 << 20,
		Credentials: creds.NewProvider(creds.Static{Keys: creds.Keys{AccessKeyID: v.Keys.AccessKeyID, SecretAccessKey: creds.NewSecret(v.Keys.SecretAccessKey)}})}
	for _, f := range change {
		f(&c)
	}
	to, err := glacier.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.CloseIdle)
	return &vaulted{T: t, vault: v, proxy: p, cfg: engine.Config{
		StateDir: filepath.Join(t.TempDir(), "state"), Device: "gw-17", Workers: 2,
		Spool:        engine.Spool{MaxBytes: 64 << 20, MinFree: -1, WhenFull: engine.Block},
		Streams:      []engine.Stream{{Name: "log", Destination: "vault", Object: engine.Object{MaxBytes: 16 << 20}}},
		Destinations: []engine.Destination{{Name: "vault", To: to}},
	}}
}

// append keeps one object and ends it.
func (v *vaulted) append(e *engine.Engine, seed uint64) {
	v.Helper()
	b := transporttest.Bytes(seed, vaultObject)
	v.want = append(v.want, b...)
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 64<<10)
		if err := errors.Join(e.Append(v.Context(), "log", rest[:n]), e.Sync(v.Context(), "log")); err != nil {
			v.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := e.Flush(v.Context(), "log"); err != nil {
		v.Fatal(err)
	}
}

func (v *vaulted) open() *engine.Engine {
	v.Helper()
	e, err := engine.New(v.cfg)
	if err != nil {
		v.Fatal(err)
	}
	return e
}

// runUntil runs an engine until the vault has let in a call n times, and stops it.
func (v *vaulted) runUntil(e *engine.Engine, op string, n int) {
	v.Helper()
	ctx, cancel := context.WithCancel(v.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		seen := 0
		for _, r := range v.vault.Requests() {
			if r == op {
				seen++
			}
		}
		if seen >= n {
			break
		}
		select {
		case <-tick.C:
		case err := <-done:
			v.Fatalf("run ended: %v", err)
		case <-v.Context().Done():
			v.Fatal("it was never asked")
		}
	}
	cancel()
	if err := <-done; err != nil {
		v.Fatal(err)
	}
}

// stop runs an engine until the vault has the first two parts of four.
func (v *vaulted) stop(e *engine.Engine) {
	v.Helper()
	if err := v.proxy.Read("part#3 stall *100; part#4 stall *100"); err != nil {
		v.Fatal(err)
	}
	v.runUntil(e, "part", 2)
	v.proxy.Script()
}

// drain archives all there is and returns the receipts.
func (v *vaulted) drain() (receipts []engine.Receipt) {
	v.Helper()
	v.cfg.Drain = true
	if err := v.open().Run(v.Context()); err != nil {
		v.Fatal(err)
	}
	if err := engine.ReadReceipts(v.cfg.StateDir, func(r engine.Receipt) error { receipts = append(receipts, r); return nil }); err != nil {
		v.Fatal(err)
	}
	return receipts
}

// archived checks that the archives are the stream, and that nothing else is there.
func (v *vaulted) archived() {
	v.Helper()
	var got bytes.Buffer
	for _, a := range v.vault.Archives() {
		b, err := os.ReadFile(a.File)
		if err != nil {
			v.Fatal(err)
		}
		got.Write(b)
	}
	if !bytes.Equal(got.Bytes(), v.want) {
		v.Errorf("the archives hold %d bytes that are not the %d appended", got.Len(), len(v.want))
	}
	if open := v.vault.Uploads(); len(open) > 0 {
		v.Errorf("uploads left open: %q", open)
	}
}

func (v *vaulted) count(op string) (n int) {
	for _, r := range v.vault.Requests() {
		if r == op {
			n++
		}
	}
	return n
}

func TestAnUploadToAVaultGoesOnAfterARestart(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	e := v.open()
	v.append(e, 1)
	v.stop(e)
	before := v.count("part")
	receipts := v.drain()
	v.archived()
	if len(receipts) != 1 || receipts[0].BegunAgain != 0 || v.count("create") != 1 {
		t.Errorf("%d uploads, receipts %+v", v.count("create"), receipts)
	}
	if n := v.count("part"); before != 2 || n > 4+2 { // whose replies may not have been seen
		t.Errorf("%d parts sent for 4, %d of them before the restart", n, before)
	}
	a, r := v.vault.Archives()[0], receipts[0]
	if r.ArchiveID != a.ID || r.Vault != v.vault.Name || r.Description != a.Description || r.Checksum != "sha256-tree:"+a.TreeHash || !strings.Contains(r.Location, a.ID) {
		t.Errorf("receipt %+v of archive %+v", r, a)
	}
}

func TestADeviceThatWasOffFor25HoursMakesOneArchiveAndSaysSo(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	e := v.open()
	v.append(e, 1)
	v.stop(e)
	v.vault.Advance(25 * time.Hour)
	receipts := v.drain()
	v.archived()
	if len(receipts) != 1 || receipts[0].BegunAgain != 1 || receipts[0].InDoubt != "" || len(v.vault.Archives()) != 1 {
		t.Errorf("%d archives, receipts %+v", len(v.vault.Archives()), receipts)
	}
}

func TestACompletionThatTheVaultForgotIsInDoubtAndNotRepeated(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{Remembers: time.Hour})
	e := v.open()
	v.append(e, 1)
	if err := v.proxy.Read("complete drop"); err != nil {
		t.Fatal(err)
	}
	v.runUntil(e, "complete", 1)
	v.vault.Advance(25 * time.Hour)
	receipts := v.drain()
	v.archived()
	if len(receipts) != 1 || receipts[0].InDoubt == "" || receipts[0].ArchiveID != "" {
		t.Fatalf("receipts %+v", receipts)
	}
	// The inventory settles it.
	found := v.verify()
	a := v.vault.Archives()[0]
	if len(found) != 1 || found[0].State != engine.VerifiedSame || !strings.Contains(strings.Join(found[0].Why, ""), a.ID) {
		t.Errorf("verified %+v, want archive %s named", found, a.ID)
	}
}

func TestACompletionThatWasNeverSeenToBeTriedIsNotInDoubt(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	e := v.open()
	v.append(e, 1)
	if err := v.proxy.Read("complete status=403:AccessDenied *100"); err != nil { // which is no effect
		t.Fatal(err)
	}
	v.runUntil(e, "part", 4)
	v.vault.Advance(25 * time.Hour)
	v.proxy.Script()
	receipts := v.drain()
	v.archived()
	if len(receipts) != 1 || receipts[0].InDoubt != "" || receipts[0].BegunAgain != 1 {
		t.Errorf("receipts %+v", receipts)
	}
}

func TestInDoubtIsSentAgainIfTheOperatorSaysSo(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{Remembers: time.Hour}, func(c *glacier.Config) { c.InDoubt = glacier.Resend })
	e := v.open()
	v.append(e, 1)
	if err := v.proxy.Read("complete drop"); err != nil {
		t.Fatal(err)
	}
	v.runUntil(e, "complete", 1)
	v.vault.Advance(25 * time.Hour)
	receipts := v.drain()
	if len(receipts) != 1 || receipts[0].InDoubt != "" || receipts[0].ArchiveID != v.vault.Archives()[1].ID {
		t.Errorf("receipts %+v", receipts)
	}
	// Which is why it is not the default: there are two now, and audit shows it.
	audit := v.audit()
	if audit.Objects != 2 || audit.Err() == nil || audit.Series[0].Problems[0].Kind != engine.AuditOverlap {
		t.Errorf("audit %+v", audit)
	}
}

func TestAnInventoryAloneProvesThatArchivesTile(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	e := v.open()
	for seed := range uint64(3) {
		v.append(e, seed)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	receipts := v.drain()
	v.archivedInAnyOrder()
	audit := v.audit()
	if len(receipts) != 3 || audit.Err() != nil || len(audit.Series) != 1 || audit.Series[0].End != int64(len(v.want)) || audit.Series[0].Device != "gw-17" {
		t.Errorf("audit %+v: %v", audit, audit.Err())
	}
	sum := engine.VerifySummary{}
	if found := v.verify(&sum); len(found) != 0 || sum.Same != 3 {
		t.Errorf("verified %+v, %+v", found, sum)
	}
}

func (v *vaulted) archivedInAnyOrder() {
	v.Helper()
	total := int64(0)
	for _, a := range v.vault.Archives() {
		total += a.Size
	}
	if total != int64(len(v.want)) {
		v.Errorf("%d bytes archived, want %d", total, len(v.want))
	}
}

// inventory is what an inventory job of the vault would give.
func (v *vaulted) inventory(fn func(glacier.Archive) error) error {
	for _, a := range v.vault.Archives() {
		if err := fn(glacier.Archive{ID: a.ID, Description: a.Description, Size: a.Size, Checksum: "sha256-tree:" + a.TreeHash}); err != nil {
			return err
		}
	}
	return nil
}

func (v *vaulted) audit() engine.Audit {
	v.Helper()
	audit, err := engine.AuditList(func(fn func(string, transport.Stored) error) error {
		return v.inventory(func(a glacier.Archive) error {
			key, stored, _ := a.Object()
			return fn(key, stored)
		})
	}, engine.AuditSelection{})
	if err != nil {
		v.Fatal(err)
	}
	return audit
}

func (v *vaulted) verify(sum ...*engine.VerifySummary) (found []engine.Verified) {
	v.Helper()
	s, err := engine.VerifyList(v.cfg.StateDir, engine.VerifySelection{}, func(fn func(engine.Listed) error) (string, error) {
		return v.vault.Name, v.inventory(func(a glacier.Archive) error {
			key, stored, _ := a.Object()
			return fn(engine.Listed{ArchiveID: a.ID, Key: key, Stored: stored})
		})
	}, func(o engine.Verified) error { found = append(found, o); return nil })
	if err != nil {
		v.Fatal(err)
	}
	for _, to := range sum {
		*to = s
	}
	return found
}

func TestADoctorOfAVaultLeavesNothing(t *testing.T) {
	v := newVaulted(t, transporttest.VaultOptions{})
	to := engine.Destination{Name: "vault", To: v.cfg.Destinations[0].To}
	for _, without := range []string{" ", "create glacier:InitiateMultipartUpload", "part glacier:UploadMultipartPart", "parts glacier:ListParts",
		"uploads glacier:ListMultipartUploads", "complete glacier:CompleteMultipartUpload", "jobs glacier:ListJobs", "abort glacier:AbortMultipartUpload"} {
		op, lacks, _ := strings.Cut(without, " ")
		v.vault.Deny(op)
		d, err := engine.Diagnose(t.Context(), to, "gw-17", "")
		if err != nil {
			t.Fatal(err)
		}
		var missing []string
		for _, f := range d.Findings {
			if f.Lacks != "" && !slices.Contains(missing, f.Lacks) {
				missing = append(missing, f.Lacks)
			}
		}
		if got := strings.Join(missing, " "); got != lacks {
			t.Errorf("without %q: lacks %q, want %q", op, got, lacks)
		}
		if needed := op == "create" || op == "part" || op == "complete"; (d.Err() != nil) != needed {
			t.Errorf("without %q: %v", op, d.Err())
		}
		if n := len(v.vault.Uploads()); op != "abort" && n > 0 {
			t.Errorf("without %q: %d uploads left", op, n)
		}
	}
	if n := len(v.vault.Archives()); n > 0 {
		t.Errorf("%d archives were made", n)
	}
}
