package transporttest

import (
	"net"
	"net/http"
	"testing"
)

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
