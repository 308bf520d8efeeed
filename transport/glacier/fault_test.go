package glacier

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func TestAReceiptHoldsAllThatFindsTheArchive(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("gw/gps 1", MinPartSize+1)
	r, err := b.d.Complete(t.Context(), u, b.parts(u, bytes, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	a := b.v.Archives()[0]
	if r.ArchiveID != a.ID || !strings.HasSuffix(r.Location, "/vaults/"+b.v.Name+"/archives/"+a.ID) || r.Size != a.Size || r.Checksum != checksumPrefix+a.TreeHash {
		t.Errorf("receipt %+v of %+v", r, a)
	}
	said, err := b.d.Describe(u.Object)
	if err != nil || said != (transport.Description{Vault: b.v.Name, Text: a.Description}) {
		t.Errorf("described as %+v, %v; the vault has %q", said, err, a.Description)
	}
}

// wrong are parts that the service holds, and the numbers that Complete has to name.
func TestACompleteThatIsRefusedNamesTheWrongParts(t *testing.T) {
	b := newBench(t)
	const n = 3*MinPartSize + 7
	other := transporttest.Bytes(9, n)
	for _, tt := range []struct {
		name string
		harm func(u transport.Upload, bytes []byte)
		want []int
	}{
		{"another hash", func(u transport.Upload, _ []byte) { b.parts(u, other, 2) }, []int{2}},
		{"two other hashes", func(u transport.Upload, _ []byte) { b.parts(u, other, 1, 4) }, []int{1, 4}},
		{"a short part that is not the last", func(u transport.Upload, bytes []byte) { b.parts(u, bytes[:MinPartSize+5], 2) }, []int{2}},
		{"a last part that is too short", func(u transport.Upload, bytes []byte) { b.parts(u, bytes[:3*MinPartSize+1], 4) }, []int{4}},
	} {
		u, bytes := b.upload("wrong/"+tt.name, n)
		parts := b.parts(u, bytes, 1, 2, 3, 4)
		tt.harm(u, bytes)
		_, err := b.d.Complete(t.Context(), u, parts)
		b.want(err, transport.Missing)
		if e := (*transport.Error)(nil); !errors.As(err, &e) || !slices.Equal(e.Parts, tt.want) || e.Unknown {
			t.Errorf("%s: %v, want parts %v", tt.name, err, tt.want)
		}
		b.parts(u, bytes, tt.want...)
		if _, err := b.d.Complete(t.Context(), u, parts); err != nil {
			t.Errorf("%s: mended, and %v", tt.name, err)
		}
	}
	// Ranges that the service never had.
	u, bytes := b.upload("wrong/missing", n)
	parts := b.parts(u, bytes, 1, 4)
	for _, number := range []int{3, 2} {
		p, _ := transporttest.Part(b.d, bytes, number, u.PartSize)
		parts = slices.Insert(parts, 1, transport.PartReceipt{Number: number, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, Sum: p.Sum})
	}
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Missing)
	if e := (*transport.Error)(nil); !errors.As(err, &e) || !slices.Equal(e.Parts, []int{2, 3}) {
		t.Errorf("%v, want parts 2 and 3", err)
	}
	// The list may be denied: then there is nothing to go by, and it says so.
	b.v.Deny("parts")
	_, err = b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Invalid)
}

func TestAnUploadThatIsForgottenIsInDoubt(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("doubt", MinPartSize+5)
	parts := b.parts(u, bytes, 1, 2)
	b.proxy.Script(transporttest.Fault{Op: "complete", DropReply: true})
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Offline)
	if _, err := b.d.Parts(t.Context(), u); transport.KindOf(err) != transport.Gone {
		t.Errorf("parts of a finished upload: %v", err)
	}
	b.v.Advance(2 * time.Hour) // it remembers for one
	u.Tried = true
	r, err := b.d.Complete(t.Context(), u, parts)
	if err != nil {
		t.Fatal(err)
	}
	a := b.v.Archives()[0]
	for _, need := range []string{b.v.Name, b.v.Region, a.TreeHash, a.Description, u.ID, fmt.Sprint(a.Size)} {
		if !strings.Contains(r.InDoubt, need) {
			t.Errorf("in doubt: %q, which lacks %q", r.InDoubt, need)
		}
	}
	if r.Size != a.Size || r.ArchiveID != "" || r.Checksum != checksumPrefix+a.TreeHash {
		t.Errorf("receipt %+v", r)
	}
	b.archived(a.ID)
}

