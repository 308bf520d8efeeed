package s3

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// once answers the first request of op with c, and everything else as otherwise does.
func once(op string, c *transporttest.CannedReply, otherwise func(asking) *transporttest.CannedReply) func(asking) *transporttest.CannedReply {
	return always(op, c, otherwise, 1)
}

func always(op string, c *transporttest.CannedReply, otherwise func(asking) *transporttest.CannedReply, times int) func(asking) *transporttest.CannedReply {
	return func(a asking) *transporttest.CannedReply {
		if a.op == op && times > 0 {
			times--
			return c
		}
		if otherwise == nil {
			return nil
		}
		return otherwise(a)
	}
}

// sendAll makes the calls of an upload and stops at the first error.
func sendAll(t *testing.T, d *Destination) (transport.Receipt, error) {
	t.Helper()
	const text = "some bytes"
	u, p := aPart(d, text)
	if _, err := d.Create(t.Context(), u.Object); err != nil {
		return transport.Receipt{}, err
	}
	r, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte(text)))
	if err != nil {
		return transport.Receipt{}, err
	}
	return d.Complete(t.Context(), u, []transport.PartReceipt{r})
}

func TestATemporaryRedirectIsFollowedWithinTheService(t *testing.T) {
	for _, tt := range []struct {
		endpoint, location string
		followed           bool
	}{
		{"", "https://b.s3.eu-west-3.amazonaws.com/x", true},
		{"", "https://b.s3-external-1.amazonaws.com/x", true},
		{"", "http://b.s3.eu-west-3.amazonaws.com/x", false},
		{"", "https://b.s3.eu-west-3.amazonaws.com.evil.example/x", false},
		{"", "https://evilamazonaws.com/s3", false},
		{"", "https://user@b.s3.eu-west-3.amazonaws.com/", false},
		{"", "", false},
		{"https://s3.example.org", "https://b.s3.example.org:444/x", true},
		{"https://s3.example.org", "https://s3.eu.s3.example.org/x", true},
		{"https://s3.example.org", "https://example.org/x", false},
		{"http://s3.example.org", "https://b.s3.example.org/x", true},
	} {
		moved := &transporttest.CannedReply{Status: 307, Header: map[string]string{"Location": tt.location}, Body: refused(307, "TemporaryRedirect").Body}
		for _, op := range []string{"create", "upload part", "complete"} {
			w := &wire{say: once(op, moved, stored("some bytes", nil))}
			d := wired(t, w, func(c *Config) { c.Endpoint = tt.endpoint })
			_, err := sendAll(t, d)
			if asked := w.of(op); !tt.followed {
				e := (&bench{T: t}).want(err, transport.Denied, false)
				if len(asked) != 1 || !strings.Contains(e.Error(), "not followed") {
					t.Errorf("%s to %q: %d requests, %v, want it refused", op, tt.location, len(asked), e)
				}
			} else if err != nil || len(asked) != 2 || !strings.Contains(tt.location, asked[1].host+"/") ||
				asked[0].body != asked[1].body || asked[0].method != asked[1].method ||
				asked[0].header.Get("Authorization") == asked[1].header.Get("Authorization") {
				t.Errorf("%s to %q: %v, requests %+v, want the same again, signed anew", op, tt.location, err, asked)
			}
		}
	}
	for status, code := range map[int]string{301: "PermanentRedirect", 302: "", 308: ""} {
		w := &wire{say: once("create", &transporttest.CannedReply{Status: status, Header: map[string]string{"Location": "https://b.s3.eu-west-3.amazonaws.com/x"}, Body: refused(status, code).Body}, nil)}
		_, err := sendAll(t, wired(t, w, nil))
		(&bench{T: t}).want(err, transport.Denied, false)
		if len(w.asked) != 1 {
			t.Errorf("%d: %d requests, want it not followed", status, len(w.asked))
		}
	}
	endless := &wire{say: func(a asking) *transporttest.CannedReply {
		return &transporttest.CannedReply{Status: 307, Header: map[string]string{"Location": fmt.Sprintf("https://s3.x%d.amazonaws.com/", len(a.host))}}
	}}
	if _, err := sendAll(t, wired(t, endless, nil)); err == nil || len(endless.asked) > maxRedirects+1 {
		t.Errorf("endless redirects: %d requests, %v", len(endless.asked), err)
	}
}

