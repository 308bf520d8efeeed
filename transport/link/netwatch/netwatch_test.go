package netwatch

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"
)

func TestABurstIsToldOnceAndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		heard, told := make(chan struct{}), []time.Duration{}
		start := time.Now()
		done := make(chan struct{})
		go func() { gather(ctx, heard, func() { told = append(told, time.Since(start)) }); close(done) }()
		for range 3 { // at 0, 50 and 100 ms
			heard <- struct{}{}
			<-time.After(50 * time.Millisecond)
		}
		<-time.After(time.Second)
		for range 20 { // it does not stop for a second
			heard <- struct{}{}
			<-time.After(50 * time.Millisecond)
		}
		<-time.After(time.Second)
		cancel()
		<-done
		if len(told) != 3 || told[0] != 200*time.Millisecond || told[1] != 1150*time.Millisecond+patience {
			t.Errorf("told at %v; want at 200ms, 1.65s and once more", told)
		}
	})
}

// A network namespace of its own is where a test may change something, if it may.
func TestAnAddressIsHeardOf(t *testing.T) {
	if os.Getenv("NETWATCH_TEST") == "" {
		cmd := exec.Command("unshare", "--net", "--map-root-user", os.Args[0], "-test.run=^TestAnAddressIsHeardOf$")
		cmd.Env = append(os.Environ(), "NETWATCH_TEST=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Logf("no namespace to be had, or: %v\n%s", err, out)
			// What is left to see is that it ends when it is told to.
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			Run(ctx, func() { t.Error("told of a change after the end") })
		}
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	heard := make(chan struct{}, 16)
	done := make(chan struct{})
	go func() { Run(ctx, func() { heard <- struct{}{} }); close(done) }()
	for up := false; ; up = !up {
		state := "down"
		if up {
			state = "up"
		}
		if out, err := exec.Command("ip", "link", "set", "lo", state).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		select {
		case <-heard:
			cancel()
			<-done
			return
		case <-time.After(time.Second): // Run may not have opened its socket yet
		}
	}
}
