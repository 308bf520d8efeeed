package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// bench is a destination behind a proxy, and what a test sends there.
type bench struct {
	*testing.T
	d     *Destination
	proxy *transporttest.Proxy
	g     *transporttest.Gateway
}

func newBench(t *testing.T) *bench {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	p := transporttest.StartProxy(t, g.Endpoint, nil)
	return &bench{T: t, d: open(t, g, p.Endpoint), proxy: p, g: g}
}

func (b *bench) upload(key string, size int64) (transport.Upload, []byte) {
	b.Helper()
	bytes := transporttest.Bytes(1, size)
	o := transporttest.Object(key, bytes)
	id, err := b.d.Create(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return transport.Upload{ID: id, Object: o, PartSize: MinPartSize}, bytes
}

func (b *bench) part(u transport.Upload, bytes []byte, n int) (transport.PartReceipt, error) {
	p, piece := transporttest.Part(b.d, bytes, n, u.PartSize)
	return b.d.UploadPart(b.Context(), u, p, transporttest.NewBody(piece))
}

func (b *bench) parts(u transport.Upload, bytes []byte, numbers ...int) []transport.PartReceipt {
	b.Helper()
	var parts []transport.PartReceipt
	for _, n := range numbers {
		r, err := b.part(u, bytes, n)
		if err != nil {
			b.Fatal(err)
		}
		parts = append(parts, r)
	}
	return parts
}

// want checks an error's kind and whether it leaves the outcome open.
func (b *bench) want(err error, kind transport.Kind, unknown bool) *transport.Error {
	b.Helper()
	var e *transport.Error
	if !errors.As(err, &e) {
		b.Fatalf("got %v, want an error of kind %v", err, kind)
	}
	if e.Kind != kind || e.Unknown != unknown {
		b.Errorf("got kind %v, unknown %v (%v), want %v, %v", e.Kind, e.Unknown, err, kind, unknown)
	}
	return e
}

// stored checks that the bucket holds exactly the bytes, and no upload.
func (b *bench) stored(key string, want []byte) {
	b.Helper()
	got, err := os.ReadFile(filepath.Join(b.g.BucketDir, b.d.prefix, key))
	if err != nil || string(got) != string(want) {
		b.Errorf("%s: %d bytes, %v, want %d", key, len(got), err, len(want))
	}
	if uploads, _, err := b.d.Find(b.Context(), key); err != nil || len(uploads) > 0 {
		b.Errorf("%s: uploads %v, %v, want none", key, uploads, err)
	}
}

func (b *bench) absent(key string) {
	b.Helper()
	if _, err := os.Stat(filepath.Join(b.g.BucketDir, b.d.prefix, key)); !errors.Is(err, os.ErrNotExist) {
		b.Errorf("%s: %v, want no object", key, err)
	}
}

// lies are successes and failures that did not come from the server.
var lies = map[string]transporttest.CannedReply{
	"empty":          {Status: 200},
	"log-in page":    {Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html><body>Welcome to Hotel Wi-Fi</body></html>"},
	"JSON":           {Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: `{"ok":true}`},
	"blank":          {Status: 200, Body: strings.Repeat(" ", 1000)},
	"no content":     {Status: 204},
	"unread":         {Status: 200, Early: true},
	"plain 500":      {Status: 500, Body: "oops"},
	"plain 502":      {Status: 502, Body: "<html>Bad Gateway</html>"},
	"plain 504":      {Status: 504},
	"error in a 200": {Status: 200, Body: `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`},
}

func TestALostReplyOfCompleteIsSettledByTheNextCall(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lost/complete", MinPartSize+5)
	parts := b.parts(u, bytes, 1, 2)
	b.proxy.Script(transporttest.Fault{Method: "POST", Query: "uploadId", DropReply: true})
	_, err := b.d.Complete(t.Context(), u, parts)
	b.want(err, transport.Offline, true)
	for range 2 {
		r, err := b.d.Complete(t.Context(), u, parts)
		if err != nil || r.Size != u.Object.Size || r.Checksum != transport.ChecksumPrefix+transport.EncodeCRC32C(u.Object.CRC32C) {
			t.Errorf("Complete again: %+v, %v", r, err)
		}
	}
	b.stored(u.Object.Key, bytes)
}

func TestALostReplyOfPutIsSettledByTheNextCall(t *testing.T) {
	b := newBench(t)
	bytes := transporttest.Bytes(2, 100_000)
	o := transporttest.Object("lost/put", bytes)
	b.proxy.Script(transporttest.Fault{Method: "PUT", DropReply: true})
	_, err := b.d.Put(t.Context(), o, transporttest.NewBody(bytes))
	b.want(err, transport.Offline, true)
	r, err := b.d.Put(t.Context(), o, transporttest.NewBody(bytes))
	if err != nil || r.Size != o.Size || r.Checksum == "" {
		t.Errorf("Put again: %+v, %v", r, err)
	}
	b.stored(o.Key, bytes)
}

func TestALostReplyOfCreateLeavesAnUploadThatFindSees(t *testing.T) {
	b := newBench(t)
	o := transporttest.Object("lost/create", []byte("x"))
	b.proxy.Script(transporttest.Fault{Method: "POST", Query: "uploads", DropReply: true})
	_, err := b.d.Create(t.Context(), o)
	b.want(err, transport.Offline, true)
	uploads, stored, err := b.d.Find(t.Context(), o.Key)
	if err != nil || stored != nil || len(uploads) != 1 {
		t.Fatalf("Find: %v, %v, %v, want one upload", uploads, stored, err)
	}
	if err := b.d.Abort(t.Context(), uploads[0]); err != nil {
		t.Error(err)
	}
}

func TestALostReplyOfAPartIsSettledBySendingItAgain(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lost/part", MinPartSize+5)
	for _, f := range []transporttest.Fault{
		{Method: "PUT", DropReply: true},
		{Method: "PUT", CutUpload: MinPartSize}, // all has left
	} {
		b.proxy.Script(f)
		_, err := b.part(u, bytes, 1)
		e := b.want(err, transport.Offline, true)
		if !slices.Equal(e.Parts, []int{1}) {
			t.Errorf("parts %v, want 1", e.Parts)
		}
	}
	if _, err := b.d.Complete(t.Context(), u, b.parts(u, bytes, 1, 2)); err != nil {
		t.Error(err)
	}
	b.stored(u.Object.Key, bytes)
}

func TestARequestCutInItsMiddleHadNoEffect(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("cut/part", 2*MinPartSize)
	b.proxy.Script(transporttest.Fault{Method: "PUT", CutUpload: 1, Times: 2})
	_, err := b.part(u, bytes, 1)
	b.want(err, transport.Offline, false)
	_, err = b.d.Put(t.Context(), transporttest.Object("cut/put", bytes), transporttest.NewBody(bytes))
	b.want(err, transport.Offline, false)
}

func TestNoLieIsTakenForSuccess(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("lies/multipart", MinPartSize+5)
	parts := b.parts(u, bytes, 1, 2)
	small := transporttest.Object("lies/put", bytes[:1000])
	for name, lie := range lies {
		portal := transporttest.Fault{Instead: &lie, Times: 100}
		calls := map[string]func() error{
			"create":      func() error { _, err := b.d.Create(t.Context(), small); return err },
			"upload part": func() error { _, err := b.part(u, bytes, 1); return err },
			"list parts":  func() error { _, err := b.d.Parts(t.Context(), u); return err },
			"complete":    func() error { _, err := b.d.Complete(t.Context(), u, parts); return err },
			"put": func() error {
				_, err := b.d.Put(t.Context(), small, transporttest.NewBody(bytes[:1000]))
				return err
			},
			"find": func() error { _, _, err := b.d.Find(t.Context(), small.Key); return err },
		}
		for op, call := range calls {
			b.proxy.Script(portal)
			err := call()
			var e *transport.Error
			if !errors.As(err, &e) {
				t.Errorf("%s, answered by %s: %v, want an error", op, name, err)
				continue
			}
			if e.Kind != transport.Temporary && e.Kind != transport.Offline {
				t.Errorf("%s, answered by %s: kind %v (%v), want one that is tried again", op, name, e.Kind, err)
			}
		}
	}
	b.proxy.Script()
	b.absent(u.Object.Key)
	b.absent(small.Key)
	if _, err := b.d.Complete(t.Context(), u, parts); err != nil {
		t.Error(err)
	}
	b.stored(u.Object.Key, bytes)
}

func TestRepliesMeanWhatTheySay(t *testing.T) {
	b := newBench(t)
	xml := func(code string) string {
		return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>Because.</Message></Error>"
	}
	for _, tt := range []struct {
		name    string
		reply   transporttest.CannedReply
		kind    transport.Kind
		wait    time.Duration
		unknown bool
		text    string
	}{
		{"slow down", transporttest.CannedReply{Status: 503, Body: xml("SlowDown"), Header: map[string]string{"Retry-After": "7"}}, transport.Throttled, 7 * time.Second, true, "SlowDown: Because."},
		{"503 without XML", transporttest.CannedReply{Status: 503, Body: "try later", Header: map[string]string{"Retry-After": "Thu, 05 Nov 2026 10:01:00 GMT", "Date": "Thu, 05 Nov 2026 10:00:00 GMT"}}, transport.Throttled, time.Minute, true, "503"},
		{"429", transporttest.CannedReply{Status: 429, Header: map[string]string{"Retry-After": "99999999"}}, transport.Throttled, time.Hour, false, "429"},
		{"bad Retry-After", transporttest.CannedReply{Status: 503, Header: map[string]string{"Retry-After": "-1"}}, transport.Throttled, 0, true, "503"},
		{"expired token", transporttest.CannedReply{Status: 400, Body: xml("ExpiredToken")}, transport.Denied, 0, false, "renew the credentials"},
		{"clock", transporttest.CannedReply{Status: 403, Body: xml("RequestTimeTooSkewed")}, transport.Denied, 0, false, "clock"},
		{"no bucket", transporttest.CannedReply{Status: 404, Body: xml("NoSuchBucket")}, transport.Denied, 0, false, "check bucket"},
		{"forbidden", transporttest.CannedReply{Status: 403}, transport.Denied, 0, false, "403"},
		{"redirect", transporttest.CannedReply{Status: 301, Body: xml("PermanentRedirect"), Header: map[string]string{"Location": "http://127.0.0.1:1/"}}, transport.Denied, 0, false, "check region"},
		{"no upload", transporttest.CannedReply{Status: 404, Body: xml("NoSuchUpload")}, transport.Gone, 0, false, "NoSuchUpload"},
		{"bad digest", transporttest.CannedReply{Status: 400, Body: xml("BadDigest")}, transport.Corrupt, 0, false, "BadDigest"},
		{"too large", transporttest.CannedReply{Status: 400, Body: xml("EntityTooLarge")}, transport.Invalid, 0, false, "EntityTooLarge"},
		{"unknown code", transporttest.CannedReply{Status: 400, Body: xml("Novelty")}, transport.Invalid, 0, false, "Novelty"},
		{"timeout", transporttest.CannedReply{Status: 400, Body: xml("RequestTimeout")}, transport.Temporary, 0, false, "RequestTimeout"},
		{"internal", transporttest.CannedReply{Status: 500, Body: xml("InternalError")}, transport.Temporary, 0, true, "InternalError"},
		{"bytes for the terminal", transporttest.CannedReply{Status: 400, Body: xml("A\u009b\n\u202e[2J" + strings.Repeat("x", 1000))}, transport.Invalid, 0, false, "status 400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &bench{T: t, d: b.d, proxy: b.proxy}
			b.proxy.Script(transporttest.Fault{Instead: &tt.reply})
			u := transport.Upload{ID: "id", Object: transporttest.Object("reply", []byte("x")), PartSize: MinPartSize}
			_, err := b.part(u, []byte("x"), 1)
			e := b.want(err, tt.kind, tt.unknown)
			if want := tt.kind == transport.Denied && tt.name != "forbidden"; e.Caller != want {
				t.Errorf("of the caller %v, want %v", e.Caller, want)
			}
			if e.RetryAfter != tt.wait {
				t.Errorf("retry after %v, want %v", e.RetryAfter, tt.wait)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.text) || strings.ContainsFunc(msg, func(r rune) bool { return r < ' ' }) || len(msg) > 500 {
				t.Errorf("message %q, want one line with %q", msg, tt.text)
			}
			if got := len(b.proxy.Requests()); got != 1 {
				t.Errorf("%d requests, want exactly one attempt", got)
			}
		})
	}
}

// What makes an object names nothing that could be missing but the place: to
// hold the object back, and go on with the next, would send each in vain.
func TestAPlaceThatIsNotThereIsDenied(t *testing.T) {
	b := newBench(t)
	body := []byte("x")
	for name, reply := range map[string]transporttest.CannedReply{
		"another kind of server":           {Status: 404, Body: "<html>Not Found</html>"},
		"a server that knows no such user": {Status: 404, Body: "<Error><Code>XAdminUserNotFound</Code><Message>No user exists.</Message></Error>"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, d: b.d, proxy: b.proxy}
			o := transporttest.Object("nowhere", body)
			b.proxy.Script(transporttest.Fault{Instead: &reply}, transporttest.Fault{Instead: &reply})
			_, created := b.d.Create(t.Context(), o)
			_, put := b.d.Put(t.Context(), o, transporttest.NewBody(body))
			for _, err := range []error{created, put} {
				if e := b.want(err, transport.Denied, false); !e.Caller || !strings.Contains(e.Error(), "check endpoint, bucket and access key ID") {
					t.Errorf("got %v, of the caller %v", e, e.Caller)
				}
			}
		})
	}
}

