package s3

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// stored answers HEAD with the object of aPart, so that every success is found true.
func stored(text string, more map[string]string) func(asking) *transporttest.CannedReply {
	return func(a asking) *transporttest.CannedReply {
		if a.op != "head" {
			return nil
		}
		header := map[string]string{"ETag": anETag, "Content-Length": strconv.Itoa(len(text)), "X-Amz-Meta-Dray-Epoch": "0123456789abcdef",
			"X-Amz-Meta-Dray-Start": "42", "X-Amz-Meta-Dray-Device": "gate%20way"}
		maps.Copy(header, more)
		return &transporttest.CannedReply{Status: 200, Header: header}
	}
}

// want checks headers of a request; "" means that it must not be there.
func (a asking) want(t *testing.T, headers map[string]string) {
	t.Helper()
	for name, want := range headers {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %s is %q, want %q", a.op, name, got, want)
		}
	}
}

func TestWhatIsAskedForIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{say: stored("some bytes", map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms"}), add: map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms"}}
		d := wired(t, w, func(c *Config) {
			c.Write = Write{
				Checksum: "sha256", ExpectedOwner: "111122223333", RequestPayer: true, StorageClass: "DEEP_ARCHIVE",
				Encryption:  Encryption{Type: "kms", KMSKey: "alias/field", KMSContext: map[string]string{"fleet": "north"}, BucketKey: true},
				Tags:        map[string]string{"project": "tide gauges", "a+b": "c=d"},
				Lock:        Lock{Mode: "compliance", Retain: 48 * time.Hour, LegalHold: true},
				ContentType: "text/csv;charset=utf-8", ContentEncoding: "identity", Metadata: map[string]string{"site": "Skarvøya  North"},
			}
		})
		everyCall(t, d)
		u, p := aPart(d, "some bytes")
		sum := base64.StdEncoding.EncodeToString(p.Sum)
		creation := map[string]string{
			"X-Amz-Storage-Class":                             "DEEP_ARCHIVE",
			"X-Amz-Server-Side-Encryption":                    "aws:kms",
			"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id":     "alias/field",
			"X-Amz-Server-Side-Encryption-Context":            base64.StdEncoding.EncodeToString([]byte(`{"fleet":"north"}`)),
			"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true",
			"X-Amz-Tagging":                                   "a%2Bb=c%3Dd&project=tide%20gauges",
			"X-Amz-Object-Lock-Mode":                          "COMPLIANCE",
			"X-Amz-Object-Lock-Retain-Until-Date":             time.Now().Add(48 * time.Hour).UTC().Format("2006-01-02T15:04:05.999Z"),
			"X-Amz-Object-Lock-Legal-Hold":                    "ON",
			"Content-Type":                                    "text/csv;charset=utf-8",
			"Content-Encoding":                                "identity",
			"X-Amz-Meta-Site":                                 "Skarv%C3%B8ya%20%20North",
			"X-Amz-Meta-Dray-Device":                          "gate%20way",
			"X-Amz-Meta-Dray-Start":                           "42",
		}
		w.of("create")[0].want(t, creation)
		w.of("create")[0].want(t, map[string]string{"X-Amz-Checksum-Algorithm": "SHA256", "X-Amz-Checksum-Type": "COMPOSITE"})
		w.of("put")[0].want(t, creation)
		for _, op := range []string{"put", "upload part"} {
			w.of(op)[0].want(t, map[string]string{"X-Amz-Checksum-Sha256": sum, "X-Amz-Checksum-Crc32c": "", "X-Amz-Sdk-Checksum-Algorithm": "SHA256",
				"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "Content-Length": ""})
		}
		value, _ := schemeOf("sha256").ofObject([]transport.PartReceipt{{Number: 1, Size: u.Object.Size, Sum: p.Sum}})
		w.of("complete")[0].want(t, map[string]string{"X-Amz-Checksum-Sha256": value, "X-Amz-Checksum-Type": "COMPOSITE", "If-None-Match": "*", "If-Match": ""})
		w.of("head")[0].want(t, map[string]string{"X-Amz-Checksum-Mode": "ENABLED"})
		for _, a := range w.asked {
			a.want(t, map[string]string{"X-Amz-Expected-Bucket-Owner": "111122223333", "X-Amz-Request-Payer": "requester"})
		}
	})
}

