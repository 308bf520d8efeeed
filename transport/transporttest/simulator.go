package transporttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// SimulatorOptions say what bucket to simulate.
type SimulatorOptions struct {
	Bucket      string        // default "dray-bucket"; with a name such as "dray--use1-az4--x-s3" a directory bucket
	Region      string        // default "us-east-1"
	Owner       string        // account ID; default "123456789012"
	SessionLife time.Duration // of a directory bucket's sessions; default 5 min
	MinPart     int64         // of parts that are not the last; default 5 MiB
	Page        int           // entries of a list at a time; default 1000
}

// A Simulator is one bucket of Amazon S3 in memory, at Amazon's own host names,
// for what no server to install has: SSE-C and directory buckets. It is strict:
// what Amazon refuses, or leaves open, it refuses, with Amazon's error code.
//
//   - Host: "BUCKET.s3.REGION.amazonaws.com", for a directory bucket
//     "BUCKET.s3express-AZ.REGION.amazonaws.com", and no other; TLS only.
//   - Every request is signed right, of the right region and service, at most
//     15 minutes old; a payload hash, if there is one, is that of the body.
//   - A directory bucket wants a session (CreateSession) and its token, until it
//     expires; it refuses RequestPayer, SSE-C, tags and locks, encryption that is
//     not the session's, and lists by prefixes that end in a slash alone.
//   - An object with a customer's key wants the key and its MD5 on every call,
//     and wants the same key each time.
//   - An upload with a checksum wants one of each part, parts numbered from 1
//     without a hole, and a Complete whose size, type and checksums are right.
//
// Reach it through DialContext, or through Tunnel, which is an HTTP proxy.
type Simulator struct {
	Bucket, Region string
	Host           string // of the bucket
	Keys           Keys   // that may do everything
	Tunnel         string // "http://127.0.0.1:40003": an HTTP proxy that leads here, whatever is asked for
	CAFile         string // PEM file with the CA of its certificate
	CAPEM          []byte

	owner       string
	sessionLife time.Duration
	minPart     int64
	page        int
	service     string // in signatures
	addr        string
	dir         string
	server      *http.Server
	tunnel      *http.Server
	serving     sync.WaitGroup
	tunnels     sync.WaitGroup

	mu       sync.Mutex
	sessions map[string]session // by token
	objects  map[string]*simObject
	uploads  map[string]*simUpload
	requests []string
	failed   error
}

type session struct {
	keys       Keys
	expires    time.Time
	encryption encryption // of all that is made in it
}

// StartSimulator starts one that ends with the test.
func StartSimulator(t testing.TB, o SimulatorOptions) *Simulator {
	t.Helper()
	s, err := newSimulator(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("close simulator: %v", err)
		}
	})
	return s
}

func newSimulator(o SimulatorOptions) (_ *Simulator, err error) {
	s := &Simulator{
		Bucket: o.Bucket, Region: o.Region, owner: o.Owner, sessionLife: o.SessionLife, minPart: o.MinPart, page: o.Page,
		Keys:     Keys{"AKIASIMULATOR", rand.Text()},
		sessions: map[string]session{}, objects: map[string]*simObject{}, uploads: map[string]*simUpload{},
	}
	for field, value := range map[*string]string{&s.Bucket: "dray-bucket", &s.Region: "us-east-1", &s.owner: "123456789012"} {
		if *field == "" {
			*field = value
		}
	}
	if s.sessionLife == 0 {
		s.sessionLife = 5 * time.Minute
	}
	if s.page == 0 {
		s.page = 1000
	}
	if s.minPart == 0 {
		s.minPart = 5 << 20
	}
	s.service, s.Host = "s3", s.Bucket+".s3."+s.Region+".amazonaws.com"
	if zone, ok := strings.CutSuffix(s.Bucket, directorySuffix); ok {
		zone = zone[strings.LastIndex(zone, "--")+2:]
		s.service, s.Host = "s3express", s.Bucket+".s3express-"+zone+"."+s.Region+".amazonaws.com"
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start simulator: %w", err), os.RemoveAll(s.dir))
		}
	}()
	if s.dir, err = os.MkdirTemp("", "dray-sim-"); err != nil {
		return nil, err
	}
	files, ca, err := makeCerts(s.dir, s.Host, "s3."+s.Region+".amazonaws.com") // the second for who uses path style, to be told
	if err != nil {
		return nil, err
	}
	s.CAFile, s.CAPEM = files.ca, ca
	cert, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	s.addr, s.Tunnel = l.Addr().String(), "http://"+front.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ErrorLog: discard}
	s.tunnel = &http.Server{Handler: http.HandlerFunc(s.connect), ErrorLog: discard}
	s.serving.Go(func() {
		s.ended(s.server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})))
	})
	s.serving.Go(func() { s.ended(s.tunnel.Serve(front)) })
	return s, nil
}

// directorySuffix ends the name of a directory bucket.
const directorySuffix = "--x-s3"

func (s *Simulator) directory() bool { return strings.HasSuffix(s.Bucket, directorySuffix) }

func (s *Simulator) ended(err error) {
	if errors.Is(err, http.ErrServerClosed) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

func (s *Simulator) close() error {
	err := errors.Join(s.server.Close(), s.tunnel.Close())
	s.serving.Wait()
	s.tunnels.Wait()
	return errors.Join(err, s.failed, os.RemoveAll(s.dir))
}

// DialContext connects to the simulator, whatever address is asked for.
func (s *Simulator) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, s.addr)
}