func TestTheRightRegionIsNamed(t *testing.T) {
	region := map[string]string{"X-Amz-Bucket-Region": "ap-south-2"}
	for name, reply := range map[string]*transporttest.CannedReply{
		"301":                     {Status: 301, Header: region, Body: refused(301, "PermanentRedirect").Body},
		"301 without a body":      {Status: 301, Header: region},
		"400 without a body":      {Status: 400, Header: region},
		"malformed authorization": {Status: 400, Body: "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'ap-south-2'</Message><Region>ap-south-2</Region></Error>"},
	} {
		w := &wire{say: once("create", reply, nil)}
		_, err := sendAll(t, wired(t, w, nil))
		if e := (&bench{T: t}).want(err, transport.Denied, false); !strings.Contains(e.Error(), "set region: ap-south-2") {
			t.Errorf("%s: %v, want the right region named", name, e)
		}
	}
}

func TestARefusalSaysWhatTheOperatorCanDo(t *testing.T) {
	kms := &transporttest.CannedReply{Status: 403, Body: "<Error><Code>AccessDenied</Code><Message>User x is not authorized to perform: kms:Decrypt on resource y</Message></Error>"}
	for _, tt := range []struct {
		name  string
		op    string
		w     Write
		reply *transporttest.CannedReply
		want  []string
	}{
		{"wrong owner", "create", Write{ExpectedOwner: "111122223333"}, refused(403, "AccessDenied"), []string{"s3:PutObject", "expected_owner 111122223333"}},
		{"no kms:Decrypt", "complete", Write{}, kms, []string{"kms:Decrypt", "encryption.kms_key"}},
		{"KMS, without a word", "complete", Write{Encryption: Encryption{Type: "kms"}}, refused(403, "AccessDenied"), []string{"kms:Decrypt"}},
		{"disabled key", "upload part", Write{}, refused(400, "KMS.DisabledException"), []string{"kms_key"}},
		{"tags", "create", Write{Tags: map[string]string{"a": "b"}}, refused(403, "AccessDenied"), []string{"s3:PutObjectTagging"}},
		{"lock", "create", Write{Lock: Lock{Mode: "governance", Retain: time.Hour, LegalHold: true}}, refused(403, "AccessDenied"), []string{"s3:PutObjectRetention", "s3:PutObjectLegalHold"}},
		{"clock", "create", Write{}, refused(403, "RequestTimeTooSkewed"), []string{"clock"}},
		{"expired", "upload part", Write{}, refused(400, "ExpiredToken"), []string{"renew the credentials"}},
		{"nothing to replace", "complete", Write{IfMatch: anETag}, refused(404, "NoSuchKey"), []string{"if_match"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{say: once(tt.op, tt.reply, nil), add: map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms"}}
			_, err := sendAll(t, wired(t, w, func(c *Config) { c.Write = tt.w }))
			e := (&bench{T: t}).want(err, transport.Denied, false)
			for _, want := range tt.want {
				if !strings.Contains(e.Error(), want) {
					t.Errorf("%v, want %q in it", e, want)
				}
			}
		})
	}
}

func TestAServerWithoutConditionsIsFoundOutOnce(t *testing.T) {
	for _, op := range []string{"complete", "put"} {
		t.Run(op, func(t *testing.T) {
			w := &wire{}
			made := false
			w.say = func(a asking) *transporttest.CannedReply {
				switch {
				case a.header.Get("If-None-Match") != "":
					return refused(501, "NotImplemented")
				case a.op == op:
					made = true
				case made:
					return stored("some bytes", nil)(a)
				}
				return nil
			}
			d := wired(t, w, nil)
			call := func() error { _, err := sendAll(t, d); return err }
			if op == "put" {
				u, _ := aPart(d, "some bytes")
				call = func() error {
					_, err := d.Put(t.Context(), u.Object, transporttest.NewBody([]byte("some bytes")))
					return err
				}
			}
			e := (&bench{T: t}).want(call(), transport.Temporary, false)
			if !strings.Contains(e.Error(), "If-None-Match") || len(d.Notes()) > 0 {
				t.Errorf("%v, notes %q, want a hint, and no note before it is certain", e, d.Notes())
			}
			w.asked = nil
			for range 2 {
				made = false
				if err := call(); err != nil {
					t.Error(err)
				}
			}
			if len(d.Notes()) != 1 || len(w.of(op)) != 2 {
				t.Errorf("notes %q, %d requests, want one note and no try with the condition", d.Notes(), len(w.of(op)))
			}
			if got := len(w.of("head")); got != 4 {
				t.Errorf("%d questions for the key, want one before it is made and one after, twice", got)
			}
			// The key is looked at instead: another's object is not replaced.
			w.say = stored("other bytes", nil)
			before := len(w.of(op))
			(&bench{T: t}).want(call(), transport.Conflict, false)
			if len(w.of(op)) != before {
				t.Error("sent to a key that is taken")
			}
		})
	}
}

func TestA501ForAnotherReasonIsNotLaidToTheCondition(t *testing.T) {
	w := &wire{say: always("complete", refused(501, "NotImplemented"), nil, 4)}
	d := wired(t, w, nil)
	for _, want := range []transport.Kind{transport.Temporary, transport.Invalid, transport.Temporary, transport.Invalid} {
		_, err := sendAll(t, d)
		(&bench{T: t}).want(err, want, false)
	}
	if len(d.Notes()) > 0 {
		t.Errorf("notes %q, want none", d.Notes())
	}
}

func TestAPartThatIsRefusedASecondTimeIsSettledByWhatIsThere(t *testing.T) {
	d := wired(t, &wire{}, nil)
	u, p := aPart(d, "some bytes")
	list := func(part string) *transporttest.CannedReply {
		return &transporttest.CannedReply{Status: 200, Body: "<ListPartsResult><UploadId>id</UploadId>" + part + "</ListPartsResult>"}
	}
	held := func(size int, sum string) string {
		return fmt.Sprintf("<Part><PartNumber>1</PartNumber><ETag>held</ETag><Size>%d</Size>%s</Part>", size, sum)
	}
	right := "<ChecksumCRC32C>" + transport.EncodeCRC32C(p.CRC32C) + "</ChecksumCRC32C>"
	for _, tt := range []struct {
		name string
		list *transporttest.CannedReply
		ok   bool
		kind transport.Kind
	}{
		{"these bytes", list(held(10, right)), true, 0},
		{"without a checksum", list(held(10, "")), false, transport.Gone},
		{"others", list(held(10, "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>")), false, transport.Gone},
		{"of another size", list(held(9, right)), false, transport.Gone},
		{"not there", list(""), false, transport.Invalid},
		{"no list", &transporttest.CannedReply{Status: 500}, false, transport.Temporary},
	} {
		w := &wire{say: once("upload part", refused(501, "NotImplemented"), once("list parts", tt.list, nil))}
		r, err := wired(t, w, nil).UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
		if tt.ok {
			if err != nil || r.ETag != "held" || r.CRC32C != p.CRC32C {
				t.Errorf("%s: %+v, %v, want the part that is held", tt.name, r, err)
			}
			continue
		}
		if transport.KindOf(err) != tt.kind || err == nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.kind)
		}
	}
}

