package s3

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

const aDirectoryBucket = "b--euw1-az1--x-s3"

// sessions answers CreateSession with one that lasts for life by the server's
// clock, which is off by skew, and numbers them.
func sessions(life, skew time.Duration, otherwise func(asking) *transporttest.CannedReply) func(asking) *transporttest.CannedReply {
	n := 0
	return func(a asking) *transporttest.CannedReply {
		if a.op != "session" {
			return otherwise(a)
		}
		n++
		now := time.Now().Add(skew).UTC()
		return &transporttest.CannedReply{
			Status: 200, Header: map[string]string{"Date": now.Format(http.TimeFormat)},
			Body: fmt.Sprintf("<CreateSessionResult><Credentials><SessionToken>token-%d</SessionToken><SecretAccessKey>s</SecretAccessKey>"+
				"<AccessKeyId>session-%d</AccessKeyId><Expiration>%s</Expiration></Credentials></CreateSessionResult>", n, n, now.Add(life).Format(time.RFC3339)),
		}
	}
}

func TestASessionIsRenewedBeforeItEndsWhateverTheClock(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour, 30 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := &wire{say: sessions(5*time.Minute, skew, stored("some bytes", nil))}
			d := wired(t, w, func(c *Config) { c.Bucket = aDirectoryBucket })
			everyCall(t, d)
			everyCall(t, d)
			if got := len(w.of("session")); got != 1 {
				t.Fatalf("clock off by %v: %d sessions at one time, want 1", skew, got)
			}
			time.Sleep(3 * time.Minute)
			everyCall(t, d)
			if got := len(w.of("session")); got != 1 {
				t.Errorf("clock off by %v: %d sessions after 3 of 5 minutes, want 1", skew, got)
			}
			time.Sleep(time.Minute + 10*time.Second)
			w.asked = nil
			everyCall(t, d)
			if w.asked[0].op != "session" || len(w.of("session")) != 1 {
				t.Errorf("clock off by %v: calls %v after 4 of 5 minutes, want a session first", skew, w.asked)
			}
			for _, a := range w.asked[1:] {
				if got := a.header.Get("X-Amz-S3session-Token"); got != "token-2" {
					t.Errorf("clock off by %v: %s with %q, want the new session", skew, a.op, got)
				}
			}
		})
	}
}

func TestASessionThatHasEndedIsUsedOnce(t *testing.T) {
	w := &wire{say: sessions(-time.Hour, 0, stored("some bytes", nil))}
	everyCall(t, wired(t, w, func(c *Config) { c.Bucket = aDirectoryBucket }))
	if sessions, all := len(w.of("session")), len(w.asked); sessions != all/2 {
		t.Errorf("%d sessions for %d requests, want a fresh one for each", sessions, all)
	}
}

func TestASessionThatIsRefusedIsNotUsedAgain(t *testing.T) {
	w := &wire{say: sessions(5*time.Minute, 0, once("create", refused(400, "ExpiredToken"), stored("some bytes", nil)))}
	d := wired(t, w, func(c *Config) {
		c.Bucket, c.AccessKeyID, c.SecretAccessKey, c.Credentials = aDirectoryBucket, "", "", &keyring{}
	})
	_, err := sendAll(t, d)
	(&bench{T: t}).want(err, transport.Temporary, false) // no operator is needed
	everyCall(t, d)
	if got := len(w.of("session")); got != 2 {
		t.Errorf("%d sessions, want another after the first was refused", got)
	}
}

func TestWhyThereIsNoSessionIsSaid(t *testing.T) {
	portal := lies["log-in page"]
	for name, tt := range map[string]struct {
		reply *transporttest.CannedReply
		kind  transport.Kind
		wait  time.Duration
		text  string
	}{
		"no permission":       {refused(403, "AccessDenied"), transport.Denied, 0, "s3express:CreateSession"},
		"keys have run out":   {refused(400, "ExpiredToken"), transport.Denied, 0, "renew the credentials"},
		"no such bucket":      {refused(404, "NoSuchBucket"), transport.Denied, 0, "check bucket"},
		"not found, no word":  {&transporttest.CannedReply{Status: 404}, transport.Denied, 0, "404"},
		"precondition failed": {refused(412, "PreconditionFailed"), transport.Denied, 0, "412"},
		"slow down":           {&transporttest.CannedReply{Status: 503, Header: map[string]string{"Retry-After": "7"}, Body: refused(503, "SlowDown").Body}, transport.Throttled, 7 * time.Second, "SlowDown"},
		"failure":             {refused(500, "InternalError"), transport.Temporary, 0, "InternalError"},
		"nothing":             {&transporttest.CannedReply{Status: 200}, transport.Temporary, 0, "log-in page"},
		"portal":              {&portal, transport.Temporary, 0, "create session"},
	} {
		w := &wire{say: always("session", tt.reply, nil, 1000)}
		d := wired(t, w, func(c *Config) { c.Bucket = aDirectoryBucket })
		u, p := aPart(d, "some bytes")
		parts := []transport.PartReceipt{{Number: 1, Size: p.Size, CRC32C: p.CRC32C, HasCRC: true, ETag: anETag}}
		for op, call := range map[string]func() error{
			"create": func() error { _, err := d.Create(t.Context(), u.Object); return err },
			"upload part": func() error {
				_, err := d.UploadPart(t.Context(), u, p, transporttest.NewBody([]byte("some bytes")))
				return err
			},
			"complete": func() error { _, err := d.Complete(t.Context(), u, parts); return err },
			"abort":    func() error { return d.Abort(t.Context(), u) },
			"find":     func() error { _, _, err := d.Find(t.Context(), u.Object.Key); return err },
		} {
			e := (&bench{T: t}).want(call(), tt.kind, false)
			if !strings.Contains(e.Error(), tt.text) || e.RetryAfter != tt.wait || e.Op != op {
				t.Errorf("%s: %s: %v, after %v, want %q in it, after %v", name, op, e, e.RetryAfter, tt.text, tt.wait)
			}
		}
		_, err := d.Create(t.Context(), u.Object)
		if lacks := d.Lacks(transport.TrialCreate, err); (lacks == createSession) != (name == "no permission") {
			t.Errorf("%s: a doctor is told that %q is lacking", name, lacks)
		}
		if got := len(w.asked) - len(w.of("session")); got > 0 {
			t.Errorf("%s: %d requests without a session", name, got)
		}
	}
}

func TestASessionEncryptsAsItsObjectsAreToBe(t *testing.T) {
	kms := map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key"}
	w := &wire{say: sessions(5*time.Minute, 0, stored("some bytes", kms)), add: kms}
	everyCall(t, wired(t, w, func(c *Config) {
		c.Bucket, c.Encryption = aDirectoryBucket, Encryption{Type: "kms", KMSKey: "key", BucketKey: true}
	}))
	for _, op := range []string{"session", "create", "put"} {
		w.of(op)[0].want(t, kms)
		w.of(op)[0].want(t, map[string]string{"X-Amz-Server-Side-Encryption-Bucket-Key-Enabled": "true"})
	}
}
