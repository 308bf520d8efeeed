package transporttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// ask sends a request of the test's own making to a vault, signed right unless
// spoil changes it after that.
func ask(t *testing.T, v *Vault, method, path string, header map[string]string, body []byte, spoil func(*http.Request)) (status int, code string, reply http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, v.Endpoint+"/-/vaults/"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI() // as the server will see it
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	r.Header.Set("X-Amz-Date", time.Now().UTC().Format(sigTime))
	for name, value := range header {
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	s := signature{accessKey: v.Keys.AccessKeyID, date: time.Now().UTC().Format("20060102"), region: v.Region, service: "glacier", headers: []string{"host"}}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") {
			s.headers = append(s.headers, n)
		}
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s/%s/glacier/aws4_request, SignedHeaders=%s, Signature=%s", sigAlgorithm,
		s.accessKey, s.date, s.region, strings.Join(s.headers, ";"), s.of(r, v.Keys.SecretAccessKey)))
	if spoil != nil {
		spoil(r)
	}
	r.RequestURI = ""
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all is read
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Code, Message, Type string }
	if resp.StatusCode >= 400 {
		if err := json.Unmarshal(b, &said); err != nil || said.Message == "" || said.Type == "" {
			t.Errorf("%s %s: an error of %q", method, path, b)
		}
	}
	return resp.StatusCode, said.Code, resp.Header
}

