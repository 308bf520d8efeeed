package glacier

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/creds"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// open returns a destination in v, reached at endpoint, or straight if that is empty.
func open(t testing.TB, v *transporttest.Vault, endpoint string, change ...func(*Config)) *Destination {
	t.Helper()
	wire, err := link.New(link.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.CloseIdle)
	c := Config{
		Vault: v.Name, Region: v.Region, Endpoint: v.Endpoint, HTTP: wire,
		Credentials: creds.NewProvider(creds.Static{Keys: creds.Keys{AccessKeyID: v.Keys.AccessKeyID, SecretAccessKey: creds.NewSecret(v.Keys.SecretAccessKey)}}),
	}
	if endpoint != "" {
		c.Endpoint = endpoint
	}
	for _, f := range change {
		f(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A seeing destination finds archives by the key in their description, as
// nobody but the test's own vault could.
type seeing struct {
	*Destination
	v *transporttest.Vault
}

func (s seeing) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	uploads, obj, err := s.Destination.Find(ctx, key)
	for _, a := range s.v.Archives() {
		line := Archive{ID: a.ID, Description: a.Description, Size: a.Size, Checksum: checksumPrefix + a.TreeHash}
		if k, stored, ours := line.Object(); ours && k == key && err == nil {
			obj = &stored
		}
	}
	return uploads, obj, err
}

func (s seeing) ReadObject(key string) ([]byte, error) {
	for _, a := range s.v.Archives() {
		if o, err := parseDescription(a.Description); err == nil && o.Key == key {
			return os.ReadFile(a.File)
		}
	}
	return nil, os.ErrNotExist
}

func TestGlacierKeepsTheContract(t *testing.T) {
	v := transporttest.StartVault(t, transporttest.VaultOptions{Page: 2})
	d := open(t, v, "")
	transporttest.Run(t, func(*testing.T) transport.Destination { return seeing{d, v} })
}

// A bench is a vault behind a proxy.
type bench struct {
	*testing.T
	v     *transporttest.Vault
	proxy *transporttest.Proxy
	d     *Destination
}

func newBench(t *testing.T, change ...func(*Config)) *bench {
	t.Helper()
	v := transporttest.StartVault(t, transporttest.VaultOptions{})
	p := transporttest.StartProxy(t, v.Endpoint, nil)
	return &bench{t, v, p, open(t, v, p.Endpoint, change...)}
}

// upload begins an upload of n bytes in parts of 1 MiB.
func (b *bench) upload(key string, n int64) (transport.Upload, []byte) {
	b.Helper()
	bytes := transporttest.Bytes(1, n)
	o := transporttest.Object(key, bytes)
	o.PartSize = MinPartSize
	id, err := b.d.Create(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return transport.Upload{ID: id, Object: o, PartSize: MinPartSize}, bytes
}

func (b *bench) parts(u transport.Upload, bytes []byte, numbers ...int) (parts []transport.PartReceipt) {
	b.Helper()
	for _, n := range numbers {
		r, err := b.part(u, bytes, n)
		if err != nil {
			b.Fatalf("part %d: %v", n, err)
		}
		parts = append(parts, r)
	}
	return parts
}

func (b *bench) part(u transport.Upload, bytes []byte, n int) (transport.PartReceipt, error) {
	p, piece := transporttest.Part(b.d, bytes, n, u.PartSize)
	return b.d.UploadPart(b.Context(), u, p, transporttest.NewBody(piece))
}

// want checks the kind of an error.
func (b *bench) want(err error, kind transport.Kind) {
	b.Helper()
	if err == nil || transport.KindOf(err) != kind {
		b.Errorf("got %v (%v), want kind %v", err, transport.KindOf(err), kind)
	}
}

// archived checks that the vault holds exactly one archive for each ID, and
// nothing unfinished.
func (b *bench) archived(ids ...string) {
	b.Helper()
	var have []string
	for _, a := range b.v.Archives() {
		have = append(have, a.ID)
	}
	if !slices.Equal(have, ids) {
		b.Errorf("archives %q, want %q", have, ids)
	}
	if open := b.v.Uploads(); len(open) > 0 {
		b.Errorf("uploads left open: %q", open)
	}
}

func TestALostReplyOfCompleteIsSettledByRepeatingIt(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lost/complete", 2*MinPartSize+5)
	parts := b.parts(u, bytes, 1, 2, 3)
	b.proxy.Script(transporttest.Fault{Op: "complete", DropReply: true})
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Offline)
	u.Tried = true
	first, err := b.d.Complete(t.Context(), u, parts)
	if err != nil {
		t.Fatal(err)
	}
	b.v.Advance(time.Minute)
	again, err := b.d.Complete(t.Context(), u, parts)
	if err != nil || again != first || first.ArchiveID == "" || first.Location == "" || first.InDoubt != "" {
		t.Errorf("first %+v, then %+v, %v", first, again, err)
	}
	b.archived(first.ArchiveID)
}