func TestWhatAnOperatorCanMendIsSaid(t *testing.T) {
	b := newBench(t)
	for name, tt := range map[string]struct {
		reply transporttest.CannedReply
		hint  string
	}{
		"redirect of a portal": {transporttest.CannedReply{Status: 302, Header: map[string]string{"Location": "http://portal.example.org/"}}, "check endpoint"},
		"proxy":                {transporttest.CannedReply{Status: 407}, "check the user and password in proxy"},
		"token":                {transporttest.CannedReply{Status: 400, Body: "<Error><Code>InvalidToken</Code></Error>"}, "check the session token"},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{T: t, d: b.d, proxy: b.proxy}
			b.proxy.Script(transporttest.Fault{Instead: &tt.reply})
			_, err := b.d.Create(t.Context(), transporttest.Object("hint", nil))
			if e := b.want(err, transport.Denied, false); !strings.Contains(e.Error(), tt.hint) {
				t.Errorf("got %v, want %q", e, tt.hint)
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsOffline(t *testing.T) {
	b := newBench(t)
	impatient, err := link.New(link.Config{Stall: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b.d.client = s3.New(b.d.client.Options(), func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: impatient} })
	b.proxy.Script(transporttest.Fault{Stall: true})
	_, err = b.d.Create(t.Context(), transporttest.Object("key", nil))
	if e := b.want(err, transport.Offline, true); !errors.Is(e, link.ErrStalled) {
		t.Errorf("got %v, want ErrStalled", e)
	}
	impatient.CloseIdle()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.proxy.Script(transporttest.Fault{Do: func(*http.Request) { cancel() }})
	_, _, err = b.d.Find(ctx, "key")
	if e := b.want(err, transport.Offline, false); !errors.Is(e, context.Canceled) {
		t.Errorf("got %v, want the context's error", e)
	}
	if err := b.g.Kill(); err != nil {
		t.Fatal(err)
	}
	direct := open(t, b.g, "")
	_, err = direct.Create(t.Context(), transporttest.Object("key", nil))
	b.want(err, transport.Offline, false)
	nowhere := open(t, b.g, "http://no-such-host.invalid")
	_, err = nowhere.Create(t.Context(), transporttest.Object("key", nil))
	b.want(err, transport.Offline, false)
}

func TestAnUnknownCAIsForTheOperator(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{TLS: true})
	g.CAFile = ""
	b := &bench{T: t, d: open(t, g, "")}
	_, err := b.d.Create(t.Context(), transporttest.Object("key", nil))
	if e := b.want(err, transport.Denied, false); !strings.Contains(e.Error(), "ca_file") {
		t.Errorf("got %v, want a hint to ca_file", e)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	b := newBench(t)
	wrong := *b.g
	wrong.SecretAccessKey = "wrong-secret-0123456789"
	d := open(t, &wrong, "")
	_, err := d.Create(t.Context(), transporttest.Object("key", nil))
	b.want(err, transport.Denied, false)
	for _, secret := range []string{wrong.SecretAccessKey, wrong.AccessKeyID} {
		if strings.Contains(fmt.Sprintf("%v", err), secret) {
			t.Errorf("%v: holds %q", err, secret)
		}
	}
}

func TestAPartIsReadOnceAndSentInOneRequest(t *testing.T) {
	b := newBench(t)
	u, bytes := b.upload("once", MinPartSize)
	p, piece := transporttest.Part(b.d, bytes, 1, u.PartSize)
	body := &counting{Body: transporttest.NewBody(piece)}
	b.proxy.Script()
	if _, err := b.d.UploadPart(t.Context(), u, p, body); err != nil {
		t.Fatal(err)
	}
	if body.read != p.Size {
		t.Errorf("%d bytes read of the body, want %d", body.read, p.Size)
	}
	if got := b.proxy.Requests(); len(got) != 1 {
		t.Errorf("requests %q, want one", got)
	}
}

// counting counts what is read of a body.
type counting struct {
	*transporttest.Body
	read int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Body.Read(p)
	c.read += int64(n)
	return n, err
}
