package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/s3"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// hurried is the real destination with two things changed that only take time:
// parts may be small where the server takes them, and what a service asks for is
// waited for less long.
type hurried struct {
	transport.Destination
	factor float64
}

// Limits are the destination's, with parts of any size.
func (h hurried) Limits() transport.Limits {
	l := h.Destination.Limits()
	if !l.PowerOf2 {
		l.MinPart = 1
	}
	return l
}

// hasten returns to hurried, a Describer if to is one.
func hasten(to transport.Destination, factor float64) transport.Destination {
	h := hurried{to, factor}
	if d, ok := to.(transport.Describer); ok {
		return struct {
			hurried
			transport.Describer
		}{h, d}
	}
	return h
}

func (h hurried) hurry(err error) error {
	var e *transport.Error
	if errors.As(err, &e) {
		e.RetryAfter = time.Duration(float64(e.RetryAfter) * h.factor)
	}
	return err
}

func (h hurried) Put(ctx context.Context, o transport.Object, b transport.Body) (transport.Receipt, error) {
	r, err := h.Destination.Put(ctx, o, b)
	return r, h.hurry(err)
}

func (h hurried) Create(ctx context.Context, o transport.Object) (string, error) {
	id, err := h.Destination.Create(ctx, o)
	return id, h.hurry(err)
}

func (h hurried) UploadPart(ctx context.Context, u transport.Upload, p transport.Part, b transport.Body) (transport.PartReceipt, error) {
	r, err := h.Destination.UploadPart(ctx, u, p, b)
	return r, h.hurry(err)
}

func (h hurried) Complete(ctx context.Context, u transport.Upload, parts []transport.PartReceipt) (transport.Receipt, error) {
	r, err := h.Destination.Complete(ctx, u, parts)
	return r, h.hurry(err)
}

func (h hurried) Abort(ctx context.Context, u transport.Upload) error {
	return h.hurry(h.Destination.Abort(ctx, u))
}

func (h hurried) Find(ctx context.Context, key string) ([]transport.Upload, *transport.Stored, error) {
	uploads, stored, err := h.Destination.Find(ctx, key)
	return uploads, stored, h.hurry(err)
}

// An outcome is what became of a plan.
type outcome struct {
	wrong    []string // promises that were broken
	stuck    string   // what the state says that the operator must do; empty: all is archived
	doubt    int      // receipts in doubt
	fired    []transporttest.Fault
	sent     int64 // bytes of parts and objects, as the proxy saw them
	archived int64
	left     int // uploads left behind where it was forbidden to look for or to end them
}

func (o *outcome) breaks(format string, args ...any) {
	o.wrong = append(o.wrong, fmt.Sprintf(format, args...))
}

// tells is what an error has in it that an operator can act upon.
var tells = regexp.MustCompile(`\b(allow|check|renew|use)\b`)

// A bench runs plans, one at a time, against a server that it shares.
type bench struct {
	gateway *transporttest.Gateway
	vault   *transporttest.Vault // in place of the gateway
	proxy   *transporttest.Proxy
	client  *awss3.Client // straight to the server
	dir     string
	limit   time.Duration // for one plan
	factor  float64       // of the engine's pauses
	log     io.Writer     // nil: none
}

// newBench starts a proxy before the server. log, which may be nil, is told everything.
func newBench(g *transporttest.Gateway, dir string, limit time.Duration, factor float64, log io.Writer) (*bench, error) {
	b := &bench{gateway: g, client: directClient(g), dir: dir, limit: limit, factor: factor, log: log}
	o := transporttest.ProxyOptions{Target: g.Endpoint, Keys: transporttest.Keys{AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey}}
	if log != nil {
		o.Log = func(request, done string) { fmt.Fprintf(log, "  %s %s\n", request, done) }
	}
	var err error
	b.proxy, err = transporttest.NewProxy(o)
	return b, err
}