func TestAVaultRefusesWhatGlacierRefuses(t *testing.T) {
	v := StartVault(t, VaultOptions{})
	const wrong, missing = "InvalidParameterValueException", "MissingParameterValueException"
	part := Bytes(1, 5)
	tree := hex.EncodeToString(func() []byte { s := sha256.Sum256(part); return s[:] }())
	uploads := v.Name + "/multipart-uploads"
	begin := func() string {
		t.Helper()
		status, code, h := ask(t, v, "POST", uploads, map[string]string{"X-Amz-Part-Size": "1048576", "X-Amz-Archive-Description": "d"}, nil, nil)
		if status != 201 || h.Get("X-Amz-Multipart-Upload-Id") == "" || !strings.HasSuffix(h.Get("Location"), h.Get("X-Amz-Multipart-Upload-Id")) {
			t.Fatalf("create: %d %s %v", status, code, h)
		}
		return h.Get("X-Amz-Multipart-Upload-Id")
	}
	id := begin()
	whole := map[string]string{"Content-Range": "bytes 0-4/*", "X-Amz-Sha256-Tree-Hash": tree}
	end := map[string]string{"X-Amz-Archive-Size": "5", "X-Amz-Sha256-Tree-Hash": tree}
	with := func(h map[string]string, name, value string) map[string]string {
		c := map[string]string{name: value}
		for n, v := range h {
			if n != name {
				c[n] = v
			}
		}
		return c
	}
	for _, tt := range []struct {
		name, method, path string
		header             map[string]string
		body               []byte
		spoil              func(*http.Request)
		status             int
		code               string
	}{
		{"no part size", "POST", uploads, nil, nil, nil, 400, missing},
		{"parts of 3 MiB", "POST", uploads, map[string]string{"X-Amz-Part-Size": "3145728"}, nil, nil, 400, wrong},
		{"parts of 8 GiB", "POST", uploads, map[string]string{"X-Amz-Part-Size": "8589934592"}, nil, nil, 400, wrong},
		{"a long description", "POST", uploads, map[string]string{"X-Amz-Part-Size": "1048576", "X-Amz-Archive-Description": strings.Repeat("d", 1025)}, nil, nil, 400, wrong},
		{"a description in UTF-8", "POST", uploads, map[string]string{"X-Amz-Part-Size": "1048576", "X-Amz-Archive-Description": "ü"}, nil, nil, 400, wrong},
		{"no version", "POST", uploads, map[string]string{"X-Amz-Part-Size": "1048576", "X-Amz-Glacier-Version": ""}, nil, nil, 400, missing},
		{"another vault", "POST", "other/multipart-uploads", map[string]string{"X-Amz-Part-Size": "1048576"}, nil, nil, 404, "ResourceNotFoundException"},
		{"another call", "PATCH", uploads, nil, nil, nil, 404, "UnknownOperationException"},
		{"not signed", "GET", uploads, nil, nil, func(r *http.Request) { r.Header.Del("Authorization") }, 403, "MissingAuthenticationTokenException"},
		{"changed on its way", "GET", uploads, nil, nil, func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) }, 403, "InvalidSignatureException"},
		{"an hour old", "GET", uploads, map[string]string{"X-Amz-Date": time.Now().Add(-time.Hour).UTC().Format(sigTime)}, nil, nil, 403, "InvalidSignatureException"},
		{"another key", "GET", uploads, nil, nil, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), v.Keys.AccessKeyID, "AKIAOTHER", 1))
		}, 403, "UnrecognizedClientException"},
		{"a header that is not signed", "GET", uploads, nil, nil, func(r *http.Request) { r.Header.Set("X-Amz-Part-Size", "1") }, 403, "InvalidSignatureException"},
		{"a part of no upload", "PUT", uploads + "/none", whole, part, nil, 404, "ResourceNotFoundException"},
		{"a part without its tree hash", "PUT", uploads + "/" + id, with(whole, "X-Amz-Sha256-Tree-Hash", ""), part, nil, 400, missing},
		{"a part without its range", "PUT", uploads + "/" + id, with(whole, "Content-Range", ""), part, nil, 400, missing},
		{"a part without its hash", "PUT", uploads + "/" + id, with(whole, "X-Amz-Content-Sha256", ""), part, nil, 403, "InvalidSignatureException"},
		{"a part with another tree hash", "PUT", uploads + "/" + id, with(whole, "X-Amz-Sha256-Tree-Hash", strings.Repeat("0", 64)), part, nil, 400, wrong},
		{"a part with another hash", "PUT", uploads + "/" + id, with(whole, "X-Amz-Content-Sha256", strings.Repeat("0", 64)), part, nil, 400, wrong},
		{"a part that is not aligned", "PUT", uploads + "/" + id, with(whole, "Content-Range", "bytes 1-5/*"), part, nil, 400, wrong},
		{"a part beyond its size", "PUT", uploads + "/" + id, with(whole, "Content-Range", "bytes 0-1048576/*"), part, nil, 400, wrong},
		{"a part of another length", "PUT", uploads + "/" + id, with(whole, "Content-Range", "bytes 0-5/*"), part, nil, 400, wrong},
		{"part 10,001", "PUT", uploads + "/" + id, with(whole, "Content-Range", "bytes 10485760000-10485760004/*"), part, nil, 400, wrong},
		{"the end without a part", "POST", uploads + "/" + id, end, nil, nil, 400, wrong},
		{"the end of no upload", "POST", uploads + "/none", end, nil, nil, 404, "ResourceNotFoundException"},
		{"the end without a size", "POST", uploads + "/" + id, with(end, "X-Amz-Archive-Size", ""), nil, nil, 400, missing},
		{"the end without a tree hash", "POST", uploads + "/" + id, with(end, "X-Amz-Sha256-Tree-Hash", ""), nil, nil, 400, missing},
		{"an abort of no upload", "DELETE", uploads + "/none", nil, nil, nil, 404, "ResourceNotFoundException"},
		{"the parts of no upload", "GET", uploads + "/none", nil, nil, nil, 404, "ResourceNotFoundException"},
		{"a list of 2,000", "GET", uploads + "?limit=2000", nil, nil, nil, 400, wrong},
		{"a job without a type", "POST", v.Name + "/jobs", nil, []byte("{}"), nil, 400, missing},
		{"a job of no known kind", "POST", v.Name + "/jobs", nil, []byte(`{"Type":"archive-retrieval"}`), nil, 400, wrong},
		{"an inventory of nothing", "POST", v.Name + "/jobs", nil, []byte(`{"Type":"inventory-retrieval","Format":"JSON"}`), nil, 404, "ResourceNotFoundException"},
	} {
		if status, code, _ := ask(t, v, tt.method, tt.path, tt.header, tt.body, tt.spoil); status != tt.status || code != tt.code {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, code, tt.status, tt.code)
		}
	}
	// What is right is taken, the last upload of a range counts, and the end can be
	// repeated for a while, with the same size and hash.
	if status, code, h := ask(t, v, "PUT", uploads+"/"+id, whole, part, nil); status != 204 || h.Get("X-Amz-Sha256-Tree-Hash") != tree {
		t.Fatalf("part: %d %s", status, code)
	}
	for _, change := range []map[string]string{with(end, "X-Amz-Archive-Size", "6"), with(end, "X-Amz-Sha256-Tree-Hash", strings.Repeat("0", 64))} {
		if status, code, _ := ask(t, v, "POST", uploads+"/"+id, change, nil, nil); status != 400 || code != wrong {
			t.Errorf("a wrong end: %d %s", status, code)
		}
	}
	var ids []string
	for range 2 {
		status, _, h := ask(t, v, "POST", uploads+"/"+id, end, nil, nil)
		if status != 201 || h.Get("X-Amz-Archive-Id") == "" || !strings.HasSuffix(h.Get("Location"), "/archives/"+h.Get("X-Amz-Archive-Id")) {
			t.Errorf("the end: %d %v", status, h)
		}
		ids = append(ids, h.Get("X-Amz-Archive-Id"))
	}
	if ids[0] != ids[1] || len(v.Archives()) != 1 {
		t.Errorf("archives %q", ids)
	}
	if status, code, _ := ask(t, v, "DELETE", uploads+"/"+id, nil, nil, nil); status != 400 || code != wrong {
		t.Errorf("abort of what was completed: %d %s", status, code)
	}
	v.Advance(2 * time.Hour)
	if status, _, _ := ask(t, v, "POST", uploads+"/"+id, end, nil, nil); status != 404 {
		t.Errorf("the end after the short period: %d", status)
	}
	idle := begin()
	v.Advance(25 * time.Hour)
	if status, _, _ := ask(t, v, "GET", uploads+"/"+idle, nil, nil, nil); status != 404 {
		t.Errorf("an upload that idled for 25 hours: %d", status)
	}
}