func TestInDoubtIsSentAgainByPolicyOnly(t *testing.T) {
	b := newBench(t, func(c *Config) { c.InDoubt = Resend })
	u, bytes := b.upload("doubt", 5)
	parts := b.parts(u, bytes, 1)
	b.v.Advance(25 * time.Hour)
	for _, tried := range []bool{false, true} {
		u.Tried = tried
		_, err := b.d.Complete(t.Context(), u, parts)
		b.want(err, transport.Gone)
	}
	b.archived()
}

func TestAnIdleUploadIsGone(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("idle", 2*MinPartSize)
	first := b.parts(u, bytes, 1)
	b.v.Advance(23 * time.Hour)
	parts := append(first, b.parts(u, bytes, 2)...) // each part starts the time anew
	b.v.Advance(23 * time.Hour)
	if _, err := b.d.Parts(t.Context(), u); err != nil {
		t.Error(err)
	}
	b.v.Advance(2 * time.Hour)
	_, err := b.part(u, bytes, 1)
	b.want(err, transport.Gone)
	_, err = b.d.Complete(t.Context(), u, parts) // no other was tried: nothing was made
	b.want(err, transport.Gone)
	if err := b.d.Abort(t.Context(), u); err != nil {
		t.Error(err)
	}
	b.archived()
}

func TestAFalseWordOfAGoneUploadIsFoundOut(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("false", 5)
	u.Tried = true
	parts := b.parts(u, bytes, 1)
	if err := b.proxy.Read("complete status=404:NoSuchUpload *2; parts status=503:SlowDown"); err != nil {
		t.Fatal(err)
	}
	_, err := b.d.Complete(t.Context(), u, parts) // and whether it is true cannot be known
	b.want(err, transport.Throttled)
	_, err = b.d.Complete(t.Context(), u, parts) // the parts are there, so it is not
	b.want(err, transport.Temporary)
	r, err := b.d.Complete(t.Context(), u, parts)
	if err != nil || r.InDoubt != "" {
		t.Errorf("%+v, %v", r, err)
	}
	b.archived(r.ArchiveID)
}

