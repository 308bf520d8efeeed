package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
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
)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, 1}
}

// issue writes a certificate for name and its key, and returns the file's names.
func (a *authority) issue(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.next++
	form := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name},
		NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	return certFile, keyFile
}

// write replaces a file in one step, as whoever rotates certificates should.
func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// A peer is what a TLS server saw of one request.
type peer struct {
	resumed bool
	version uint16
	name    string // of the client's certificate, "" without
}

// tlsServer serves over TLS, notes its peers and answers with "ok".
func tlsServer(t *testing.T, c *tls.Config) (url, caFile string, seen func() []peer) {
	t.Helper()
	var mu sync.Mutex
	var peers []peer
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := peer{resumed: r.TLS.DidResume, version: r.TLS.Version}
		if len(r.TLS.PeerCertificates) > 0 {
			p.name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		mu.Lock()
		peers = append(peers, p)
		mu.Unlock()
		_, _ = io.WriteString(w, "ok") // what is missing is missed by the client
	}))
	srv.TLS = c
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	write(t, caFile, pemOf(srv))
	return srv.URL, caFile, func() []peer {
		mu.Lock()
		defer mu.Unlock()
		return append([]peer(nil), peers...)
	}
}

func get(t *testing.T, link *Transport, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := link.RoundTrip(req)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(resp.Body)
	return string(b), errors.Join(err, resp.Body.Close())
}

func opened(t *testing.T, c Config) *Transport {
	t.Helper()
	link, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.CloseIdle)
	return link
}

func TestALaterConnectionResumesTheSession(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			url, ca, seen := tlsServer(t, &tls.Config{MaxVersion: version})
			link := opened(t, Config{CAFile: ca})
			var moved [3]int64
			for i := range moved {
				before := link.Counters().BytesReceived
				for range 5 {
					if got, err := get(t, link, url); got != "ok" || err != nil {
						t.Fatalf("got %q, %v", got, err)
					}
				}
				moved[i] = link.Counters().BytesReceived - before
				link.CloseIdle()
			}
			if got := link.Counters().Connections; got != 3 {
				t.Errorf("15 requests took %d connections, want 3", got)
			}
			for i, p := range seen() {
				if want := i >= 5; p.resumed != want || p.version != version {
					t.Errorf("request %d: resumed %v over %x, want %v over %x", i, p.resumed, p.version, want, version)
				}
			}
			if moved[1] >= moved[0]-300 {
				t.Errorf("received %d bytes with a full handshake, %d with a resumed one", moved[0], moved[1])
			}
		})
	}
}

func TestNothingOlderThanTLS12IsSpoken(t *testing.T) {
	url, ca, _ := tlsServer(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if _, err := get(t, opened(t, Config{CAFile: ca}), url); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("got %v, want a protocol version refused", err)
	}
}

func TestAClientCertificateIsShownAndRotatesWithoutARestart(t *testing.T) {
	ca := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	url, caFile, seen := tlsServer(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})
	dir := t.TempDir()
	certFile, keyFile := ca.issue(t, dir, "first")
	link := opened(t, Config{CAFile: caFile, CertFile: certFile, KeyFile: keyFile})
	step := func(want string) {
		t.Helper()
		if got, err := get(t, link, url); got != "ok" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		if all := seen(); all[len(all)-1].name != want {
			t.Errorf("the server saw %q, want %q", all[len(all)-1].name, want)
		}
	}
	step("first")
	ca.issue(t, dir, "second")
	step("second") // over a new connection, without the old session
	write(t, certFile, []byte("half a cert"))
	step("second") // what cannot be read changes nothing
	ca.issue(t, dir, "third")
	step("third")
}

func TestARefusedCertificateIsForAnOperator(t *testing.T) {
	clients := x509.NewCertPool()
	clients.AddCert(newAuthority(t).cert)
	// Over TLS 1.2, where the server looks at the certificate before the handshake
	// ends: over 1.3 its alert races with the reset of the connection.
	url, caFile, _ := tlsServer(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MaxVersion: tls.VersionTLS12})
	certFile, keyFile := newAuthority(t).issue(t, t.TempDir(), "stranger")
	_, err := get(t, opened(t, Config{CAFile: caFile, CertFile: certFile, KeyFile: keyFile}), url)
	if hint, denied := Denied(err); !denied || !strings.Contains(hint, "cert_file") {
		t.Errorf("stranger: got %q, %v for %v", hint, denied, err)
	}
	_, err = get(t, opened(t, Config{}), url)
	if hint, denied := Denied(err); !denied || !strings.Contains(hint, "ca_file") {
		t.Errorf("unknown server: got %q, %v for %v", hint, denied, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = get(t, opened(t, Config{}), "https://"+nobody)
	if hint, denied := Denied(err); denied {
		t.Errorf("nobody there: denied with %q for %v", hint, err)
	}
}

func TestAServerWithoutTLSIsNamedAsOne(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	client := &http.Client{Transport: opened(t, Config{})}
	reply, err := client.Get("https://" + strings.TrimPrefix(server.URL, "http://"))
	if err == nil {
		_ = reply.Body.Close()
		t.Fatal("a server without TLS was taken for one with it")
	}
	e := &transport.Error{Op: "put", Key: "k", Err: err}
	Unanswered(e, err)
	if e.Kind != transport.Offline || e.Unknown || !strings.Contains(e.Error(), "check scheme and port of endpoint") {
		t.Errorf("got %v, unknown %v, %v", e.Kind, e.Unknown, e)
	}
}

func TestACertificateThatCannotWorkIsRefusedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := newAuthority(t).issue(t, dir, "device")
	_, otherKey := newAuthority(t).issue(t, t.TempDir(), "other")
	empty := filepath.Join(dir, "empty")
	write(t, empty, nil)
	for name, c := range map[string]Config{
		"no key":          {CertFile: certFile},
		"no certificate":  {KeyFile: keyFile},
		"another's key":   {CertFile: certFile, KeyFile: otherKey},
		"absent":          {CertFile: certFile, KeyFile: keyFile + ".absent"},
		"empty":           {CertFile: empty, KeyFile: keyFile},
		"folder":          {CertFile: dir, KeyFile: keyFile},
		"without an end":  {CertFile: "/dev/zero", KeyFile: keyFile},
		"short idle time": {Idle: 1},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