// run lives through a plan and judges what is there at the end. An error says
// that the plan could not be run at all.
func (b *bench) run(ctx context.Context, p *plan) (out *outcome, err error) {
	dir, err := os.MkdirTemp(b.dir, "case-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := b.proxy.Read(p.script); err != nil {
		return nil, err
	}
	prefix := fmt.Sprintf("%d-%s", p.seed, filepath.Base(dir))
	stall := time.Second
	if b.vault != nil {
		stall = 10 * time.Second // a vault hashes MiBs before it answers; no fault needs less
	}
	wire, err := link.New(link.Config{Stall: stall})
	if err != nil {
		return nil, err
	}
	defer wire.CloseIdle()
	if b.vault != nil {
		return b.runVault(ctx, p, dir, wire)
	}
	to, err := s3.New(s3.Config{
		Bucket: b.gateway.Bucket, Region: b.gateway.Region, Endpoint: b.proxy.Endpoint, PathStyle: true, Prefix: prefix,
		Write:       s3.Write{Checksum: p.checksum, ChecksumType: p.kind},
		AccessKeyID: b.gateway.AccessKeyID, SecretAccessKey: b.gateway.SecretAccessKey, HTTP: wire,
	})
	if err != nil {
		return nil, err
	}
	out = &outcome{}
	objects, err := b.archive(ctx, p, dir, to, out)
	if err != nil {
		return nil, err
	}
	return out, b.judge(ctx, p, dir, prefix, objects, out)
}

// archive runs an engine until all is archived or the time is up, and returns
// the bytes of each object.
func (b *bench) archive(ctx context.Context, p *plan, dir string, to transport.Destination, out *outcome) (objects [][]byte, err error) {
	cfg := engine.Config{
		StateDir: dir, Device: "lab", Drain: true, Spool: engine.Spool{MinFree: -1},
		Streams: []engine.Stream{{Name: "s", Key: "{stream}-{epoch}-{start}", Destination: "archive",
			Object: engine.Object{MaxBytes: 64 << 20, PartSize: p.partSize}}},
		Destinations: []engine.Destination{{Name: "archive", To: hasten(to, b.factor)}},
	}
	if b.log != nil {
		cfg.Log = slog.New(slog.NewTextHandler(b.log, nil))
	}
	defer func() {
		out.fired, out.sent = b.proxy.Fired(), b.proxy.Sent()
		// A fault costs one more sending of all that there is at the very most.
		if limit := int64(len(out.fired)+2) * (p.size + p.small); out.sent > limit {
			out.breaks("%d bytes were sent for %d, more than the faults explain", out.sent, p.size+p.small)
		}
	}()
	e, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	objects = append(objects, transporttest.Bytes(p.seed, p.size))
	if p.small > 0 {
		objects = append(objects, transporttest.Bytes(p.seed+1, p.small))
	}
	for _, o := range objects {
		for rest := o; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			if err := errors.Join(e.Append(ctx, "s", rest[:n]), e.Sync(ctx, "s")); err != nil {
				return nil, errors.Join(err, e.Close())
			}
			rest = rest[n:]
		}
		if err := e.Flush(ctx, "s"); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- e.Run(running) }()
	limit := time.NewTimer(b.limit)
	defer limit.Stop()
	select {
	case err := <-ran:
		return objects, errors.Join(err, ctx.Err())
	case <-limit.C:
	}
	d := e.Status().Destinations[0]
	cancel()
	if err := <-ran; err != nil {
		return nil, err
	}
	out.stuck = fmt.Sprintf("link %s, %d objects wait: %s", d.Link, d.PendingObjects, d.LastError)
	if !tells.MatchString(d.LastError) {
		out.breaks("%d objects were not archived within %v, and the state does not say what to do: %q", d.PendingObjects, b.limit, d.LastError)
	}
	return objects, ctx.Err()
}