// A device whose clock is ten years ahead must not lock its objects for so long.
func TestALockEndsByTheServersClock(t *testing.T) {
	w := &wire{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		resp, err := w.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header().Set("Date", "Thu, 05 Nov 2015 10:00:00 GMT")
		_, _ = io.Copy(out, resp.Body) // the client is there
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	wire, err := link.New(link.Config{CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer wire.CloseIdle()
	d, err := New(Config{Bucket: "b", Endpoint: server.URL, PathStyle: true, AccessKeyID: "i", SecretAccessKey: "s", HTTP: wire,
		Write: Write{Lock: Lock{Mode: "compliance", Retain: 24 * time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := aPart(d, "some bytes")
	for range 2 { // the first learns the time
		if _, err := d.Create(t.Context(), u.Object); err != nil {
			t.Fatal(err)
		}
	}
	if until := w.of("create")[1].header.Get("X-Amz-Object-Lock-Retain-Until-Date"); !strings.HasPrefix(until, "2015-11-06T10:") {
		t.Errorf("locked until %s, want a day by the server's clock", until)
	}
}

func TestEveryCallIsMadeInTheNameOfTheOwnerAndThePayer(t *testing.T) {
	w := &wire{say: stored("some bytes", nil)}
	everyCall(t, wired(t, w, nil))
	ops := map[string]bool{}
	for _, a := range w.asked {
		ops[a.op] = true
		a.want(t, map[string]string{"X-Amz-Expected-Bucket-Owner": "", "X-Amz-Request-Payer": ""})
	}
	for op := range usual {
		if !ops[op] && op != "session" {
			t.Errorf("no %s among the calls: the test above proves nothing of it", op)
		}
	}
}

func TestACompleteSaysAllThatItKnows(t *testing.T) {
	for _, scheme := range schemes {
		w := &wire{say: stored("some bytes", nil)}
		d := wired(t, w, func(c *Config) { c.Checksum, c.ChecksumType = string(scheme.algorithm), string(scheme.kind) })
		everyCall(t, d)
		u, p := aPart(d, "some bytes")
		ofPart := encode(scheme.ofPart(p.CRC32C, p.Sum))
		ofObject, _ := scheme.ofObject([]transport.PartReceipt{{Number: 1, Size: p.Size, CRC32C: p.CRC32C, Sum: p.Sum}})
		a := w.of("complete")[0]
		a.want(t, map[string]string{
			"X-Amz-Mp-Object-Size": strconv.FormatInt(u.Object.Size, 10),
			"X-Amz-Checksum-Type":  string(scheme.kind),
			"If-None-Match":        "*",
		})
		for _, each := range schemes {
			want := map[bool]string{true: ofObject}[each.algorithm == scheme.algorithm]
			a.want(t, map[string]string{"X-Amz-Checksum-" + string(each.algorithm): want})
		}
		sum := "<Checksum" + string(scheme.algorithm) + ">" + ofPart + "</Checksum" + string(scheme.algorithm) + ">"
		for _, want := range []string{"<PartNumber>1</PartNumber>", "<ETag>&#34;0123456789abcdef0123456789abcdef&#34;</ETag>", sum} {
			if !strings.Contains(strings.ReplaceAll(a.body, "&quot;", "&#34;"), want) {
				t.Errorf("body %s, want %s in it", a.body, want)
			}
		}
		if strings.Count(a.body, "<Checksum") != 1 {
			t.Errorf("body %s, want one checksum", a.body)
		}
		w.of("upload part")[0].want(t, map[string]string{"X-Amz-Checksum-" + string(scheme.algorithm): ofPart})
		w.of("create")[0].want(t, map[string]string{"X-Amz-Checksum-Algorithm": string(scheme.algorithm), "X-Amz-Checksum-Type": string(scheme.kind)})
	}
}

func TestACompleteIsNeverAForm(t *testing.T) {
	w := &wire{say: stored("some bytes", nil)}
	everyCall(t, wired(t, w, nil))
	if got := w.of("complete")[0].header.Get("Content-Type"); got != "application/xml" {
		t.Errorf("Content-Type %q, want application/xml", got)
	}
}

func TestNoSignedHeaderHoldsABlank(t *testing.T) {
	w := &wire{say: stored("some bytes", map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}), add: map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}}
	everyCall(t, wired(t, w, func(c *Config) {
		c.Write = Write{Encryption: Encryption{Type: "s3"}, Tags: map[string]string{"a b": "c  d"}, Metadata: map[string]string{"x": " my  file.txt "},
			Lock: Lock{Mode: "governance", Retain: time.Hour}}
	}))
	for _, a := range w.asked {
		_, signed, _ := strings.Cut(a.header.Get("Authorization"), "SignedHeaders=")
		signed, _, _ = strings.Cut(signed, ",")
		for _, name := range strings.Split(signed, ";") {
			if value := a.header.Get(name); strings.Contains(value, " ") {
				t.Errorf("%s: signed header %s is %q", a.op, name, value)
			}
		}
		if a.op == "put" && !strings.Contains(signed, "x-amz-meta-x") {
			t.Errorf("%s: metadata is not signed: %s", a.op, signed)
		}
	}
}

func TestTheCustomersKeyGoesWithEveryCallThatNeedsIt(t *testing.T) {
	key := CustomerKey(strings.Repeat("k", 32))
	sum := md5.Sum(key)
	echo := map[string]string{
		"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256",
		"X-Amz-Server-Side-Encryption-Customer-Key-Md5":   base64.StdEncoding.EncodeToString(sum[:]),
	}
	w := &wire{say: stored("some bytes", echo), add: echo}
	d := wired(t, w, func(c *Config) { c.Encryption = Encryption{Type: "customer", CustomerKey: key} })
	everyCall(t, d)
	want := maps.Clone(echo)
	want["X-Amz-Server-Side-Encryption-Customer-Key"] = base64.StdEncoding.EncodeToString(key)
	for _, a := range w.asked {
		if slices.Contains([]string{"abort", "list uploads"}, a.op) {
			a.want(t, map[string]string{"X-Amz-Server-Side-Encryption-Customer-Key": ""})
		} else {
			a.want(t, want)
		}
	}
	if got := d.Limits().MaxPut; got != 0 {
		t.Errorf("MaxPut %d: objects could be put before the server has shown that it encrypts", got)
	}
}

func TestEncryptionThatIsNotConfirmedIsDenied(t *testing.T) {
	for kind, e := range map[string]Encryption{
		"s3": {Type: "s3"}, "kms": {Type: "kms"}, "customer": {Type: "customer", CustomerKey: CustomerKey(strings.Repeat("k", 32))},
	} {
		w := &wire{say: stored("some bytes", nil)}
		d := wired(t, w, func(c *Config) { c.Encryption = e })
		b := &bench{T: t, d: d}
		u, p := aPart(d, "some bytes")
		_, err := d.Create(t.Context(), u.Object)
		if e := b.want(err, transport.Denied, true); !strings.Contains(e.Error(), "does not confirm the encryption") {
			t.Errorf("%s: Create: %v, want the encryption named", kind, e)
		}
		_, err = d.Put(t.Context(), u.Object, transporttest.NewBody([]byte("some bytes")))
		b.want(err, transport.Denied, true)
		// Tried again the key is taken, by what was stored in the clear.
		w.say = once("put", refused(412, "PreconditionFailed"), stored("some bytes", nil))
		_, err = d.Put(t.Context(), u.Object, transporttest.NewBody([]byte("some bytes")))
		b.want(err, transport.Denied, true)
		if kind != "customer" {
			continue
		}
		// Half a confirmation is none.
		for name, value := range map[string]string{
			"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256", "X-Amz-Server-Side-Encryption-Customer-Key-Md5": *newCustomer(e.CustomerKey).md5,
		} {
			w.add, w.say = map[string]string{name: value}, nil
			_, err = d.Create(t.Context(), u.Object)
			b.want(err, transport.Denied, true)
		}
		w.add, w.say = nil, stored("some bytes", nil)
		_, err = d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
		b.want(err, transport.Denied, true)
		_, _, err = d.Find(t.Context(), u.Object.Key)
		b.want(err, transport.Denied, true)
	}
}

func TestTheConditionIsTheOneAskedFor(t *testing.T) {
	for _, c := range []struct {
		w           Write
		none, match string
	}{
		{Write{}, "*", ""},
		{Write{MayReplace: true}, "", ""},
		{Write{IfMatch: anETag}, "", anETag},
	} {
		w := &wire{say: stored("some bytes", nil)}
		everyCall(t, wired(t, w, func(cfg *Config) { cfg.Write = c.w }))
		for _, op := range []string{"complete", "put"} {
			w.of(op)[0].want(t, map[string]string{"If-None-Match": c.none, "If-Match": c.match})
		}
	}
}

func TestADirectoryBucketIsSpokenToByItsRules(t *testing.T) {
	w := &wire{say: stored("some bytes", nil)}
	d := wired(t, w, func(c *Config) { c.Bucket, c.Region = "b--euw1-az1--x-s3", "eu-west-1" })
	everyCall(t, d)
	if got := w.asked[0].op; got != "session" {
		t.Errorf("first call: %s, want session", got)
	}
	for _, a := range w.asked {
		if want := "b--euw1-az1--x-s3.s3express-euw1-az1.eu-west-1.amazonaws.com"; a.host != want {
			t.Errorf("%s: host %s, want %s", a.op, a.host, want)
		}
		if token := a.header.Get("X-Amz-S3session-Token"); (token == "token") == (a.op == "session") {
			t.Errorf("%s: session token %q", a.op, token)
		}
	}
	if got := w.of("list uploads")[0].query["prefix"]; got != "a/" {
		t.Errorf("uploads are listed below %q, want a/: directory buckets take no other prefix", got)
	}
	for field, change := range map[string]func(*Config){
		"path_style":      func(c *Config) { c.PathStyle = true },
		"request_payer":   func(c *Config) { c.RequestPayer = true },
		"encryption.type": func(c *Config) { c.Encryption = Encryption{Type: "customer", CustomerKey: make(CustomerKey, 32)} },
		"tags":            func(c *Config) { c.Tags = map[string]string{"a": "b"} },
		"object_lock":     func(c *Config) { c.Lock.LegalHold = true },
		"storage_class":   func(c *Config) { c.StorageClass = "GLACIER" },
		"encryption.kms_context": func(c *Config) {
			c.Encryption = Encryption{Type: "kms", KMSKey: "k", KMSContext: map[string]string{"a": "b"}}
		},
	} {
		c := Config{Bucket: "b--euw1-az1--x-s3", Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: "hush"}
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), field+": is not supported by directory buckets") {
			t.Errorf("%s: %v, want it refused", field, err)
		}
	}
	for _, key := range []string{"", "alias/field", "arn:aws:kms:eu-west-1:111122223333:alias/field"} {
		c := Config{Bucket: "b--euw1-az1--x-s3", Region: "eu-west-1", AccessKeyID: "id", SecretAccessKey: "hush", Write: Write{Encryption: Encryption{Type: "kms", KMSKey: key}}}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "encryption.kms_key: must be the ID or ARN") {
			t.Errorf("KMS key %q: %v, want it refused", key, err)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	d := wired(t, &wire{}, func(c *Config) { c.Metadata = map[string]string{"x": strings.Repeat("x", 1000)} })
	o := transport.Object{Key: "k", Metadata: map[string]string{"y": strings.Repeat(" ", 400)}} // 1200 bytes as sent
	_, err := d.Create(t.Context(), o)
	(&bench{T: t}).want(err, transport.Invalid, false)
}

var _ http.RoundTripper = (*wire)(nil)
