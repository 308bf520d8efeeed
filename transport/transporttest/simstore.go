package transporttest

import (
	"cmp"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The headers of SSE-C.
const (
	sseAlgorithm = "X-Amz-Server-Side-Encryption-Customer-Algorithm"
	sseKey       = "X-Amz-Server-Side-Encryption-Customer-Key"
	sseMD5       = "X-Amz-Server-Side-Encryption-Customer-Key-Md5"
)

// simHashes are the checksums of S3, by their names in headers.
var simHashes = map[string]func() hash.Hash{
	"Crc32":     func() hash.Hash { return crc32.NewIEEE() },
	"Crc32c":    func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"Crc64nvme": func() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) },
	"Sha1":      sha1.New,
	"Sha256":    sha256.New,
}

// encryption is what objects are encrypted with at rest, save for SSE-C.
type encryption struct{ algorithm, key string }

func encryptionOf(h http.Header) encryption {
	return encryption{h.Get("X-Amz-Server-Side-Encryption"), h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}
}

// encryption is that of an object which r makes: its session's, or what it asks
// for itself; else Amazon's own.
func (s *Simulator) encryption(r *http.Request) encryption {
	e := s.sessions[r.Header.Get("X-Amz-S3session-Token")].encryption
	if !s.directory() {
		e = encryptionOf(r.Header)
	}
	if e.algorithm == "" {
		e.algorithm = "AES256"
	}
	return e
}

// simForm is what an object was begun with.
type simForm struct {
	atRest    encryption
	key       string
	metadata  map[string]string
	customer  string // MD5 of the customer's key; empty: none
	checksum  string // its algorithm, as in simHashes; empty: none
	composite bool
}

type simUpload struct {
	form  simForm
	parts map[int]simPart
}

type simPart struct {
	body []byte
	etag string
	sum  string // base64
}

type simObject struct {
	form simForm
	body []byte
	etag string
	sum  string
}

// do does what was asked for. The lock is held.
func (s *Simulator) do(r *http.Request, c call, body []byte) *CannedReply {
	key := strings.TrimPrefix(r.URL.Path, "/")
	u := s.uploads[c.id]
	if u != nil && u.form.key != key {
		u = nil
	}
	if u == nil && slices.Contains([]string{"part", "complete", "parts", "abort"}, c.op) {
		return s3Error(404, "NoSuchUpload")
	}
	customer, refusal := customerOf(r)
	if refusal != nil {
		return refusal
	}
	if u != nil && c.op != "abort" && u.form.customer != customer {
		return s3Error(400, "InvalidRequest") // the key that it was begun with is wanted
	}
	switch c.op {
	case "session":
		return s.createSession(r)
	case "create":
		return s.create(r, key, customer)
	case "part":
		return u.put(r, c.part, body)
	case "complete":
		return s.complete(r, c.id, u, body)
	case "abort":
		delete(s.uploads, c.id)
		return &CannedReply{Status: 204}
	case "parts":
		return u.list(r, c.id, s.page)
	case "uploads":
		return s.listUploads(r)
	case "objects":
		return s.listObjects(r)
	case "remove":
		delete(s.objects, key)
		return &CannedReply{Status: 204}
	case "put":
		return s.put(r, key, customer, body)
	case "head", "get":
		return s.get(r, key, customer)
	}
	return s3Error(501, "NotImplemented")
}