func TestAnUploadUnderAnotherEncryptionBeginsAnew(t *testing.T) {
	reply := &transporttest.CannedReply{Status: 400, Body: "<Error><Code>InvalidRequest</Code><Message>The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.</Message></Error>"}
	_, err := sendAll(t, wired(t, &wire{say: once("upload part", reply, nil)}, nil))
	(&bench{T: t}).want(err, transport.Gone, false)
}

func TestAnObjectThatWasMovedAwayIsNotMadeTwice(t *testing.T) {
	gone := &transporttest.CannedReply{Status: 404, Header: map[string]string{"X-Amz-Delete-Marker": "true"}}
	for _, tt := range []struct {
		name  string
		key   string
		head  *transporttest.CannedReply
		doubt bool
		kind  transport.Kind
	}{
		{"a deletion is on record", "a-0123456789abcdef-42", gone, true, 0},
		{"nothing is on record", "a-0123456789abcdef-42", &transporttest.CannedReply{Status: 404}, false, transport.Gone},
		{"the key is not only ours", "a", gone, false, transport.Gone},
	} {
		w := &wire{say: once("complete", refused(404, "NoSuchUpload"), once("head", tt.head, nil))}
		d := wired(t, w, nil)
		u, p := aPart(d, "some bytes")
		u.Object.Key = tt.key
		r, err := d.Complete(t.Context(), u, []transport.PartReceipt{{Number: 1, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: anETag}})
		switch {
		case tt.doubt && (err != nil || !strings.Contains(r.InDoubt, "deleted") || r.Size != p.Size):
			t.Errorf("%s: %+v, %v, want it in doubt", tt.name, r, err)
		case !tt.doubt:
			(&bench{T: t}).want(err, tt.kind, false)
		}
	}
}

