package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/seed-7270d448/dray/transport"
	"github.com/seed-7270d448/dray/transport/link"
)

// keyring gives numbered keys, the next ones after each refusal, and notes those.
type keyring struct {
	mu      sync.Mutex
	n       int
	refused []string
	err     error
}

func (k *keyring) Retrieve(context.Context) (aws.Credentials, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return aws.Credentials{AccessKeyID: fmt.Sprintf("id%d", k.n), SecretAccessKey: "hush", SessionToken: "hush-token"}, k.err
}

func (k *keyring) Refused(id string, dead bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	k.refused = append(k.refused, fmt.Sprintf("%s dead %v", id, dead))
}

// asked calls d once and returns the error.
func asked(t *testing.T, c Config) error {
	t.Helper()
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.CloseIdle)
	_, err = d.Create(t.Context(), transport.Object{Key: "key"})
	return err
}

func TestAProviderLearnsWhichKeysWereRefused(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   string
	}{
		{400, "ExpiredToken", "id0 dead true"},
		{403, "InvalidAccessKeyId", "id0 dead true"},
		{403, "AccessDenied", "id0 dead false"},
		{401, "Unauthorized", "id0 dead false"},
		{400, "InvalidRequest", ""},
		{503, "SlowDown", ""},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", c.code)
		}))
		keys := &keyring{}
		err := asked(t, Config{Bucket: "b", Endpoint: srv.URL, PathStyle: true, Credentials: keys})
		if got := strings.Join(keys.refused, ","); err == nil || got != c.want {
			t.Errorf("%s: got %q, want %q; %v", c.code, got, c.want, err)
		}
		srv.Close()
	}
}

func TestTheNextTryHasOtherKeys(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		id, _, _ := strings.Cut(scope, "/")
		mu.Lock()
		seen = append(seen, id+" "+r.Header.Get("X-Amz-Security-Token"))
		mu.Unlock()
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>ExpiredToken</Code></Error>") // what is missing is missed by the client
	}))
	defer srv.Close()
	c := Config{Bucket: "b", Endpoint: srv.URL, PathStyle: true, Credentials: &keyring{}}
	for range 3 {
		if err := asked(t, c); transport.KindOf(err) != transport.Denied {
			t.Errorf("got %v, want denied", err)
		}
	}
	if want := []string{"id0 hush-token", "id1 hush-token", "id2 hush-token"}; !slices.Equal(seen, want) {
		t.Errorf("the server saw %q, want %q", seen, want)
	}
}

