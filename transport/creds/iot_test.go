package creds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// An iotServer is a credentials provider on loopback that lets in only who shows
// a certificate of its CA. Like Amazon's it wants SNI and knows one role alias.
type iotServer struct {
	endpoint, caFile, certFile, keyFile string

	srv     *httptest.Server
	mu      sync.Mutex
	answer  http.HandlerFunc // nil: keys that last an hour
	asked   int
	given   int    // keys
	problem string // what was wrong with a request
}

func startIoT(t *testing.T) *iotServer {
	t.Helper()
	s := &iotServer{}
	dir := t.TempDir()
	ca := makeCert(t, nil, "test CA")
	server, device := makeCert(t, ca, "localhost"), makeCert(t, ca, "thing-17")
	s.caFile, s.certFile, s.keyFile = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	written(t, s.caFile, ca.certPEM, 0o600)
	written(t, s.certFile, device.certPEM, 0o600)
	written(t, s.keyFile, device.keyPEM, 0o600)
	pair, err := tls.X509KeyPair([]byte(server.certPEM), []byte(server.keyPEM))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	s.srv = httptest.NewUnstartedServer(s)
	s.srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	s.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.srv.StartTLS()
	t.Cleanup(s.srv.Close)
	_, port, err := net.SplitHostPort(s.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s.endpoint = "localhost:" + port
	return s
}

func (s *iotServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	got := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.Header.Get("X-Amzn-Iot-Thingname"), r.TLS.ServerName, r.TLS.PeerCertificates[0].Subject.CommonName}, " ")
	if want := "GET /role-aliases/dray=archive/credentials thing-17 localhost thing-17"; got != want {
		s.problem = fmt.Sprintf("got %q, want %q", got, want)
	}
	if s.answer != nil {
		s.answer(w, r)
		return
	}
	s.give(w, time.Now(), time.Hour)
}

// give answers with keys, at a time by the server's clock.
func (s *iotServer) give(w http.ResponseWriter, now time.Time, life time.Duration) {
	s.given++
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	fmt.Fprintf(w, `{"credentials":{"accessKeyId":"id%d","secretAccessKey":"hush","sessionToken":"hush-token","expiration":"%s"}}`,
		s.given, now.Add(life).UTC().Format(time.RFC3339))
}

