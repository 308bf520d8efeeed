package transporttest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// parentEnv makes this test binary a program that starts a gateway, says
// where, and waits to be killed.
const parentEnv = "DRAY_TEST_GATEWAY_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "" {
		os.Exit(m.Run())
	}
	g, err := NewGateway(GatewayOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(g.Addr, filepath.Dir(filepath.Dir(g.BucketDir)))
	select {}
}

func TestGatewayDiesWithAKilledParent(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("read the address: %v", err)
	}
	addr, dir, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a killed process ended well")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Close()
		}
		if _, statErr := os.Stat(dir); err != nil && os.IsNotExist(statErr) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the gateway at %s or its folder %s outlived its parent", addr, dir)
		}
	}
}

func TestGatewayAnswersAndEndsWithoutATrace(t *testing.T) {
	for _, tls := range []bool{false, true} {
		g, err := NewGateway(GatewayOptions{TLS: tls})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: g.TLSConfig(), DisableKeepAlives: true}}
		resp, err := client.Get(g.Endpoint + "/" + g.Bucket)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if got, want := resp.StatusCode, http.StatusForbidden; got != want {
			t.Errorf("unsigned request over TLS %t: status %d, want %d", tls, got, want)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if c, err := net.Dial("tcp", g.Addr); err == nil {
			t.Error("closed, and yet it listens", c.Close())
		}
	}
}

func TestGatewayKeepsItsFolderOverARestart(t *testing.T) {
	dir := t.TempDir()
	g := StartGateway(t, GatewayOptions{Dir: dir})
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	again := StartGateway(t, GatewayOptions{Dir: dir, Listen: g.Addr})
	if got, want := again.Endpoint, g.Endpoint; got != want {
		t.Errorf("endpoint %s, want %s", got, want)
	}
}

func TestAGatewayOfSmallPartsIsBuilt(t *testing.T) {
	g := StartGateway(t, GatewayOptions{SmallParts: true})
	resp, err := http.Get(g.Endpoint + "/" + g.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