// customerOf returns the MD5 of the customer's key that a request brings, and
// refuses one whose three headers do not fit together.
func customerOf(r *http.Request) (string, *CannedReply) {
	algorithm, text, sum := r.Header.Get(sseAlgorithm), r.Header.Get(sseKey), r.Header.Get(sseMD5)
	if algorithm == "" && text == "" && sum == "" {
		return "", nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	got := md5.Sum(key)
	if algorithm != "AES256" || err != nil || len(key) != 32 || sum != base64.StdEncoding.EncodeToString(got[:]) {
		return "", s3Error(400, "InvalidArgument")
	}
	return sum, nil
}

// echo says in the reply how the object is encrypted.
func (f *simForm) echo(c *CannedReply) *CannedReply {
	if f.customer != "" {
		c.Header[sseAlgorithm], c.Header[sseMD5] = "AES256", f.customer
		return c
	}
	c.Header["X-Amz-Server-Side-Encryption"] = f.atRest.algorithm
	if f.atRest.key != "" {
		c.Header["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = f.atRest.key
	}
	return c
}

func (s *Simulator) form(r *http.Request, key, customer string) simForm {
	f := simForm{atRest: s.encryption(r), key: key, customer: customer, metadata: map[string]string{}}
	for name, values := range r.Header {
		if n, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-meta-"); ok {
			f.metadata[n] = values[0]
		}
	}
	return f
}

func (s *Simulator) create(r *http.Request, key, customer string) *CannedReply {
	f := s.form(r, key, customer)
	if a := r.Header.Get("X-Amz-Checksum-Algorithm"); a != "" {
		f.checksum = a[:1] + strings.ToLower(a[1:])
		if simHashes[f.checksum] == nil {
			return s3Error(400, "InvalidRequest")
		}
	}
	kind := r.Header.Get("X-Amz-Checksum-Type")
	f.composite = kind == "COMPOSITE" || kind == "" && f.checksum != "Crc64nvme"
	if strings.HasPrefix(f.checksum, "Sha") && !f.composite || f.checksum == "Crc64nvme" && f.composite {
		return s3Error(400, "InvalidRequest")
	}
	id := rand.Text()
	s.uploads[id] = &simUpload{f, map[int]simPart{}}
	return f.echo(xmlReply(200, fmt.Sprintf("<InitiateMultipartUploadResult><Bucket>%s</Bucket><Key>%s</Key><UploadId>%s</UploadId></InitiateMultipartUploadResult>",
		s.Bucket, text(key), id)))
}

func (u *simUpload) put(r *http.Request, n int, body []byte) *CannedReply {
	if n < 1 || n > 10_000 {
		return s3Error(400, "InvalidArgument")
	}
	p := simPart{body: body, etag: `"` + rand.Text() + `"`} // encrypted, or of a directory bucket: no MD5
	if u.form.checksum != "" {
		p.sum = r.Header.Get("X-Amz-Checksum-" + u.form.checksum)
		switch {
		case p.sum == "":
			return s3Error(400, "InvalidRequest")
		case p.sum != u.form.sum(body):
			return s3Error(400, "BadDigest")
		}
	}
	u.parts[n] = p
	reply := &CannedReply{Status: 200, Header: map[string]string{"ETag": p.etag}}
	if p.sum != "" {
		reply.Header["X-Amz-Checksum-"+u.form.checksum] = p.sum
	}
	return u.form.echo(reply)
}

// sum is the checksum of b.
func (f *simForm) sum(b []byte) string {
	h := simHashes[f.checksum]()
	h.Write(b)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// completeRequest is the body of a Complete.
type completeRequest struct {
	Parts []struct {
		PartNumber        int
		ETag              string
		ChecksumCRC32     string
		ChecksumCRC32C    string
		ChecksumCRC64NVME string
		ChecksumSHA1      string
		ChecksumSHA256    string
	} `xml:"Part"`
}

func (s *Simulator) complete(r *http.Request, id string, u *simUpload, body []byte) *CannedReply {
	var asked completeRequest
	if err := xml.Unmarshal(body, &asked); err != nil || len(asked.Parts) == 0 {
		return s3Error(400, "MalformedXML")
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return s3Error(400, "InvalidRequest")
	}
	var all, sums []byte
	for i, p := range asked.Parts {
		have, ok := u.parts[p.PartNumber]
		given := cmp.Or(p.ChecksumCRC32, p.ChecksumCRC32C, p.ChecksumCRC64NVME, p.ChecksumSHA1, p.ChecksumSHA256)
		switch {
		case p.PartNumber != i+1:
			return s3Error(400, "InvalidPartOrder")
		case !ok, strings.Trim(p.ETag, `"`) != strings.Trim(have.etag, `"`), given != have.sum:
			return s3Error(400, "InvalidPart")
		case i < len(asked.Parts)-1 && int64(len(have.body)) < s.minPart:
			return s3Error(400, "EntityTooSmall")
		}
		all = append(all, have.body...)
		raw, _ := base64.StdEncoding.DecodeString(have.sum) // it was made here
		sums = append(sums, raw...)
	}
	o := &simObject{form: u.form, body: all, etag: `"` + rand.Text() + "-" + strconv.Itoa(len(asked.Parts)) + `"`}
	if f := &u.form; f.checksum != "" {
		o.sum = f.sum(all)
		if f.composite {
			o.sum = f.sum(sums) + "-" + strconv.Itoa(len(asked.Parts))
		}
		if given := r.Header.Get("X-Amz-Checksum-" + f.checksum); given != "" && given != o.sum {
			return s3Error(400, "BadDigest")
		}
		if kind := r.Header.Get("X-Amz-Checksum-Type"); kind != "" && (kind == "COMPOSITE") != f.composite {
			return s3Error(400, "BadDigest")
		}
	}
	if size := r.Header.Get("X-Amz-Mp-Object-Size"); size != "" && size != strconv.Itoa(len(all)) {
		return s3Error(400, "InvalidRequest")
	}
	if r.Header.Get("If-None-Match") == "*" && s.objects[u.form.key] != nil {
		return s3Error(412, "PreconditionFailed")
	}
	s.objects[u.form.key] = o
	delete(s.uploads, id)
	tag := strings.ToUpper(u.form.checksum)
	var checksum string
	if tag != "" {
		checksum = fmt.Sprintf("<Checksum%s>%s</Checksum%s><ChecksumType>%s</ChecksumType>", tag, o.sum, tag, o.form.kind())
	}
	return u.form.echo(xmlReply(200, fmt.Sprintf("<CompleteMultipartUploadResult><Location>https://%s/%s</Location><Bucket>%s</Bucket><Key>%s</Key><ETag>%s</ETag>%s</CompleteMultipartUploadResult>",
		s.Host, text(u.form.key), s.Bucket, text(u.form.key), text(o.etag), checksum)))
}

func (f *simForm) kind() string {
	if f.composite {
		return "COMPOSITE"
	}
	return "FULL_OBJECT"
}

func (s *Simulator) put(r *http.Request, key, customer string, body []byte) *CannedReply {
	if r.Header.Get("If-None-Match") == "*" && s.objects[key] != nil {
		return s3Error(412, "PreconditionFailed")
	}
	o := &simObject{form: s.form(r, key, customer), body: body, etag: `"` + rand.Text() + `"`}
	reply := &CannedReply{Status: 200, Header: map[string]string{"ETag": o.etag}}
	for name := range simHashes {
		given := r.Header.Get("X-Amz-Checksum-" + name)
		if given == "" {
			continue
		}
		o.form.checksum, o.sum = name, given
		if o.form.sum(body) != given {
			return s3Error(400, "BadDigest")
		}
		reply.Header["X-Amz-Checksum-"+name], reply.Header["X-Amz-Checksum-Type"] = given, o.form.kind()
	}
	s.objects[key] = o
	return o.form.echo(reply)
}

func (s *Simulator) get(r *http.Request, key, customer string) *CannedReply {
	bare := func(c *CannedReply) *CannedReply {
		if r.Method == http.MethodHead {
			c.Body, c.Header = "", map[string]string{}
		}
		return c
	}
	o := s.objects[key]
	switch {
	case o == nil:
		return bare(s3Error(404, "NoSuchKey"))
	case o.form.customer != "" && customer == "", o.form.customer == "" && customer != "":
		return bare(s3Error(400, "InvalidRequest"))
	case o.form.customer != customer:
		return bare(s3Error(403, "AccessDenied"))
	}
	reply := &CannedReply{Status: 200, Header: map[string]string{"ETag": o.etag, "Content-Length": strconv.Itoa(len(o.body)), "Last-Modified": "Thu, 05 Nov 2026 10:00:00 GMT"}}
	for name, value := range o.form.metadata {
		reply.Header["X-Amz-Meta-"+name] = value
	}
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && o.sum != "" {
		reply.Header["X-Amz-Checksum-"+o.form.checksum], reply.Header["X-Amz-Checksum-Type"] = o.sum, o.form.kind()
	}
	if r.Method == http.MethodGet {
		reply.Body = string(o.body)
	}
	return o.form.echo(reply)
}

// text escapes s for XML.
func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}
