package s3

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

func listed(t *testing.T, d *Destination, prefix string) (keys []string) {
	t.Helper()
	err := d.Objects(t.Context(), prefix, func(e transport.Entry) error {
		keys = append(keys, e.Key)
		return nil
	})
	if err != nil {
		t.Fatalf("Objects %q: %v", prefix, err)
	}
	slices.Sort(keys)
	return keys
}

func TestCatalogueListsWhatTheBucketHolds(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	d := open(t, g, "")
	odd := []string{"odd/a b+c%20d&e", "odd/ü=?#"}
	for _, key := range append([]string{"a/1", "a/2", "ab"}, odd...) {
		b := []byte(key)
		if _, err := d.Put(t.Context(), transporttest.Object(key, b), transporttest.NewBody(b)); err != nil {
			t.Fatal(err)
		}
	}
	// Beside the destination's prefix, and more than a page.
	other := filepath.Join(g.BucketDir, "elsewhere")
	many := filepath.Join(g.BucketDir, "some", "prefix", "many")
	for _, dir := range []string{other, many} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range 2500 {
		name := fmt.Sprintf("%05d", i)
		want = append(want, "many/"+name)
		if err := os.WriteFile(filepath.Join(many, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(other, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string][]string{
		"a":     {"a/1", "a/2", "ab"},
		"a/":    {"a/1", "a/2"},
		"odd/":  odd,
		"many/": want,
		"none":  nil,
		"":      slices.Sorted(slices.Values(append(append([]string{"a/1", "a/2", "ab"}, odd...), want...))),
	} {
		if got := listed(t, d, prefix); !slices.Equal(got, want) {
			t.Errorf("objects below %q: got %d, want %d", prefix, len(got), len(want))
		}
	}
	if s, err := d.Stat(t.Context(), "a/1"); err != nil || s == nil || s.Size != 3 || s.Metadata["dray-stream"] != "conformance" {
		t.Errorf("stat a/1: got %+v, %v", s, err)
	}
	if s, err := d.Stat(t.Context(), "a/3"); err != nil || s != nil {
		t.Errorf("stat of nothing: got %+v, %v", s, err)
	}
}

func TestCatalogueListsUploadsByPrefix(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	d := open(t, g, "")
	want := map[string]string{}
	for _, key := range []string{"gw-17/gps/1", "gw-17/gps/2", "gw-18/gps/1"} {
		id, err := d.Create(t.Context(), transport.Object{Key: key, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		want[key] = id
	}
	for prefix, n := range map[string]int{"gw-17/": 2, "gw-1": 3, "": 3, "gw-18/gps/1": 1, "gw-19/": 0} {
		found := 0
		err := d.Uploads(t.Context(), prefix, func(u transport.Upload, _ time.Time) error {
			if !strings.HasPrefix(u.Object.Key, prefix) || want[u.Object.Key] != u.ID {
				t.Errorf("uploads below %q: got %s of %s", prefix, u.ID, u.Object.Key)
			}
			found++
			return nil
		})
		if err != nil || found != n {
			t.Errorf("uploads below %q: got %d, %v, want %d", prefix, found, err, n)
		}
	}
}

func TestCatalogueTakesNoListOfSomethingElse(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	p := transporttest.StartProxy(t, g.Endpoint, nil)
	d := open(t, g, p.Endpoint)
	const endless = `<ListBucketResult><Name>dray</Name><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>`
	for name, tt := range map[string]struct {
		reply transporttest.CannedReply
		kind  transport.Kind
	}{
		"empty":         {transporttest.CannedReply{Status: 200}, transport.Temporary},
		"a portal":      {transporttest.CannedReply{Status: 200, Body: "<html><body>Log in</body></html>"}, transport.Temporary},
		"an other list": {transporttest.CannedReply{Status: 200, Body: "<Other/>"}, transport.Temporary},
		"no end":        {transporttest.CannedReply{Status: 200, Body: endless}, transport.Temporary},
		"no bucket":     {transporttest.CannedReply{Status: 404, Body: "<Error><Code>NoSuchBucket</Code></Error>"}, transport.Denied},
		"not found":     {transporttest.CannedReply{Status: 404}, transport.Denied},
		"denied":        {transporttest.CannedReply{Status: 403, Body: "<Error><Code>AccessDenied</Code></Error>"}, transport.Denied},
	} {
		p.Script(transporttest.Fault{Method: http.MethodGet, Times: 10, Instead: &tt.reply})
		err := d.Objects(t.Context(), "", func(transport.Entry) error { return nil })
		if err == nil || transport.KindOf(err) != tt.kind {
			t.Errorf("objects, %s: got %v, want kind %v", name, err, tt.kind)
		}
		if name == "no end" {
			continue // of another list
		}
		err = d.Uploads(t.Context(), "", func(transport.Upload, time.Time) error { return nil })
		if err == nil || transport.KindOf(err) != tt.kind {
			t.Errorf("uploads, %s: got %v, want kind %v", name, err, tt.kind)
		}
	}
}

func TestLacksSpeaksTheServicesWords(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	p := transporttest.StartProxy(t, g.Endpoint, nil)
	refusal := func(d *Destination, status int, code, message string) error {
		body := fmt.Sprintf("<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
		p.Script(transporttest.Fault{Instead: &transporttest.CannedReply{Status: status, Body: body}})
		_, err := d.Create(t.Context(), transport.Object{Key: "k", Size: -1})
		return err
	}
	plainly, kms := open(t, g, p.Endpoint), open(t, g, p.Endpoint)
	kms.form = newForm(Write{Encryption: Encryption{Type: "kms"}, Tags: map[string]string{"a": "b"}, Lock: Lock{Mode: "governance", Retain: time.Hour, LegalHold: true}})
	for _, tt := range []struct {
		name    string
		d       *Destination
		status  int
		code    string
		message string
		want    string
	}{
		{"a bare refusal", plainly, 403, "AccessDenied", "Access Denied", "s3:PutObject"},
		{"one that names the action", plainly, 403, "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: s3:PutObjectTagging on resource", "s3:PutObjectTagging"},
		{"a bare refusal of much", kms, 403, "AccessDenied", "Access Denied", "s3:PutObject or s3:PutObjectTagging or s3:PutObjectRetention or s3:PutObjectLegalHold or kms:GenerateDataKey"},
		{"a disabled key", kms, 400, "KMS.DisabledException", "", "kms:GenerateDataKey and kms:Decrypt, with a key that is enabled"},
		{"a wrong secret", plainly, 403, "SignatureDoesNotMatch", "", ""},
		{"no bucket", plainly, 404, "NoSuchBucket", "", ""},
		{"not built", plainly, 501, "NotImplemented", "", "support of this request"},
		{"busy", plainly, 503, "SlowDown", "", ""},
	} {
		err := refusal(tt.d, tt.status, tt.code, tt.message)
		if got := tt.d.Lacks(transport.TrialCreate, err); got != tt.want {
			t.Errorf("%s: got %q, want %q (%v)", tt.name, got, tt.want, err)
		}
	}
}

func TestTheClockIsHeldAgainstTheServers(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		server time.Time
		ok     bool
		want   string
	}{
		{now.Add(-3 * time.Second), true, "within 3s of the server's"},
		{now, true, "within 1s of the server's"},
		{now.Add(-2 * time.Hour), false, "this device is 2h0m0s ahead of the server"},
		{now.Add(2 * time.Hour), false, "this device is 2h0m0s behind the server"},
		{time.Time{}, false, "the server did not tell its time"},
	} {
		if f := clock(tt.server, now, nil); f.OK != tt.ok || f.Detail != tt.want {
			t.Errorf("server's time %v: got %v %q, want %v %q", tt.server, f.OK, f.Detail, tt.ok, tt.want)
		}
	}
}

func TestExamineSeesWhetherTheServerDoesWhatTheConfigAsks(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	d := open(t, g, "")
	b := []byte("bytes")
	o := transporttest.Object(transport.TrialFolder+"/gw/1", b)
	if _, err := d.Put(t.Context(), o, transporttest.NewBody(b)); err != nil {
		t.Fatal(err)
	}
	findings := map[transport.Trial]transport.Finding{}
	for _, f := range d.Examine(t.Context(), o, true) {
		findings[f.Trial] = f
	}
	for _, trial := range []transport.Trial{trialClock, trialEncryption, trialWrongBytes} {
		if f := findings[trial]; !f.OK || f.Detail == "" {
			t.Errorf("%s: got %+v, want it to be ok and to say what was seen", trial, f)
		}
	}
	// The same object, had all this been asked for.
	d.form = newForm(Write{StorageClass: "GLACIER_IR", Encryption: Encryption{Type: "kms", KMSKey: "k"}, Tags: map[string]string{"a": "b"}, Lock: Lock{LegalHold: true}})
	findings = map[transport.Trial]transport.Finding{}
	for _, f := range d.Examine(t.Context(), o, true) {
		findings[f.Trial] = f
	}
	for _, trial := range []transport.Trial{trialEncryption, trialClass, trialLock, trialTags} {
		if f := findings[trial]; f.OK || f.Lacks == "" || f.Means == "" {
			t.Errorf("%s: got %+v, want it to be lacking", trial, f)
		}
	}
	if f := findings[trialEncryption]; f.Need != transport.Needed {
		t.Errorf("encryption that was asked for is %s, want %s", f.Need, transport.Needed)
	}
	d.form = newForm(Write{})
	if uploads, _, err := d.Find(t.Context(), o.Key); err != nil || len(uploads) > 0 {
		t.Errorf("%d uploads left behind, %v", len(uploads), err)
	}
	if err := d.Remove(t.Context(), "gps/1"); transport.KindOf(err) != transport.Invalid {
		t.Errorf("remove of an object: got %v, want kind invalid", err)
	}
	for range 2 { // absent is success
		if err := d.Remove(t.Context(), o.Key); err != nil {
			t.Error(err)
		}
	}
	if s, err := d.Stat(t.Context(), o.Key); err != nil || s != nil {
		t.Errorf("after remove: got %+v, %v", s, err)
	}
}