// set changes how s answers.
func (s *iotServer) set(answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// device returns the issuer of a device that shows the certificate in two files.
func (s *iotServer) device(t *testing.T, certFile, keyFile string) *IoT {
	t.Helper()
	wire, err := link.New(link.Config{CAFile: s.caFile, CertFile: certFile, KeyFile: keyFile, MaxReply: MaxIoTReply, Stall: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.CloseIdle)
	i, err := NewIoT(IoTConfig{Endpoint: s.endpoint, RoleAlias: "dray=archive", ThingName: "thing-17", HTTP: wire})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

type testCert struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM string
}

// makeCert makes a certificate by ca, or a CA if that is nil.
func makeCert(t *testing.T, ca *testCert, name string) *testCert {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	by := &testCert{cert: form, key: key}
	if ca != nil {
		by = ca
	} else {
		form.IsCA, form.KeyUsage, form.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	}
	der, err := x509.CreateCertificate(rand.Reader, form, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &testCert{cert, key,
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))}
}

func TestADeviceGetsKeysForItsCertificate(t *testing.T) {
	s := startIoT(t)
	i := s.device(t, s.certFile, s.keyFile)
	keys, err := i.Issue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keys.AccessKeyID != "id1" || keys.SecretAccessKey.Reveal() != "hush" || keys.SessionToken.Reveal() != "hush-token" || keys.Life != time.Hour {
		t.Errorf("got %s for %v", keys.AccessKeyID, keys.Life)
	}
	if s.problem != "" {
		t.Error(s.problem)
	}
	if got := i.String(); got != "role alias dray=archive at localhost" {
		t.Errorf("its name is %q", got)
	}
}

func TestALifeIsCountedByTheServersClock(t *testing.T) {
	s := startIoT(t)
	i := s.device(t, s.certFile, s.keyFile)
	for _, off := range []time.Duration{-50 * 365 * 24 * time.Hour, 0, 1000 * time.Hour} {
		s.set(func(w http.ResponseWriter, _ *http.Request) { s.give(w, time.Now().Add(off), 12*time.Hour) })
		if keys, err := i.Issue(t.Context()); err != nil || keys.Life != 12*time.Hour {
			t.Errorf("clocks differ by %v: got a life of %v, %v", off, keys.Life, err)
		}
	}
}

func TestARepeatedRequestCostsNoFullHandshake(t *testing.T) {
	s := startIoT(t)
	p := NewProvider(s.device(t, s.certFile, s.keyFile))
	for n := 1; n <= 3; n++ {
		expect(t, p, fmt.Sprintf("id%d", n))
		p.Refused(fmt.Sprintf("id%d", n), true)
	}
	if got := p.issuer.(*IoT).c.HTTP.Counters().Connections; got != 1 {
		t.Errorf("%d connections for 3 requests, want 1", got)
	}
}

func TestWhatTheCredentialsEndpointRefusesIsSaid(t *testing.T) {
	s := startIoT(t)
	i := s.device(t, s.certFile, s.keyFile)
	text := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text) // what is missing is missed by the client
		}
	}
	keys := func(id, secret, token, end string) http.HandlerFunc {
		return text(200, fmt.Sprintf(`{"credentials":{"accessKeyId":%q,"secretAccessKey":%q,"sessionToken":%q,"expiration":%q}}`, id, secret, token, end))
	}
	far := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   transport.Kind
		want   string
	}{
		{"revoked", text(403, `{"message":"Access Denied"}`), transport.Denied, "status 403: Access Denied; check that the certificate is active"},
		{"no alias", text(404, `{"message":"Role alias does not exist"}`), transport.Denied, "status 404: Role alias does not exist; check endpoint, role_alias"},
		{"bad request", text(400, `{"message":"Invalid thing name passed"}`), transport.Denied, "status 400: Invalid thing name passed"},
		{"throttled", text(429, ""), transport.Throttled, "status 429"},
		{"overloaded", text(503, "<html>"), transport.Throttled, "status 503"},
		{"failed", text(500, strings.Repeat("x", 1000)), transport.Temporary, "status 500"},
		{"elsewhere", text(302, ""), transport.Temporary, "status 302"},
		{"control characters", text(403, `{"message":"a\u001b[31m\nb"}`), transport.Denied, "a?[31m?b"},
		{"nothing", text(200, ""), transport.Temporary, "its reply makes no sense"},
		{"HTML", text(200, "<html>hush"), transport.Temporary, "its reply makes no sense"},
		{"other JSON", text(200, `{"token":"hush"}`), transport.Temporary, "lacks a session token"},
		{"no end", keys("id", "hush", "hush", ""), transport.Temporary, "lacks a session token or a time of expiry"},
		{"wrong end", keys("id", "hush", "hush", "hush"), transport.Temporary, "time of expiry is not of the form"},
		{"ended", keys("id", "hush", "hush", "2001-01-01T00:00:00Z"), transport.Temporary, "already expired"},
		{"no secret", keys("id", "", "hush", far), transport.Temporary, "no access key ID and secret"},
		{"injection", keys("id\r\nx: y", "hush", "hush", far), transport.Temporary, "the access key ID is not one"},
		{"huge", text(200, `{"credentials":"`+strings.Repeat("hush", MaxIoTReply)+`"}`), transport.Offline, "longer than 65536 bytes"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, `{"credentials":{"secretAccessKey":"hush`) // cut short on purpose
		}, transport.Offline, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.set(c.answer)
			_, err := i.Issue(t.Context())
			if err == nil || transport.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("got %v (%v), want %v %q", err, transport.KindOf(err), c.kind, c.want)
			}
		})
	}
	s.set(text(429, ""))
	_, err := i.Issue(t.Context())
	if e, ok := err.(*transport.Error); !ok || e.RetryAfter != 7*time.Second {
		t.Errorf("got %v, want a wait of 7 s", err)
	}
}