// judge compares what the server and the receipts have with what was appended.
func (b *bench) judge(ctx context.Context, p *plan, dir, prefix string, objects [][]byte, out *outcome) error {
	receipts := map[int64]engine.Receipt{}
	err := engine.ReadReceipts(dir, func(r engine.Receipt) error {
		if _, twice := receipts[r.Start]; twice {
			out.breaks("two receipts of the object at %d", r.Start)
		}
		receipts[r.Start] = r
		if r.InDoubt != "" {
			out.doubt++
		}
		return nil
	})
	if err != nil {
		return err
	}
	list, err := b.client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: &b.gateway.Bucket, Prefix: aws.String(prefix + "/")})
	if err != nil {
		return err
	}
	if n := len(list.Contents); n > len(objects) || n < len(objects) && out.stuck == "" {
		out.breaks("%d objects are in the bucket, want %d", n, len(objects))
	}
	var start int64
	for _, want := range objects {
		if r, ok := receipts[start]; ok {
			if err := b.judgeObject(ctx, p, prefix, want, r, out); err != nil {
				return err
			}
		} else if out.stuck == "" {
			out.breaks("there is no receipt of the object at %d", start)
		}
		start += int64(len(want))
	}
	if out.stuck == "" {
		out.archived = start
	}
	return b.clear(ctx, p, prefix, list.Contents, out)
}

func (b *bench) judgeObject(ctx context.Context, p *plan, prefix string, want []byte, r engine.Receipt, out *outcome) error {
	key := prefix + "/" + r.Key
	got, err := os.ReadFile(filepath.Join(b.gateway.BucketDir, filepath.FromSlash(key)))
	if err != nil {
		out.breaks("%s has a receipt and is not there: %v", key, err)
		return nil
	}
	if !bytes.Equal(got, want) {
		out.breaks("%s: %d bytes that are not the %d appended", key, len(got), len(want))
	}
	head, err := b.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &b.gateway.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return err
	}
	for name, value := range map[string]string{"dray-device": "lab", "dray-stream": "s", "dray-epoch": r.Epoch, "dray-start": fmt.Sprint(r.Start), "dray-gap": "0"} {
		if head.Metadata[name] != value {
			out.breaks("%s: %s is %q, want %q", key, name, head.Metadata[name], value)
		}
	}
	value := map[string]*string{"crc32c": head.ChecksumCRC32C, "crc64nvme": head.ChecksumCRC64NVME, "crc32": head.ChecksumCRC32, "sha1": head.ChecksumSHA1, "sha256": head.ChecksumSHA256}[p.checksum]
	if value == nil && !p.modes.IgnoreChecksums {
		out.breaks("%s: the server has no %s of it", key, p.checksum)
	}
	if _, said, ok := strings.Cut(r.Checksum, ":"); ok && value != nil && said != *value && !strings.HasPrefix(r.Checksum, "crc64nvme:") {
		out.breaks("%s: the receipt says %s, the server has %s", key, r.Checksum, *value)
	}
	return nil
}

// clear looks for uploads left behind and removes what there is.
func (b *bench) clear(ctx context.Context, p *plan, prefix string, objects []types.Object, out *outcome) error {
	uploads, err := b.client.ListMultipartUploads(ctx, &awss3.ListMultipartUploadsInput{Bucket: &b.gateway.Bucket, Prefix: aws.String(prefix + "/")})
	if err != nil {
		return err
	}
	if n := len(uploads.Uploads); n > 0 && (p.modes.DenyList || p.modes.DenyAbort) {
		out.left = n
	} else if n > 0 && out.stuck == "" {
		out.breaks("%d uploads are left behind", n)
	}
	for _, u := range uploads.Uploads {
		if _, err := b.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: &b.gateway.Bucket, Key: u.Key, UploadId: u.UploadId}); err != nil {
			return err
		}
	}
	for _, o := range objects {
		if _, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.gateway.Bucket, Key: o.Key}); err != nil {
			return err
		}
	}
	return nil
}
