// Command s3server is the S3 server that Dray's tests, bench and lab talk to:
// versitygw with its posix backend, on one loopback address, for one root
// account.
//
// It is a child process on purpose: versitygw allows one gateway a process and
// changes the working folder. It ends when its standard input does, so it
// outlives no parent, not even one that was killed.
//
// It is for tests only and must never be part of a Dray binary, which is why
// it lives in a module of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

func main() {
	var (
		listen    = flag.String("listen", "127.0.0.1:7070", "address to serve on")
		dir       = flag.String("dir", "", "folder that holds buckets and metadata; made if absent")
		remove    = flag.Bool("remove", false, "remove the folder at the end")
		bucket    = flag.String("bucket", "dray", "bucket to make")
		region    = flag.String("region", "us-east-1", "region that requests are signed for")
		health    = flag.String("health", "/healthz", "path that answers 200 once the server is ready")
		cert      = flag.String("cert", "", "TLS certificate file; empty: plain http")
		key       = flag.String("key", "", "TLS key file")
		integrity = flag.Bool("integrity-etag", false, "make ETags that are not MD5")
	)
	flag.Parse()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		// Nothing is ever sent: a read returns once the parent is gone.
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	cfg := embedgw.Config{
		RootUserAccess:    os.Getenv("S3SERVER_ACCESS_KEY"),
		RootUserSecret:    os.Getenv("S3SERVER_SECRET_KEY"),
		Region:            *region,
		Ports:             []string{*listen},
		MaxConnections:    1024,
		MaxRequests:       1024,
		MultipartMaxParts: 10000,
		CertFile:          *cert,
		KeyFile:           *key,
		HealthPath:        *health,
		Quiet:             true,
		KeepAlive:         true, // without it every request is a connection of its own
	}
	err := serve(ctx, *dir, *bucket, *integrity, &cfg)
	if *remove {
		err = errors.Join(err, os.RemoveAll(*dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "s3server:", err)
		os.Exit(1)
	}
}

// serve runs the gateway on dir/data until ctx ends. Metadata goes to
// dir/meta and not to extended attributes, which not every file system has.
func serve(ctx context.Context, dir, bucket string, integrity bool, cfg *embedgw.Config) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("-dir %q: must be an absolute path", dir)
	}
	data, side := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	for _, d := range []string{filepath.Join(data, bucket), side} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	store, err := meta.NewSideCar(side)
	if err != nil {
		return fmt.Errorf("metadata folder: %w", err)
	}
	backend, err := posix.New(data, store, posix.PosixOpts{
		SideCarDir:        side,
		DataIntegrityEtag: integrity,
		Concurrency:       256,
	})
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	return embedgw.RunVersityGW(ctx, backend, cfg)
}