func TestWithoutARouteTheDeviceIsOfflineAndNotDenied(t *testing.T) {
	s := startIoT(t)
	i := s.device(t, s.certFile, s.keyFile)
	s.srv.Close()
	if _, err := i.Issue(t.Context()); transport.KindOf(err) != transport.Offline {
		t.Errorf("got %v (%v), want offline", err, transport.KindOf(err))
	}
}

func TestAnotherServersCertificateIsDenied(t *testing.T) {
	s, other := startIoT(t), startIoT(t)
	i := s.device(t, s.certFile, s.keyFile)
	i.url = strings.Replace(i.url, s.endpoint, other.endpoint, 1)
	_, err := i.Issue(t.Context())
	if transport.KindOf(err) != transport.Denied || !strings.Contains(err.Error(), "check ca_file") || other.asked != 0 {
		t.Errorf("got %v, want denied before anything is asked", err)
	}
}

// The story of one device, with the clock moved by hand: the server, its
// certificates and the connections are real.
func TestADeviceRunsOnOldKeysUntilTheyEndAndRecoversByItself(t *testing.T) {
	s := startIoT(t)
	p := NewProvider(s.device(t, s.certFile, s.keyFile))
	now := time.Now()
	p.now = func() time.Time { return now }
	online := http.HandlerFunc(nil)
	offline := func(w http.ResponseWriter, _ *http.Request) {
		panic(http.ErrAbortHandler) // breaks the connection
	}
	revoked := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"message":"Access Denied"}`) // what is missing is missed by the client
	}
	for _, step := range []struct {
		name   string
		later  time.Duration
		answer http.HandlerFunc
		want   string
	}{
		{"issued", 0, online, "id1"},
		{"kept", 40 * time.Minute, offline, "id1"},
		{"renewed", 10 * time.Minute, online, "id2"},
		{"offline, old keys good", 55 * time.Minute, offline, "id2"},
		{"offline, old keys ended", 10 * time.Minute, offline, "offline"},
		{"back", 0, online, "id3"},
		{"revoked, old keys good", 50 * time.Minute, revoked, "id3"},
		{"revoked, old keys ended", 10 * time.Minute, revoked, "denied"},
		{"active again", time.Hour, online, "id4"},
	} {
		now = now.Add(step.later)
		s.set(step.answer)
		if got := id(t, p); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
	if s.problem != "" {
		t.Error(s.problem)
	}
}

func TestADevicesCertificateRotatesWithoutARestart(t *testing.T) {
	s := startIoT(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	stranger := makeCert(t, nil, "stranger")
	written(t, certFile, stranger.certPEM, 0o600)
	written(t, keyFile, stranger.keyPEM, 0o600)
	i := s.device(t, certFile, keyFile)
	if _, err := i.Issue(t.Context()); err == nil || s.asked != 0 {
		t.Errorf("a stranger: got %v", err)
	}
	for _, f := range [][2]string{{s.certFile, certFile}, {s.keyFile, keyFile}} {
		text, err := os.ReadFile(f[0])
		if err != nil {
			t.Fatal(err)
		}
		written(t, f[1], string(text), 0o600)
	}
	if keys, err := i.Issue(t.Context()); err != nil || keys.AccessKeyID != "id1" {
		t.Errorf("with its own certificate: got %s, %v", keys.AccessKeyID, err)
	}
}

func TestAnIoTConfigThatCannotWorkIsRefused(t *testing.T) {
	wire, err := link.New(link.Config{})
	if err != nil {
		t.Fatal(err)
	}
	good := IoTConfig{Endpoint: "c1.credentials.iot.eu-west-1.amazonaws.com", RoleAlias: "a", ThingName: "t", HTTP: wire}
	if _, err := NewIoT(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*IoTConfig){
		"endpoint":   func(c *IoTConfig) { c.Endpoint = "https://me:hush@h" },
		"role_alias": func(c *IoTConfig) { c.RoleAlias = "../x" },
		"thing_name": func(c *IoTConfig) { c.ThingName = "a\r\nb" },
		"wire":       func(c *IoTConfig) { c.HTTP = nil },
	} {
		c := good
		change(&c)
		if _, err := NewIoT(c); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