func TestAnErrorInsideA200IsTheErrorThatItNames(t *testing.T) {
	for code, want := range map[string]transport.Kind{
		"InternalError": transport.Temporary, "SlowDown": transport.Throttled, "NoSuchUpload": transport.Gone, "AccessDenied": transport.Denied,
		"BadDigest": transport.Corrupt, "InvalidRequest": transport.Invalid, "EntityTooSmall": transport.Invalid, "PreconditionFailed": transport.Temporary,
		"InvalidPart": transport.Temporary, "InvalidPartOrder": transport.Temporary, "ConditionalRequestConflict": transport.Gone,
	} {
		for _, before := range []string{"", "<?xml version=\"1.0\"?>\n", strings.Repeat(" \n", 500)} {
			// All parts are there, so that nothing but the code is to blame.
			list := &transporttest.CannedReply{Status: 200, Body: "<ListPartsResult><UploadId>id</UploadId><Part><PartNumber>1</PartNumber><ETag>" + anETag + "</ETag><Size>10</Size></Part></ListPartsResult>"}
			w := &wire{say: once("complete", &transporttest.CannedReply{Status: 200, Body: before + refused(0, code).Body}, once("list parts", list, nil))}
			_, err := sendAll(t, wired(t, w, nil))
			if got := transport.KindOf(err); err == nil || got != want {
				t.Errorf("%s after %d bytes: %v (%v), want %v", code, len(before), got, err, want)
			}
		}
	}
}

func TestPartsWithoutAKnownChecksumGoAgain(t *testing.T) {
	w := &wire{}
	d := wired(t, w, func(c *Config) { c.Checksum = "sha256" })
	u, p := aPart(d, "some bytes")
	_, err := d.Complete(t.Context(), u, []transport.PartReceipt{{Number: 1, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: anETag}})
	if e := (&bench{T: t}).want(err, transport.Missing, false); len(e.Parts) != 1 || len(w.asked) > 0 {
		t.Errorf("%v after %d requests, want part 1 named and nothing sent", e, len(w.asked))
	}
	p.Sum = nil
	_, err = d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
	(&bench{T: t}).want(err, transport.Invalid, false)
	u.Object.Hash = "novelty"
	_, err = d.Create(t.Context(), u.Object)
	(&bench{T: t}).want(err, transport.Invalid, false)
}

func TestAnObjectKeepsTheChecksumThatItWasLaidOutFor(t *testing.T) {
	w := &wire{say: stored("some bytes", nil)}
	sha := wired(t, w, func(c *Config) { c.Checksum = "sha256" })
	crc := wired(t, w, nil)
	u, p := aPart(crc, "some bytes") // laid out before the config changed
	if _, err := sha.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes"))); err != nil {
		t.Fatal(err)
	}
	w.of("upload part")[0].want(t, map[string]string{"X-Amz-Checksum-Crc32c": transport.EncodeCRC32C(p.CRC32C), "X-Amz-Checksum-Sha256": ""})
}

func TestKeysOfCustomersAreNeverPrinted(t *testing.T) {
	key := CustomerKey(bytes.Repeat([]byte("hush"), 8))
	c := Config{Bucket: "b", Write: Write{Encryption: Encryption{Type: "customer", CustomerKey: key}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if text := fmt.Sprintf(verb+verb, c, key); strings.Contains(text, "hush") || strings.Contains(text, "68757368") || strings.Contains(text, "104 117") {
			t.Errorf("%s: %s", verb, text)
		}
	}
	_, err := New(Config{Bucket: "b", Region: "r", AccessKeyID: "i", SecretAccessKey: "s", Endpoint: "http://far.example.org", Write: c.Write})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "in the clear") {
		t.Errorf("a key over http: %v, want it refused", err)
	}
}
