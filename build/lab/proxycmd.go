package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/seed-7270d448/dray/transport/transporttest"
)

// proxyCommand runs the fault proxy alone until it is interrupted, before
// whichever server: point a client's endpoint at it. A script in a file, or on
// the command line with lines parted by semicolons, says what happens:
//
//	go run ./build/lab proxy -target http://127.0.0.1:7070 \
//	    -script 'mode deny-head; part#2 cut-up=100000 *3; complete drop; complete drip=60000'
//
// With -seed the script is the one of that number in the faults experiment.
// Modes that change what is signed need AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, the client's own, in the environment.
func proxyCommand(ctx context.Context, args []string) (*report, error) {
	fs := flag.NewFlagSet("proxy", flag.ContinueOnError)
	var (
		target = fs.String("target", "", "base URL of the S3 server")
		listen = fs.String("listen", "127.0.0.1:0", "address to serve at")
		script = fs.String("script", "", "the script, or @FILE that holds it")
		seed   = fs.Uint64("seed", 0, "take the script of this seed of the faults experiment")
	)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	text := *script
	if len(text) > 0 && text[0] == '@' {
		b, err := os.ReadFile(text[1:])
		if err != nil {
			return nil, err
		}
		text = string(b)
	}
	if *seed != 0 {
		if text != "" {
			return nil, errors.New("-script and -seed exclude each other")
		}
		text = newPlan(*seed).script
	}
	var mu sync.Mutex
	p, err := transporttest.NewProxy(transporttest.ProxyOptions{
		Target: *target, Listen: *listen,
		Keys: transporttest.Keys{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")},
		Log: func(request, done string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Printf("%s %s %s\n", time.Now().Format("15:04:05.000"), request, done)
		},
	})
	if err != nil {
		return nil, err
	}
	if err := p.Read(text); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	fmt.Printf("endpoint %s\nscript   %s\n", p.Endpoint, text)
	<-ctx.Done()
	fired, pending := len(p.Fired()), p.Pending()
	fmt.Printf("%d requests, %d faults came to pass, %d lines of the script are left, %d bytes of parts and objects\n", len(p.Requests()), fired, pending, p.Sent())
	return nil, p.Close()
}