// connect serves CONNECT.
func (s *Simulator) connect(w http.ResponseWriter, r *http.Request) {
	s.tunnels.Add(1)
	defer s.tunnels.Done()
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	inner, err := s.DialContext(r.Context(), "tcp", "")
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer inner.Close()
	outer, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer outer.Close()
	if _, err := io.WriteString(outer, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	// Either end that goes takes the other with it.
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(inner, outer); _ = inner.Close() })
	both.Go(func() { _, _ = io.Copy(outer, inner); _ = outer.Close() })
	both.Wait()
}

// Requests returns the calls that were let in, by name, in order: those of Ops,
// "session", "get", "objects" and "remove".
func (s *Simulator) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Object returns the bytes and metadata of an object, nil if there is none.
func (s *Simulator) Object(key string) ([]byte, map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.objects[key]
	if o == nil {
		return nil, nil
	}
	return o.body, o.form.metadata
}

// Uploads returns how many uploads are unfinished.
func (s *Simulator) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// ExpireSessions makes all sessions ones of the past.
func (s *Simulator) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, v := range s.sessions {
		v.expires = time.Time{}
		s.sessions[token] = v
	}
}

// maxSimBody bounds what the simulator takes into memory at once.
const maxSimBody = 64 << 20

// serve lets a request in, or says why not.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSimBody+1))
	if err != nil {
		hangUp()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := callOf(r)
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Has("session"):
		c.op = "session"
	case r.Method == http.MethodGet && c.op == "" && r.URL.Path == "/":
		c.op = "objects"
	case r.Method == http.MethodGet && c.op == "":
		c.op = "get"
	case r.Method == http.MethodDelete && c.op == "":
		c.op = "remove"
	}
	reply := s.admit(r, c, body)
	if reply == nil {
		s.requests = append(s.requests, c.op)
		reply = s.do(r, c, body)
	}
	reply.write(w)
}

// admit checks what every request has to have; nil: it may come in.
func (s *Simulator) admit(r *http.Request, c call, body []byte) *CannedReply {
	sig, err := parseSignature(r)
	at, timeErr := signedAt(r)
	age := time.Since(at)
	hash := r.Header.Get("X-Amz-Content-Sha256")
	sum := sha256.Sum256(body)
	switch {
	case len(body) > maxSimBody:
		return s3Error(400, "EntityTooLarge")
	case r.Host != s.Host:
		return s3Error(400, "InvalidURI")
	case err != nil || timeErr != nil:
		return s3Error(403, "AccessDenied")
	case age > 15*time.Minute || age < -15*time.Minute:
		return s3Error(403, "RequestTimeTooSkewed")
	case sig.region != s.Region || sig.service != s.service:
		return s3Error(400, "AuthorizationHeaderMalformed")
	case hash != "UNSIGNED-PAYLOAD" && hash != hex.EncodeToString(sum[:]):
		return s3Error(400, "XAmzContentSHA256Mismatch")
	case r.Header.Get("Content-Encoding") == "aws-chunked":
		return s3Error(501, "NotImplemented")
	}
	for name := range r.Header { // what is not signed may have been changed on the way
		if n := strings.ToLower(name); strings.HasPrefix(n, "x-amz-") && !slices.Contains(sig.headers, n) {
			return s3Error(403, "AccessDenied")
		}
	}
	keys := s.Keys
	if s.directory() && c.op != "session" {
		in, ok := s.sessions[r.Header.Get("X-Amz-S3session-Token")]
		switch {
		case !ok:
			return s3Error(403, "AccessDenied")
		case time.Now().After(in.expires):
			return s3Error(400, "ExpiredToken")
		}
		keys = in.keys
	}
	switch {
	case sig.accessKey != keys.AccessKeyID:
		return s3Error(403, "InvalidAccessKeyId")
	case !sig.right(r, keys.SecretAccessKey):
		return s3Error(403, "SignatureDoesNotMatch")
	}
	if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != s.owner {
		return s3Error(403, "AccessDenied")
	}
	if s.directory() {
		for _, name := range []string{"X-Amz-Request-Payer", sseAlgorithm, sseKey, sseMD5, "X-Amz-Tagging", "X-Amz-Object-Lock-Mode", "X-Amz-Object-Lock-Legal-Hold", "X-Amz-Acl"} {
			if r.Header.Get(name) != "" {
				return s3Error(501, "NotImplemented")
			}
		}
		if asked := encryptionOf(r.Header); c.op != "session" && asked != (encryption{}) && asked != s.encryption(r) {
			return s3Error(400, "InvalidRequest")
		}
	}
	return nil
}

// createSession gives temporary keys for the directory bucket.
func (s *Simulator) createSession(r *http.Request) *CannedReply {
	in := session{Keys{"ASIA" + rand.Text()[:16], rand.Text()}, time.Now().Add(s.sessionLife), encryptionOf(r.Header)}
	token := rand.Text()
	s.sessions[token] = in
	return xmlReply(200, fmt.Sprintf("<CreateSessionResult><Credentials><SessionToken>%s</SessionToken><SecretAccessKey>%s</SecretAccessKey>"+
		"<AccessKeyId>%s</AccessKeyId><Expiration>%s</Expiration></Credentials></CreateSessionResult>",
		token, in.keys.SecretAccessKey, in.keys.AccessKeyID, in.expires.UTC().Format(time.RFC3339)))
}

func xmlReply(status int, body string) *CannedReply {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + body)
	return &CannedReply{Status: status, Header: map[string]string{"Content-Type": "application/xml"}, Body: b.String()}
}