func TestAnAbortOfWhatWasCompletedIsSettled(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("abort", 5)
	r, err := b.d.Complete(t.Context(), u, b.parts(u, bytes, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.d.Abort(t.Context(), u); err != nil { // which the service refuses
		t.Error(err)
	}
	b.archived(r.ArchiveID)
}

func TestALostReplyOfCreateLeavesAnUploadThatFindSees(t *testing.T) {
	b := newBench(t)
	o := transporttest.Object("lost/create", []byte("x"))
	b.proxy.Script(transporttest.Fault{Op: "create", DropReply: true})
	_, err := b.d.Create(t.Context(), o)
	b.want(err, transport.Offline)
	uploads, stored, err := b.d.Find(t.Context(), o.Key)
	if err != nil || stored != nil || len(uploads) != 1 {
		t.Fatalf("Find: %v, %v, %v, want one upload", uploads, stored, err)
	}
	if err := b.d.Abort(t.Context(), uploads[0]); err != nil {
		t.Error(err)
	}
	b.archived()
}

func TestALostReplyOfAPartIsSettledBySendingItAgain(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lost/part", MinPartSize+5)
	for _, f := range []transporttest.Fault{{Op: "part", DropReply: true}, {Op: "part", CutUpload: 1}, {Op: "part", CutUpload: MinPartSize - 1}} {
		b.proxy.Script(f)
		_, err := b.part(u, bytes, 1)
		b.want(err, transport.Offline)
	}
	r, err := b.d.Complete(t.Context(), u, b.parts(u, bytes, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	b.archived(r.ArchiveID)
}

func TestNoLieIsTakenForSuccess(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lies", MinPartSize+5)
	parts := b.parts(u, bytes, 1, 2)
	calls := map[string]func() error{
		"create":   func() error { _, err := b.d.Create(t.Context(), u.Object); return err },
		"part":     func() error { _, err := b.part(u, bytes, 1); return err },
		"parts":    func() error { _, err := b.d.Parts(t.Context(), u); return err },
		"complete": func() error { _, err := b.d.Complete(t.Context(), u, parts); return err },
		"abort":    func() error { return b.d.Abort(t.Context(), u) },
		"find":     func() error { _, _, err := b.d.Find(t.Context(), u.Object.Key); return err },
		"jobs":     func() error { _, err := b.d.Jobs(t.Context()); return err },
		"job":      func() error { _, err := b.d.StartJob(t.Context()); return err },
	}
	for _, lie := range transporttest.Lies {
		for op, call := range calls {
			if err := b.proxy.Read("any lie=" + lie + " *100"); err != nil {
				t.Fatal(err)
			}
			err := call()
			if kind := transport.KindOf(err); err == nil || kind != transport.Temporary && kind != transport.Offline {
				t.Errorf("%s, answered by %s: kind %v (%v), want one that is tried again", op, lie, kind, err)
			}
		}
	}
	b.proxy.Script()
	r, err := b.d.Complete(t.Context(), u, parts)
	if err != nil {
		t.Fatal(err)
	}
	b.archived(r.ArchiveID)
}

func TestRepliesMeanWhatTheySay(t *testing.T) {
	b := newBench(t)
	u := transport.Upload{ID: "id", Object: transporttest.Object("reply", []byte("x")), PartSize: MinPartSize}
	said := func(status int, code, message string) transporttest.CannedReply {
		return transporttest.CannedReply{Status: status, Header: map[string]string{"Content-Type": "application/json"},
			Body: fmt.Sprintf(`{"code":%q,"message":%q,"type":"Client"}`, code, message)}
	}
	after := said(400, "ThrottlingException", "Slow down")
	after.Header["Retry-After"] = "7"
	for _, tt := range []struct {
		name    string
		reply   transporttest.CannedReply
		kind    transport.Kind
		wait    time.Duration
		unknown bool
		text    string
	}{
		{"throttled", after, transport.Throttled, 7 * time.Second, false, "ThrottlingException: Slow down"},
		{"unavailable", said(500, "ServiceUnavailableException", "x"), transport.Temporary, 0, true, "ServiceUnavailableException"},
		{"timeout", said(408, "RequestTimeoutException", "x"), transport.Temporary, 0, true, "408"},
		{"no capacity", said(400, "InsufficientCapacityException", "x"), transport.Throttled, 0, false, "Insufficient"},
		{"no longer", said(400, "NoLongerSupportedException", "x"), transport.Denied, 0, false, "storage_class"},
		{"limit", said(400, "LimitExceededException", "x"), transport.Denied, 0, false, "limits"},
		{"wrong value", said(400, "InvalidParameterValueException", "Invalid range"), transport.Invalid, 0, false, "Invalid range"},
		{"wrong hash", said(400, "InvalidParameterValueException", "Checksum mismatch: tree hash"), transport.Corrupt, 0, false, "mismatch"},
		{"no upload", said(404, "ResourceNotFoundException", "The upload ID was not found: id"), transport.Gone, 0, false, "not found"},
		{"no vault", said(404, "ResourceNotFoundException", "Vault not found for ARN: arn:x"), transport.Denied, 0, false, "check vault, account and region"},
		{"denied", said(403, "AccessDeniedException", "no"), transport.Denied, 0, false, "glacier:UploadMultipartPart"},
		{"signature", said(403, "InvalidSignatureException", "no"), transport.Denied, 0, false, "clock"},
		{"expired", said(403, "ExpiredTokenException", "no"), transport.Denied, 0, false, "renew"},
		{"another code", said(400, "NoveltyException", "x"), transport.Invalid, 0, false, "Novelty"},
		{"a box on the way", transporttest.CannedReply{Status: 404, Body: "<html>"}, transport.Temporary, 0, false, "makes no sense"},
		{"a proxy", transporttest.CannedReply{Status: 407}, transport.Denied, 0, false, "407"},
		{"a redirect", transporttest.CannedReply{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/"}}, transport.Denied, 0, false, "302"},
		{"a busy box", transporttest.CannedReply{Status: 503, Header: map[string]string{"Retry-After": "3"}}, transport.Throttled, 3 * time.Second, true, "503"},
	} {
		b.proxy.Script(transporttest.Fault{Instead: &tt.reply})
		_, err := b.part(u, []byte("x"), 1)
		var e *transport.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if e.Kind != tt.kind || e.RetryAfter != tt.wait || e.Unknown != tt.unknown || !strings.Contains(e.Error(), tt.text) {
			t.Errorf("%s: %v, kind %v, retry after %v, unknown %t; want %v, %v, %t and %q", tt.name, e, e.Kind, e.RetryAfter, e.Unknown, tt.kind, tt.wait, tt.unknown, tt.text)
		}
		if want := slices.Contains([]string{"no vault", "signature", "expired", "a proxy", "a redirect"}, tt.name); e.Caller != want {
			t.Errorf("%s: of the caller %v, want %v", tt.name, e.Caller, want)
		}
		if n := len(b.proxy.Requests()); n != 1 {
			t.Errorf("%s: %d requests, want exactly one attempt", tt.name, n)
		}
	}
}

func TestAPartIsReadOnceAndSentInOneRequest(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("once", 3*MinPartSize)
	u.PartSize = 4 * MinPartSize
	u.Object.PartSize = u.PartSize
	var err error
	if u.ID, err = b.d.Create(t.Context(), u.Object); err != nil {
		t.Fatal(err)
	}
	p, piece := transporttest.Part(b.d, bytes, 1, u.PartSize)
	body := &counting{Body: transporttest.NewBody(piece)}
	b.proxy.Script()
	if _, err := b.d.UploadPart(t.Context(), u, p, body); err != nil {
		t.Fatal(err)
	}
	if body.read != p.Size {
		t.Errorf("%d bytes read of the body, want %d", body.read, p.Size)
	}
	if body.most > 1<<20 {
		t.Errorf("%d bytes asked for at once: a part must not be held in memory", body.most)
	}
	if got := b.proxy.Requests(); len(got) != 1 {
		t.Errorf("requests %q, want one", got)
	}
}

// counting counts what is read of a body.
type counting struct {
	*transporttest.Body
	read int64
	most int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Body.Read(p)
	c.read += int64(n)
	c.most = max(c.most, len(p))
	return n, err
}

func TestAListThatDoesNotEndIsRefused(t *testing.T) {
	b := newBench(t)
	for _, body := range []string{
		`{"Marker":"1","MultipartUploadId":"id","PartSizeInBytes":1048576,"Parts":[],"UploadsList":[],"JobList":[]}`,
		`{"MultipartUploadId":"id","PartSizeInBytes":1048576,"Parts":[{"RangeInBytes":"5-9","SHA256TreeHash":"x"}]}`,
	} {
		b.proxy.Script(transporttest.Fault{Instead: &transporttest.CannedReply{Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: body}, Times: 1 << 20})
		_, err := b.d.Parts(t.Context(), transport.Upload{ID: "id", Object: transport.Object{Key: "k"}})
		b.want(err, transport.Temporary)
		_, _, err = b.d.Find(t.Context(), "k")
		b.want(err, transport.Temporary)
		if n := len(b.proxy.Requests()); n > 4 {
			t.Errorf("%d requests", n)
		}
	}
}

var _ io.Reader = (*counting)(nil)
