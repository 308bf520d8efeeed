package transporttest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// GatewayOptions say what S3 server to start. The zero value is plain http on
// a folder that goes with the server.
type GatewayOptions struct {
	TLS           bool   // https, with a CA made for this server; see Gateway.CAFile
	Dir           string // folder of buckets and metadata that outlives the server; default: one that does not
	Listen        string // address, to come back where an earlier server was; default: a free port on loopback
	IntegrityETag bool   // ETags that are not MD5
	SmallParts    bool   // take parts of any size, where S3 wants at least 5 MiB
}

// A Gateway is a running S3 server (versitygw, posix backend): a child process
// that ends with this one, however this one ends.
type Gateway struct {
	Endpoint        string // "http://127.0.0.1:40001"
	Addr            string // "127.0.0.1:40001"
	Region          string
	Bucket          string // exists, empty unless Dir was given
	AccessKeyID     string
	SecretAccessKey string
	CAFile          string // PEM file with the CA of an https server; empty for http
	CAPEM           []byte // what is in CAFile
	BucketDir       string // where the bucket's objects are plain files

	cmd    *exec.Cmd
	stdin  io.Closer     // its end ends the child
	output *bytes.Buffer // may be read once exited is closed
	exited chan struct{} // closed once the child is gone
	dir    string        // made here, to be removed; empty if the caller's
	tmp    string        // certificates
}

const readyWithin = 30 * time.Second // on a loaded machine; 50 ms on an idle one

// StartGateway is NewGateway for a test: it fails the test on an error and
// closes the server when the test ends.
func StartGateway(t testing.TB, o GatewayOptions) *Gateway {
	t.Helper()
	g, err := NewGateway(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// NewGateway builds the server if this checkout has not built it yet (minutes
// the first time, nothing after), starts it and waits until it is ready. The
// caller must Close it. The working folder must be inside the repository.
func NewGateway(o GatewayOptions) (*Gateway, error) {
	build := gatewayProgram
	if o.SmallParts {
		build = smallPartsProgram
	}
	program, err := build()
	if err != nil {
		return nil, fmt.Errorf("start S3 server: %w", err)
	}
	// Another process can take the free port between its choice and its use.
	for try := 0; ; try++ {
		g, err := startGateway(program, o)
		if err == nil {
			return g, nil
		}
		if o.Listen != "" || try == 4 {
			return nil, fmt.Errorf("start S3 server: %w", err)
		}
	}
}

func startGateway(program string, o GatewayOptions) (_ *Gateway, err error) {
	g := &Gateway{
		Region:          "us-east-1",
		Bucket:          "dray",
		AccessKeyID:     "dray-test",
		SecretAccessKey: "dray-test-secret", // always: clients live on when a server comes back
		Addr:            o.Listen,
		output:          new(bytes.Buffer),
		exited:          make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.removeFolders())
		}
	}()
	if g.Addr == "" {
		if g.Addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	dir := o.Dir
	if dir == "" {
		if g.dir, err = os.MkdirTemp("", "dray-s3-"); err != nil {
			return nil, err
		}
		dir = g.dir
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	g.BucketDir = filepath.Join(dir, "data", g.Bucket)
	// The token in its name tells this server from one that got the port first.
	health := "/healthz-" + rand.Text()
	args := []string{"-listen", g.Addr, "-dir", dir, "-bucket", g.Bucket, "-region", g.Region, "-health", health,
		fmt.Sprintf("-integrity-etag=%t", o.IntegrityETag), fmt.Sprintf("-remove=%t", o.Dir == "")}
	g.Endpoint = "http://" + g.Addr
	if o.TLS {
		g.Endpoint = "https://" + g.Addr
		if g.tmp, err = os.MkdirTemp("", "dray-tls-"); err != nil {
			return nil, err
		}
		var cert certFiles
		if cert, g.CAPEM, err = makeCerts(g.tmp); err != nil {
			return nil, err
		}
		g.CAFile = cert.ca
		args = append(args, "-cert", cert.cert, "-key", cert.key)
	}
	g.cmd = exec.Command(program, args...)
	g.cmd.Env = append(os.Environ(), "S3SERVER_ACCESS_KEY="+g.AccessKeyID, "S3SERVER_SECRET_KEY="+g.SecretAccessKey)
	g.cmd.Stdout, g.cmd.Stderr = g.output, g.output
	if g.stdin, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(g.exited)
		_ = g.cmd.Wait() // what it says of its end is in output
	}()
	if err := g.waitReady(g.Endpoint + health); err != nil {
		g.stop()
		return nil, fmt.Errorf("%w; the server said: %q", err, g.output.String())
	}
	return g, nil
}

// waitReady asks for url until it answers 200.
func (g *Gateway) waitReady(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: g.TLSConfig(), DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %s", resp.Status)
		}
		select {
		case <-g.exited:
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("not ready within %v: %w", readyWithin, err)
		case <-tick.C:
		}
	}
}

// TLSConfig trusts the server's CA; nil for http.
func (g *Gateway) TLSConfig() *tls.Config {
	if g.CAPEM == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.CAPEM)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// Kill ends the server as a crash would and waits until it is gone. Close
// must still be called.
func (g *Gateway) Kill() error {
	err := g.cmd.Process.Kill()
	<-g.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Close ends the server, waits until it is gone and removes what was made for it.
func (g *Gateway) Close() error {
	g.stop()
	return g.removeFolders()
}

// stop asks the child to end and kills it if it does not.
func (g *Gateway) stop() {
	_ = g.stdin.Close() // it fails only when Wait has closed the pipe: then the child is gone
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case <-g.exited:
	case <-limit.C:
		_ = g.cmd.Process.Kill() // it fails only when the child is gone
		<-g.exited
	}
}

func (g *Gateway) removeFolders() error {
	var err error
	for _, d := range []string{g.dir, g.tmp} {
		if d != "" {
			err = errors.Join(err, os.RemoveAll(d))
		}
	}
	return err
}

// freeAddr returns a loopback address that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
