package link

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A pair is a client certificate with its key, read anew when either file
// changes, so that a device's certificate rotates without a restart.
type pair struct {
	certFile, keyFile string

	mu     sync.Mutex
	stamps [2]stamp // of what cert was read from, or last tried
	cert   atomic.Pointer[tls.Certificate]
}

// stamp tells one version of a file from the next.
type stamp struct {
	ino   uint64
	size  int64
	mtime time.Time
}

// newPair reads the files; nil if none are named.
func newPair(certFile, keyFile string) (*pair, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case certFile == "" || keyFile == "":
		return nil, errors.New("a certificate needs its key and a key its certificate; name both files")
	}
	p := &pair{certFile: certFile, keyFile: keyFile}
	if _, err := p.load(); err != nil {
		return nil, err
	}
	return p, nil
}

// load reads the files if they have changed and says whether there is another
// certificate now. One that cannot be read leaves the old one in place: it may be
// half written, and then it changes once more.
func (p *pair) load() (fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	stamps := [2]stamp{stampOf(p.certFile), stampOf(p.keyFile)}
	if stamps == p.stamps && p.cert.Load() != nil {
		return false, nil
	}
	p.stamps = stamps
	certPEM, err := readFile(p.certFile)
	if err != nil {
		return false, err
	}
	keyPEM, err := readFile(p.keyFile)
	if err != nil {
		return false, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return false, fmt.Errorf("%s and %s: %w", p.certFile, p.keyFile, err)
	}
	p.cert.Store(&cert)
	return true, nil
}

// stampOf returns the stamp of a file, zero if it is not there.
func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	s := stamp{size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.ino = st.Ino
	}
	return s
}

// give hands the certificate to a server that asks for one. It is given
// whichever CAs the server names: servers that list too few of them exist, and
// one that does not like it says so.
func (p *pair) give(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.cert.Load(), nil }

// maxPEM bounds files of certificates and keys; the system's CAs have some 200 KiB.
const maxPEM = 4 << 20

// readFile returns the bytes of a regular file. It opens without waiting, so
// that a FIFO in its place holds nobody up.
func readFile(path string) (data []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxPEM {
		return nil, fmt.Errorf("%s is not a regular file of at most %d KiB", path, maxPEM>>10)
	}
	return io.ReadAll(io.LimitReader(f, maxPEM))
}

// refresh has a client certificate that has changed shown from now on. An error
// is for the next time: the old one may still do, and else the server says so.
func (t *Transport) refresh() {
	if t.pair == nil {
		return
	}
	if fresh, err := t.pair.load(); err == nil && fresh {
		t.sessions.forget()
		t.http.CloseIdleConnections()
	}
}

// sessions keeps TLS sessions, so that most handshakes carry no certificates.
// With another client certificate it starts afresh: a session goes on under the
// identity that it began with.
type sessions struct {
	cache atomic.Pointer[tls.ClientSessionCache]
}

func newSessions() *sessions {
	s := &sessions{}
	s.forget()
	return s
}

func (s *sessions) forget() {
	c := tls.NewLRUClientSessionCache(maxIdle)
	s.cache.Store(&c)
}

func (s *sessions) Get(key string) (*tls.ClientSessionState, bool) { return (*s.cache.Load()).Get(key) }

func (s *sessions) Put(key string, state *tls.ClientSessionState) { (*s.cache.Load()).Put(key, state) }
