package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-7270d448/dray/engine"
	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/transporttest"
)

// actionOf says by which IAM action a request has to be allowed.
func actionOf(r *http.Request) string {
	has, path := r.URL.Query().Has, strings.Trim(r.URL.Path, "/")
	switch {
	case r.Method == http.MethodPost && has("uploads"):
		return "create"
	case r.Method == http.MethodPut && has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && has("uploadId"):
		return "complete"
	case r.Method == http.MethodGet && has("uploadId"):
		return "s3:ListMultipartUploadParts"
	case r.Method == http.MethodDelete && has("uploadId"):
		return "s3:AbortMultipartUpload"
	case r.Method == http.MethodGet && has("uploads"):
		return "s3:ListBucketMultipartUploads"
	case r.Method == http.MethodHead:
		return "s3:GetObject"
	case r.Method == http.MethodGet && !strings.Contains(path, "/"):
		return "s3:ListBucket"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodDelete:
		return "s3:DeleteObject"
	}
	return r.Method
}

// refuser passes requests on to a server, except those that need an action
// that it denies.
type refuser struct {
	*httptest.Server
	mu     sync.Mutex
	denied func(r *http.Request) bool
	text   string // of the refusal
}

func startRefuser(t *testing.T, target string) *refuser {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}}
	p := &refuser{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		denied, text := p.denied != nil && p.denied(r), p.text
		p.mu.Unlock()
		if !denied {
			proxy.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<Error><Code>AccessDenied</Code><Message>%s</Message></Error>", text)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *refuser) deny(text string, denied func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.denied, p.text = denied, text
}

// archiveConfig writes a config with a bucket behind endpoint and a folder.
func archiveConfig(t *testing.T, g *transporttest.Gateway, endpoint string) (file, dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, b := range map[string]string{
		"credentials": fmt.Sprintf("aws_access_key_id = %s\naws_secret_access_key = %s\n", g.AccessKeyID, g.SecretAccessKey),
		"in":          strings.Repeat("a line of some length, so that there are several objects\n", 200),
		"dray.yaml": fmt.Sprintf(`
device: gw 17
state_dir: %[1]s/state
spool: {max_bytes: 64MiB, min_free: 0}
streams: [{name: a, source: {type: file, path: %[1]s/in}, framing: lines, destination: bucket, object: {max_bytes: 4KiB}}]
destinations: [{name: bucket, type: s3, bucket: %[2]s, region: %[3]s, endpoint: "%[4]s", path_style: true, prefix: field, credentials: {file: credentials}}]
`, dir, g.Bucket, g.Region, endpoint),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "dray.yaml"), dir
}

// dray runs a command line and returns what it printed and its exit code.
func dray(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(t.Context(), args, &out, &errs)
	if errs.Len() > 0 {
		t.Logf("dray %s: %s", strings.Join(args, " "), errs.String())
	}
	return out.String(), code
}

func diagnose(t *testing.T, file string) (engine.Diagnosis, int) {
	t.Helper()
	out, code := dray(t, "doctor", "-c", file, "--json")
	var d engine.Diagnosis
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return d, code
}

func TestDoctorNamesEachActionThatIsDenied(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	p := startRefuser(t, g.Endpoint)
	file, _ := archiveConfig(t, g, p.URL)

	d, code := diagnose(t, file)
	for _, f := range d.Findings {
		if !f.OK {
			t.Errorf("nothing denied: %+v", f)
		}
	}
	if code != exitDone || len(d.Left) > 0 {
		t.Errorf("nothing denied: exit %d, left behind %q", code, d.Left)
	}

	absent := func(r *http.Request) bool {
		return r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "-absent")
	}
	for _, tt := range []struct {
		deny  string
		trial transport.Trial
		lacks string
		code  int
	}{
		{"create", transport.TrialCreate, "s3:PutObject", exitFailed},
		{"part", transport.TrialPart, "s3:PutObject", exitFailed},
		{"complete", transport.TrialComplete, "s3:PutObject", exitFailed},
		{"put", transport.TrialPut, "s3:PutObject", exitFailed},
		{"s3:ListMultipartUploadParts", transport.TrialListParts, "s3:ListMultipartUploadParts", exitDone},
		{"s3:AbortMultipartUpload", transport.TrialAbort, "s3:AbortMultipartUpload", exitDone},
		{"s3:ListBucketMultipartUploads", transport.TrialListUploads, "s3:ListBucketMultipartUploads", exitDone},
		{"s3:GetObject", transport.TrialHead, "s3:GetObject", exitDone},
		{"absent", transport.TrialAbsent, "s3:ListBucket", exitDone},
		{"s3:ListBucket", transport.TrialList, "s3:ListBucket", exitDone},
		{"s3:DeleteObject", transport.TrialRemove, "s3:DeleteObject", exitDone},
	} {
		t.Run(tt.deny, func(t *testing.T) {
			p.deny("Access Denied", func(r *http.Request) bool {
				if tt.deny == "absent" {
					return absent(r)
				}
				return actionOf(r) == tt.deny
			})
			d, code := diagnose(t, file)
			i := slices.IndexFunc(d.Findings, func(f transport.Finding) bool { return f.Trial == tt.trial })
			if i < 0 {
				t.Fatalf("no trial %q in %+v", tt.trial, d.Findings)
			}
			f := d.Findings[i]
			if f.OK || f.NotRun || f.Lacks != tt.lacks || f.Means == "" {
				t.Errorf("got %+v, want it to lack %s and to say what that means", f, tt.lacks)
			}
			if code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			for _, f := range d.Findings {
				if !f.OK && !f.NotRun && f.Trial != tt.trial && f.Lacks != tt.lacks {
					t.Errorf("another fault was found: %+v", f)
				}
			}
		})
	}
	t.Run("what the service names itself", func(t *testing.T) {
		p.deny("User: arn:aws:iam::123456789012:user/x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:x",
			func(r *http.Request) bool { return actionOf(r) == "create" })
		d, _ := diagnose(t, file)
		if got, want := d.Findings[0].Lacks, "kms:GenerateDataKey"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	p.deny("", nil)
	if left := bucketFiles(t, g); len(left) > 2 { // of the runs that could not remove, or not see, theirs
		t.Errorf("left in the bucket: %q", left)
	}
}

// bucketFiles returns the keys in the gateway's bucket.
func bucketFiles(t *testing.T, g *transporttest.Gateway) (keys []string) {
	t.Helper()
	err := filepath.WalkDir(g.BucketDir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(g.BucketDir, path)
		if e.Type().IsRegular() && !strings.HasPrefix(rel, ".") {
			keys = append(keys, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestVerifyAndAuditTellWhatABucketHolds(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	p := startRefuser(t, g.Endpoint)
	file, dir := archiveConfig(t, g, p.URL)
	if out, code := dray(t, "run", "--drain", "-c", file); code != exitDone {
		t.Fatalf("run: exit %d, %s", code, out)
	}
	keys := bucketFiles(t, g)
	slices.Sort(keys)
	if len(keys) < 3 {
		t.Fatalf("objects: %q, want at least three", keys)
	}
	want := func(what string, wantCode int, wants []string, args ...string) {
		t.Helper()
		out, code := dray(t, append(args, "-c", file)...)
		if code != wantCode {
			t.Errorf("%s: dray %s: exit %d, want %d", what, args[0], code, wantCode)
		}
		for _, w := range wants {
			if !strings.Contains(out, w) {
				t.Errorf("%s: dray %s: got\n%s\nwant %q in it", what, args[0], out, w)
			}
		}
	}
	n := len(keys)
	want("whole", exitDone, []string{fmt.Sprintf("%d objects: %d as archived, 0 absent, 0 different", n, n)}, "verify")
	want("whole", exitDone, []string{"gw 17  a  epoch ", ": complete up to 11400"}, "audit", "bucket")
	want("whole", exitDone, []string{`"objects":` + fmt.Sprint(n)}, "audit", "--json")
	want("nothing selected", exitFailed, []string{"0 objects of Dray's"}, "audit", "--device", "other")
	want("nothing since", exitDone, []string{"0 objects: 0 as archived"}, "verify", "--since", "2100-01-01")
	want("no such destination", exitUsage, nil, "audit", "nowhere")
	want("no such time", exitUsage, nil, "verify", "--since", "yesterday")

	p.deny("Access Denied", func(r *http.Request) bool { return actionOf(r) == "s3:GetObject" })
	want("not known", exitFailed, []string{"unknown", fmt.Sprintf("%d not known", n), "s3:GetObject"}, "verify")
	want("not known", exitFailed, nil, "audit")
	p.deny("", nil)

	gone := keys[1]
	if err := os.Remove(filepath.Join(g.BucketDir, gone)); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(gone, "field/")
	want("moved away", exitDone, []string{"absent     bucket  " + name, "1 absent, 0 different"}, "verify")
	want("moved away", exitFailed, nil, "verify", "--strict")
	want("hole", exitFailed, []string{"NOT complete", "hole"}, "audit")

	// Other bytes under a key of ours: another object, copied there by hand.
	b, err := os.ReadFile(filepath.Join(g.BucketDir, keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(g.BucketDir, gone), b[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	want("replaced", exitFailed, []string{"different  bucket  " + name, "size is 100, the receipt says"}, "verify")
	if err := os.WriteFile(filepath.Join(dir, "only.yaml"), only(t, file), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := dray(t, "audit", "-c", filepath.Join(dir, "only.yaml")); code != exitFailed || !strings.Contains(out, "hole") {
		t.Errorf("with nothing but destinations in the config: exit %d, %s", code, out)
	}
}

// only returns nothing but the destinations of a config.
func only(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b[bytes.Index(b, []byte("destinations:")):]
}

func TestUploadsEndsWhatNobodyOwnsAndNothingElse(t *testing.T) {
	g := transporttest.StartGateway(t, transporttest.GatewayOptions{})
	file, _ := archiveConfig(t, g, g.Endpoint)
	if out, code := dray(t, "run", "--drain", "-c", file); code != exitDone {
		t.Fatalf("run: exit %d, %s", code, out)
	}
	keys := bucketFiles(t, g)
	slices.Sort(keys)
	ours := strings.TrimPrefix(keys[0], "field/")
	at := strings.LastIndex(ours, "/") + len("/a-")
	others := ours[:at] + flipped(ours[at]) + ours[at+1:] // of another epoch
	d := loadBucket(t, file)
	ids := map[string]string{}
	for _, key := range []string{ours, others, "field-notes"} {
		id, err := d.Create(t.Context(), transport.Object{Key: key, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		ids[key] = id
	}
	out, code := dray(t, "uploads", "-c", file)
	if code != exitDone || !strings.Contains(out, ids[ours]) || !strings.Contains(out, "nobody") {
		t.Errorf("uploads: exit %d, %s; want %s of nobody", code, out, ids[ours])
	}
	for _, key := range []string{others, "field-notes"} {
		if strings.Contains(out, ids[key]) {
			t.Errorf("uploads: got\n%s\nwithout %s, which is another's", out, key)
		}
	}
	out, code = dray(t, "uploads", "abort", "bucket", "-c", file, "--json")
	if code != exitDone || !strings.Contains(out, `"owner":"nobody","aborted":true`) {
		t.Errorf("uploads abort: exit %d, %s", code, out)
	}
	for key, wantLeft := range map[string]int{ours: 0, others: 1, "field-notes": 1} {
		uploads, _, err := d.Find(t.Context(), key)
		if err != nil || len(uploads) != wantLeft {
			t.Errorf("%s: %d uploads left, %v, want %d", key, len(uploads), err, wantLeft)
		}
	}
	if out, code := dray(t, "uploads", "-c", file); code != exitDone || out != "no unfinished uploads of this device\n" {
		t.Errorf("uploads: exit %d, %q", code, out)
	}
}

// flipped returns another hexadecimal digit.
func flipped(digit byte) string {
	if digit == '0' {
		return "1"
	}
	return "0"
}

func loadBucket(t *testing.T, file string) transport.Destination {
	t.Helper()
	c, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	d := c.Engine.Destinations[0].To
	t.Cleanup(func() {
		if c, ok := d.(transporttest.Closer); ok {
			c.CloseIdle()
		}
	})
	return d
}
