package glacier

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestNewRefusesWhatCannotWork(t *testing.T) {
	good := Config{Vault: "v", Region: "eu-west-1", Credentials: creds.NewProvider(creds.Static{})}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		field  string
		change func(*Config)
	}{
		"no vault":          {"vault", func(c *Config) { c.Vault = "" }},
		"a vault's path":    {"vault", func(c *Config) { c.Vault = "a/b" }},
		"account":           {"account", func(c *Config) { c.Account = "1234-5678-9012" }},
		"region":            {"region", func(c *Config) { c.Region = "" }},
		"endpoint scheme":   {"endpoint", func(c *Config) { c.Endpoint = "ftp://host" }},
		"endpoint password": {"endpoint", func(c *Config) { c.Endpoint = "https://user:hush@host" }},
		"fips":              {"fips", func(c *Config) { c.Endpoint, c.FIPS = "https://host", true }},
		"parts of 3 MiB":    {"part_size", func(c *Config) { c.PartSize = 3 << 20 }},
		"parts of 512 KiB":  {"part_size", func(c *Config) { c.PartSize = 512 << 10 }},
		"parts of 8 GiB":    {"part_size", func(c *Config) { c.PartSize = 8 << 30 }},
		"in doubt":          {"in_doubt", func(c *Config) { c.InDoubt = "pray" }},
		"credentials":       {"credentials", func(c *Config) { c.Credentials = nil }},
	} {
		c := good
		tt.change(&c)
		_, err := New(c)
		var ce *ConfigError
		if !errors.As(err, &ce) || ce.Field != tt.field || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want an error of %s", name, err, tt.field)
		}
	}
}

func TestPartSizesAreThoseThatGlacierTakes(t *testing.T) {
	v := transporttest.StartVault(t, transporttest.VaultOptions{})
	d := open(t, v, "")
	for size, ok := range map[int64]bool{0: true, 1 << 20: true, 2 << 20: true, 4 << 30: true, 3 << 20: false, 1 << 19: false, 8 << 30: false, -1 << 20: false} {
		o := transporttest.Object(fmt.Sprint("size/", size), nil)
		o.PartSize = size
		if _, err := d.Create(t.Context(), o); (err == nil) != ok {
			t.Errorf("parts of %d bytes: %v", size, err)
		}
	}
	l := d.Limits()
	if l.MinPart != 1<<20 || l.MaxPart != 4<<30 || l.MaxParts != 10_000 || !l.PowerOf2 || l.MaxPut != 0 || !l.Once || l.MaxIdle != 24*time.Hour {
		t.Errorf("limits %+v", l)
	}
}

func TestADescriptionThatIsTooLongIsRefused(t *testing.T) {
	v := transporttest.StartVault(t, transporttest.VaultOptions{})
	d := open(t, v, "")
	o := transporttest.Object(strings.Repeat("k", 700), nil)
	if _, err := d.Create(t.Context(), o); err != nil {
		t.Error(err)
	}
	o.Key = strings.Repeat("ü", 300) // of 1800 characters as it is written
	_, err := d.Create(t.Context(), o)
	if transport.KindOf(err) != transport.Invalid || !strings.Contains(err.Error(), "1024") {
		t.Errorf("got %v, want it refused with the bound", err)
	}
	if _, err := d.Describe(o); err == nil {
		t.Error("described all the same")
	}
}

func TestARefusalNamesThePermission(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("denied", 5)
	parts := b.parts(u, bytes, 1)
	for op, c := range map[string]struct {
		action string
		call   func() error
	}{
		"create":   {"glacier:InitiateMultipartUpload", func() error { _, err := b.d.Create(t.Context(), u.Object); return err }},
		"part":     {"glacier:UploadMultipartPart", func() error { _, err := b.part(u, bytes, 1); return err }},
		"parts":    {"glacier:ListParts", func() error { _, err := b.d.Parts(t.Context(), u); return err }},
		"complete": {"glacier:CompleteMultipartUpload", func() error { _, err := b.d.Complete(t.Context(), u, parts); return err }},
		"abort":    {"glacier:AbortMultipartUpload", func() error { return b.d.Abort(t.Context(), u) }},
		"uploads":  {"glacier:ListMultipartUploads", func() error { _, _, err := b.d.Find(t.Context(), "denied"); return err }},
		"jobs":     {"glacier:ListJobs", func() error { _, err := b.d.Jobs(t.Context()); return err }},
		"job":      {"glacier:InitiateJob", func() error { _, err := b.d.StartJob(t.Context()); return err }},
		"output":   {"glacier:GetJobOutput", func() error { return b.d.ReadJob(t.Context(), "x", nil) }},
	} {
		b.v.Deny(op)
		err := c.call()
		b.want(err, transport.Denied)
		if err != nil && !strings.Contains(err.Error(), c.action) {
			t.Errorf("%s: %v, want %s named", op, err, c.action)
		}
	}
	for trial, action := range lacks {
		if !slices.Contains(slices.Collect(maps.Values(actions)), action) {
			t.Errorf("trial %s needs %q, which is no action", trial, action)
		}
	}
}

func TestAnotherAccountIsDenied(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Account = "999999999999" })
	_, err := b.d.Create(t.Context(), transporttest.Object("k", nil))
	b.want(err, transport.Denied)
}

func TestAVaultThatIsNotThereIsForTheOperator(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Vault = "another" })
	o := transporttest.Object("k", []byte("x"))
	_, err := b.d.Create(t.Context(), o)
	b.want(err, transport.Denied)
	u := transport.Upload{ID: "id", Object: o, PartSize: MinPartSize}
	_, err = b.part(u, []byte("x"), 1)
	b.want(err, transport.Denied)
	_, _, err = b.d.Find(t.Context(), "k")
	b.want(err, transport.Denied)
}

func TestWrongKeysAreDenied(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Credentials = creds.NewProvider(creds.Static{Keys: creds.Keys{AccessKeyID: "AKIAVAULT", SecretAccessKey: creds.NewSecret("wrong-secret")}})
	})
	_, err := b.d.Create(t.Context(), transporttest.Object("k", nil))
	b.want(err, transport.Denied)
	if err != nil && strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("%v: holds the secret", err)
	}
}

func TestTenThousandPartsAreListedPageByPage(t *testing.T) {
	v := transporttest.StartVault(t, transporttest.VaultOptions{Page: 1000})
	text, _ := describe(transport.Object{Key: "many"})
	v.Pretend(text, 10_000)
	d := open(t, v, "")
	uploads, _, err := d.Find(t.Context(), "many")
	if err != nil || len(uploads) != 1 {
		t.Fatalf("%v, %v", uploads, err)
	}
	parts, err := d.Parts(t.Context(), uploads[0])
	if err != nil || len(parts) != 10_000 || parts[9_999].Number != 10_000 || len(parts[0].Sum) != 32 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	if n := len(v.Requests()); n != 11 {
		t.Errorf("%d requests, want 1 and 10 pages", n)
	}
}