func TestWithoutKeysTheirReasonCounts(t *testing.T) {
	for _, kind := range []transport.Kind{transport.Offline, transport.Denied, transport.Throttled, transport.Temporary} {
		reason := &transport.Error{Op: "credentials", Kind: kind, RetryAfter: 7, Err: errors.New("role alias a at h: no route")}
		err := asked(t, Config{Bucket: "b", Endpoint: "http://127.0.0.1:1", PathStyle: true, Credentials: &keyring{err: reason}})
		var e *transport.Error
		if !errors.As(err, &e) || e.Op != "create" || e.Kind != kind || e.Unknown || e.RetryAfter != 7 {
			t.Fatalf("got %+v", err)
		}
		if got, want := err.Error(), "create key: credentials: role alias a at h: no route"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestNoSecretOfAConfigIsPrinted(t *testing.T) {
	c := Config{Bucket: "b", Region: "r", AccessKeyID: "id", SecretAccessKey: "hush", SessionToken: "hush-token"}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	_, twice := New(Config{Bucket: "b", Region: "r", SecretAccessKey: "hush", Credentials: &keyring{}})
	if twice == nil {
		t.Error("keys and a provider of keys: no error")
	}
	for _, v := range []any{c, &c, d, twice} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		for _, shown := range []string{string(text), log.String(), fmt.Sprintf("%v|%+v|%#v|%s|%q|%x|%d", v, v, v, v, v, v, v)} {
			if strings.Contains(shown, "hush") || strings.Contains(shown, "68757368") || strings.Contains(shown, "104 117") {
				t.Errorf("%T: got %s", v, shown)
			}
		}
	}
}

// where returns the host and path that a request for c goes to, as a proxy in
// between sees them.
func where(t *testing.T, c Config) string {
	t.Helper()
	var mu sync.Mutex
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if seen == "" {
			seen = r.Host + r.URL.Path
		}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer srv.Close()
	proxy, err := link.ParseProxy("http://" + srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP, err = link.New(link.Config{Proxy: proxy}); err != nil {
		t.Fatal(err)
	}
	c.AccessKeyID, c.SecretAccessKey = "id", "hush"
	if err := asked(t, c); transport.KindOf(err) != transport.Denied {
		t.Errorf("got %v, want the proxy's refusal", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return seen
}

func TestRequestsGoToTheEndpointThatTheConfigMeans(t *testing.T) {
	for name, c := range map[string]struct {
		Config
		want string
	}{
		"virtual host":          {Config{Region: "eu-west-1"}, "buck.s3.eu-west-1.amazonaws.com:443"},
		"path":                  {Config{Region: "eu-west-1", PathStyle: true}, "s3.eu-west-1.amazonaws.com:443"},
		"dual-stack":            {Config{Region: "eu-west-1", Variant: Variant{DualStack: true}}, "buck.s3.dualstack.eu-west-1.amazonaws.com:443"},
		"FIPS":                  {Config{Region: "us-east-2", Variant: Variant{FIPS: true}}, "buck.s3-fips.us-east-2.amazonaws.com:443"},
		"both":                  {Config{Region: "us-east-2", Variant: Variant{true, true}}, "buck.s3-fips.dualstack.us-east-2.amazonaws.com:443"},
		"China":                 {Config{Region: "cn-north-1"}, "buck.s3.cn-north-1.amazonaws.com.cn:443"},
		"custom, virtual host":  {Config{Endpoint: "http://nas.example:9000"}, "buck.nas.example:9000/key"},
		"custom, path":          {Config{Endpoint: "http://nas.example:9000", PathStyle: true}, "nas.example:9000/buck/key"},
		"custom, path below":    {Config{Endpoint: "http://nas.example/s3", PathStyle: true}, "nas.example/s3/buck/key"},
		"custom, over TLS":      {Config{Endpoint: "https://nas.example:9000"}, "buck.nas.example:9000"},
		"custom, TLS with path": {Config{Endpoint: "https://nas.example", PathStyle: true}, "nas.example:443"},
	} {
		c.Config.Bucket = "buck"
		if got := where(t, c.Config); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestAnEndpointThatCannotBeIsRefused(t *testing.T) {
	for field, v := range map[string]Variant{"dual_stack": {DualStack: true}, "fips": {FIPS: true}} {
		_, err := New(Config{Bucket: "b", Endpoint: "https://nas.example", Variant: v, Credentials: &keyring{}})
		var e *ConfigError
		if !errors.As(err, &e) || e.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
	_, err := New(Config{Bucket: "b--use1-az4--x-s3", Region: "us-east-1", Variant: Variant{DualStack: true}, Credentials: &keyring{}})
	if e := (*ConfigError)(nil); !errors.As(err, &e) || e.Field != "dual_stack" {
		t.Errorf("directory bucket: got %v", err)
	}
}

func TestAProxyThatRefusesIsDeniedAndOneWithoutALinkIsOffline(t *testing.T) {
	for status, want := range map[int]transport.Kind{407: transport.Denied, 403: transport.Denied, 502: transport.Offline, 503: transport.Offline} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		proxy, err := link.ParseProxy("http://me:hush@" + srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		wire, err := link.New(link.Config{Proxy: proxy})
		if err != nil {
			t.Fatal(err)
		}
		err = asked(t, Config{Bucket: "b", Endpoint: "https://nas.example", Credentials: &keyring{}, HTTP: wire})
		var e *transport.Error
		if !errors.As(err, &e) || e.Kind != want || e.Unknown || strings.Contains(err.Error(), "hush") {
			t.Errorf("%d: got %+v (%v), want %v", status, err, transport.KindOf(err), want)
		}
		srv.Close()
	}
	// Over http a proxy answers in place of the server.
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) }))
	defer srv.Close()
	if err := asked(t, Config{Bucket: "b", Endpoint: srv.URL, PathStyle: true, Credentials: &keyring{}}); transport.KindOf(err) != transport.Denied {
		t.Errorf("407 over http: got %v, want denied", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	proxy, err := link.ParseProxy("http://me:hush@" + nobody)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := link.New(link.Config{Proxy: proxy})
	if err != nil {
		t.Fatal(err)
	}
	err = asked(t, Config{Bucket: "b", Endpoint: "https://nas.example", Credentials: &keyring{}, HTTP: wire})
	var e *transport.Error
	if !errors.As(err, &e) || e.Kind != transport.Offline || e.Unknown || strings.Contains(err.Error(), "hush") {
		t.Errorf("no proxy there: got %v (%v)", err, transport.KindOf(err))
	}
}
