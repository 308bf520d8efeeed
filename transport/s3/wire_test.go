package s3

import (
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// A wire is a server's end of the HTTP client: it keeps what was asked and
// answers as a test says, for what no server at hand does.
type wire struct {
	mu    sync.Mutex
	asked []asking
	// say answers a request before the usual answers do; nil: it passes.
	say func(a asking) *transporttest.CannedReply
	add map[string]string // headers of every usual answer
}

// An asking is one request.
type asking struct {
	op     string // as in transport.Error.Op; "head", "list uploads", "session" besides
	method string
	host   string
	header http.Header
	query  map[string]string
	body   string
}

func opOf(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case q.Has("session"):
		return "session"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodPut && q.Has("uploadId"):
		return "upload part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodDelete:
		return "abort"
	case r.Method == http.MethodHead:
		return "head"
	case q.Has("uploadId"):
		return "list parts"
	}
	return "list uploads"
}

const anETag = `"0123456789abcdef0123456789abcdef"`

// usual is what a server that is well answers.
var usual = map[string]transporttest.CannedReply{
	"create":       {Status: 200, Body: "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"},
	"upload part":  {Status: 200, Header: map[string]string{"ETag": anETag}},
	"complete":     {Status: 200, Body: "<CompleteMultipartUploadResult><ETag>" + anETag + "</ETag></CompleteMultipartUploadResult>"},
	"put":          {Status: 200, Header: map[string]string{"ETag": anETag}},
	"head":         {Status: 404},
	"list parts":   {Status: 200, Body: "<ListPartsResult><UploadId>id</UploadId></ListPartsResult>"},
	"list uploads": {Status: 200, Body: "<ListMultipartUploadsResult><Bucket>b</Bucket></ListMultipartUploadsResult>"},
	"abort":        {Status: 204},
	"session": {Status: 200, Body: "<CreateSessionResult><Credentials><SessionToken>token</SessionToken><SecretAccessKey>s</SecretAccessKey>" +
		"<AccessKeyId>session-id</AccessKeyId><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></CreateSessionResult>"},
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	a := asking{op: opOf(r), method: r.Method, host: r.URL.Host, header: r.Header.Clone(), query: map[string]string{}}
	for name, values := range r.URL.Query() {
		a.query[name] = values[0]
	}
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		a.body = string(b)
	}
	w.mu.Lock()
	w.asked = append(w.asked, a)
	w.mu.Unlock()
	reply, header := usual[a.op], http.Header{}
	for name, value := range w.add {
		header.Set(name, value)
	}
	if w.say != nil {
		if c := w.say(a); c != nil {
			reply, header = *c, http.Header{}
		}
	}
	for name, value := range reply.Header {
		header.Set(name, value)
	}
	resp := &http.Response{
		StatusCode: reply.Status, Status: strconv.Itoa(reply.Status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(reply.Body)), ContentLength: int64(len(reply.Body)), Request: r,
	}
	if r.Method == http.MethodHead {
		if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil {
			resp.ContentLength = n
		}
	}
	return resp, nil
}

// of returns the requests of one operation.
func (w *wire) of(op string) (found []asking) {
	for _, a := range w.asked {
		if a.op == op {
			found = append(found, a)
		}
	}
	return found
}

// refusal is an answer of S3's.
func refused(status int, code string) *transporttest.CannedReply {
	return &transporttest.CannedReply{Status: status, Body: "<Error><Code>" + code + "</Code><Message>Because.</Message></Error>"}
}

// wired returns a destination whose requests end in w.
func wired(t *testing.T, w *wire, change func(*Config)) *Destination {
	t.Helper()
	c := Config{Bucket: "b", Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: "secret"}
	if change != nil {
		change(&c)
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	d.client = s3.New(d.client.Options(), func(o *s3.Options) {
		client := *o.HTTPClient.(*http.Client)
		client.Transport = w
		o.HTTPClient = &client
	})
	return d
}

// aPart is an upload of one part, laid out for d, and the part.
func aPart(d *Destination, text string) (transport.Upload, transport.Part) {
	o := transport.Object{
		Key: "a/key-0123456789abcdef-42", Size: int64(len(text)), CRC32C: crc32.Checksum([]byte(text), transport.Castagnoli), Hash: d.Limits().Hash,
		Metadata: map[string]string{"dray-epoch": "0123456789abcdef", "dray-start": "42", "dray-device": "gate way"},
	}
	p := transport.Part{Number: 1, Size: o.Size, CRC32C: o.CRC32C}
	if o.Hash != "" {
		h := newHash(o.Hash)
		h.Write([]byte(text))
		p.Sum = h.Sum(nil)
		o.Sum = p.Sum
	}
	return transport.Upload{ID: "id", Object: o, PartSize: MinPartSize}, p
}

// everyCall makes one call of each kind and fails on none.
func everyCall(t *testing.T, d *Destination) {
	t.Helper()
	const text = "some bytes"
	u, p := aPart(d, text)
	if _, err := d.Create(t.Context(), u.Object); err != nil {
		t.Errorf("Create: %v", err)
	}
	r, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte(text)))
	if err != nil {
		t.Errorf("UploadPart: %v", err)
	}
	if _, err := d.Parts(t.Context(), u); err != nil {
		t.Errorf("Parts: %v", err)
	}
	if _, err := d.Complete(t.Context(), u, []transport.PartReceipt{r}); err != nil {
		t.Errorf("Complete: %v", err)
	}
	if _, err := d.Put(t.Context(), u.Object, transporttest.NewBody([]byte(text))); err != nil {
		t.Errorf("Put: %v", err)
	}
	if _, _, err := d.Find(t.Context(), u.Object.Key); err != nil {
		t.Errorf("Find: %v", err)
	}
	if err := d.Abort(t.Context(), u); err != nil {
		t.Errorf("Abort: %v", err)
	}
}
