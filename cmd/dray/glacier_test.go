package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// TestAVaultFromTheConfigToTheInventory is the way of an operator: check, run,
// receipts, and proof by an inventory.
func TestAVaultFromTheConfigToTheInventory(t *testing.T) {
	v := transporttest.StartVault(t, transporttest.VaultOptions{})
	dir := t.TempDir()
	file, inventory := filepath.Join(dir, "dray.yaml"), filepath.Join(dir, "inventory.json")
	for name, text := range map[string]string{
		"credentials": fmt.Sprintf("aws_access_key_id = %s\naws_secret_access_key = %s\n", v.Keys.AccessKeyID, v.Keys.SecretAccessKey),
		"in":          strings.Repeat("a line of some length, so that there are several objects\n", 200),
		"dray.yaml": fmt.Sprintf(`
device: gw 17
state_dir: %[1]s/state
spool: {max_bytes: 64MiB, min_free: 0}
streams: [{name: a, source: {type: file, path: %[1]s/in}, framing: lines, destination: vault, object: {max_bytes: 4KiB}}]
destinations: [{name: vault, type: glacier, vault: %[2]s, region: %[3]s, endpoint: "%[4]s", part_size: 1MiB, credentials: {file: credentials}}]
`, dir, v.Name, v.Region, v.Endpoint),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(code int, text string, args ...string) string {
		t.Helper()
		out, got := dray(t, append(args, "-c", file)...)
		if got != code || !strings.Contains(out, text) {
			t.Errorf("dray %s: exit %d with %q, want %d with %q", strings.Join(args, " "), got, out, code, text)
		}
		return out
	}
	var out, errs strings.Builder
	if code := Main(t.Context(), []string{"check", "-c", file}, &out, &errs); code != 0 || !strings.Contains(errs.String(), "warning: ") || !strings.Contains(errs.String(), "storage_class") {
		t.Errorf("check: exit %d, %q, %q; want a warning that names the storage classes", code, out.String(), errs.String())
	}
	want(0, "complete without effect", "doctor")
	want(0, "", "run", "--drain")
	archives := v.Archives()
	if len(archives) != 3 {
		t.Fatalf("%d archives", len(archives))
	}
	lines := strings.Split(want(0, archives[2].ID, "receipts", "--format", "csv"), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "stream,epoch,start,end,key,size,checksum,") || !strings.Contains(lines[1], "dray-device=gw%2017") {
		t.Errorf("receipts as CSV: %q", lines)
	}
	want(0, `"description":"dray1 key=`, "receipts", "--format", "json")
	want(2, "", "receipts", "--format", "xml")
	want(0, "no unfinished uploads", "uploads")
	want(1, "", "audit", "vault") // it cannot be listed

	v.Advance(25 * time.Hour)
	want(0, "it takes some hours", "glacier", "inventory")
	want(0, "it takes some hours", "glacier", "inventory", "-o", inventory) // the same job
	v.Advance(5 * time.Hour)
	want(0, "is ready, done", "glacier", "inventory")
	want(0, "the inventory is in", "glacier", "inventory", "-o", inventory)
	want(1, "", "glacier", "inventory", "-o", inventory) // which is there
	if n := strings.Count(strings.Join(v.Requests(), " ")+" ", "job "); n != 1 {
		t.Errorf("%d jobs were begun", n)
	}
	want(0, "complete up to", "audit", "--inventory", inventory)
	want(0, "3 objects: 3 as archived, 0 absent", "verify", "--inventory", inventory)
	want(2, "", "glacier")
	v.Deny("uploads")
	if out := want(1, "", "uploads"); out != "" {
		t.Errorf("uploads cannot be listed, and it says %q", out)
	}
}
